// What can be done in a conversation: with each of its messages, and by a line that begins with a slash.

import { api, may, me } from "./api.js";
import { why, worded } from "./chat_message.js";
import { ask, attempt, button, confirm, dialog, el, field, iconButton, menu, toast } from "./ui.js";

/** How an answer is asked for as it comes. */
export const EVENTS = { headers: { Accept: "text/event-stream" }, query: { html: "true" } };
/** Where a session is. */
export const at = (id, more = "") => `/api/chat/sessions/${encodeURIComponent(id)}${more}`;
const of = (message, more = "") => `/api/chat/messages/${encodeURIComponent(message.id)}${more}`;

/** Commands of other fronts, and where the console has what they tell: in words, and as a page. */
const ELSEWHERE = {
  privacy: ["Operate, Your data", "#/operate/you"],
  usage: ["Operate, Your data", "#/operate/you"],
  admin: ["Operate", "#/operate"],
  session: ["Sessions", "#/sessions"],
  merge: ["Sessions", "#/sessions"],
  search: ["the search box above the conversations"],
};

export class Acts {
  /** `talk` is the conversation, as in `chat_talk.js`. */
  constructor(talk) {
    this.talk = talk;
  }

  react(message, emoji, mine) {
    const path = of(message, `/reactions/${encodeURIComponent(emoji)}`);
    attempt(async () => {
      const now = mine ? await api.del(path) : await api.put(path);
      if (now?.id) this.talk.list.change(now);
    });
  }

  more(message, anchor) {
    const persona = message.role === "assistant",
      ours = this.talk.writes;
    menu(
      anchor,
      [
        persona && { label: `Why ${message.sender.name}?`, icon: "why", run: () => this.why(message) },
        persona && ours && { label: "Regenerate", icon: "again", run: () => this.again(message) },
        persona &&
          ours && { label: "Continue", icon: "play", run: () => this.goOn(message) },
        this.wrote(message) && { label: "Edit…", icon: "edit", run: () => this.edit(message) },
        may("chat") && {
          label: "Branch from here",
          icon: "branch",
          run: () =>
            attempt(async () => {
              const session = await api.post(at(this.talk.id, "/branch"), { after: message.id });
              this.talk.does.open(session.id, null, "A branch: what you say here leaves the other as it is.");
            }),
        },
        may("chat") && {
          label: "Note…",
          icon: "note",
          run: async () => {
            const text = await ask("Note", "What is to be remembered about this message", "", { long: true });
            if (text?.trim())
              attempt(async () =>
                this.took(await api.post(of(message, "/annotations"), { kind: "remark", text: text.trim() }), message),
              );
          },
        },
        ...message.annotations
          .filter((each) => each.mine)
          .map((each) => ({
            label: `Take the note “${each.text.slice(0, 24)}” away`,
            icon: "close",
            run: () =>
              attempt(async () =>
                this.took(await api.del(of(message, `/annotations/${encodeURIComponent(each.id)}`)), message),
              ),
          })),
        ours && null,
        ours && {
            label: "Delete",
            icon: "trash",
            danger: true,
            run: async () => {
              if (
                await confirm(
                  "Delete this message?",
                  persona
                    ? "The answer leaves the conversation, and what was remembered from it."
                    : "The message leaves the conversation, and what was remembered from it.",
                  { yes: "Delete", danger: true },
                )
              )
                attempt(async () => {
                  await api.del(of(message));
                  this.talk.list.remove(message.id);
                });
            },
          },
      ].filter((each) => each !== false && each !== undefined),
      { label: "What to do with this message" },
    );
  }

  async took(now, message) {
    this.talk.list.change(now?.parts ? now : await api.get(of(message)));
  }

  again(message) {
    this.talk.asking(() => api.raw("POST", of(message, "/regenerate"), EVENTS), { instead: message });
  }

  goOn(message) {
    this.talk.asking(() => api.raw("POST", of(message, "/continue"), EVENTS));
  }

  /** Whether whoever is here said it, and may say it otherwise. */
  wrote(message) {
    return message.role === "user" && message.sender.id === me.person.id && this.talk.writes;
  }

  async why(message) {
    const told = await why(message);
    dialog(`Why ${message.sender.name} answered`, () => told);
  }

  async edit(message) {
    const words = el("textarea", { class: "input", rows: 6, value: message.text, maxLength: 100_000, dir: "auto" });
    const how = await dialog(
      "Edit what you said",
      () => field("Your words", words, "In a branch, the answer is given anew and this conversation stays as it is."),
      {
        actions: (close) => [
          button("Cancel", () => close()),
          button("Only change the words", () => close("here")),
          button("Answer in a branch", () => close("branch"), { class: "btn primary" }),
        ],
      },
    ).closed;
    if (!how || !words.value.trim()) return;
    if (how === "here")
      attempt(async () =>
        this.talk.list.change(await worded(await api.put(of(message), { text: words.value }), message)),
      );
    else
      this.talk.asking(() =>
        api.raw("POST", of(message, "/edit-and-branch"), { ...EVENTS, body: { text: words.value } }),
      );
  }

  /** A line that begins with a slash: some are the console's own, the others the bot answers. */
  async command(line) {
    const [name] = line.slice(1).toLowerCase().split(/\s/);
    if (line === "/new") {
      this.talk.does.begin();
      return true;
    }
    if (!this.talk.id && !["help", "memory", "persona"].includes(name)) {
      toast("There is no conversation yet to do this with.");
      return false;
    }
    const told = await attempt(async () => {
      await this.talk.begun();
      return api.post(at(this.talk.id, "/command"), { line });
    });
    if (told === undefined) return false;
    const { text, session, export: form } = told;
    if (form) this.talk.does.exported(this.talk.session);
    if (session && session.id !== this.talk.id) {
      this.talk.does.open(session.id, null, text);
      return true;
    }
    if (text) this.#aside(line, el("div", { class: "plain", dir: "auto" }, text));
    return true;
  }

  /** A command that is none here: what was written stays, and `send()` says it as it is. */
  unknown(name, send) {
    const [words, place] = ELSEWHERE[name] ?? [];
    const aside = this.#aside(
      `/${name}`,
      el(
        "p",
        { class: "small" },
        `There is no /${name} here`,
        words ? [": see ", place ? el("a", { href: place }, words) : words, "."] : ". /help tells what there is.",
      ),
      button("Send it as it is", () => aside.remove() ?? send(), { class: "btn little" }),
    );
  }

  /** What only whoever is here sees; one of a kind. */
  #aside(line, ...inside) {
    const made = el(
      "article",
      { class: "aside", role: "status" },
      el(
        "header",
        {},
        el("span", { class: "mono" }, line),
        el("span", { class: "muted small" }, "Only you see this"),
        iconButton("close", "Dismiss", () => made.remove(), { class: "icon-btn little" }),
      ),
      inside,
    );
    this.talk.list.tail.append(made);
    this.talk.list.stick(true);
    return made;
  }
}
