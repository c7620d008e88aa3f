// What can be done in a conversation: with each of its messages, and by a line that begins with a slash.

import { api, may, me } from "./api.js";
import { why, worded } from "./chat_message.js";
import { ask, attempt, button, confirm, dialog, el, field, iconButton, menu, toast } from "./ui.js";

/** How an answer is asked for as it comes. */
export const EVENTS = { headers: { Accept: "text/event-stream" }, query: { html: "true" } };
/** Where a session is. */
export const at = (id, more = "") => `/api/chat/sessions/${encodeURIComponent(id)}${more}`;
const of = (message, more = "") => `/api/chat/messages/${encodeURIComponent(message.id)}${more}`;

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
      ours = this.talk.writes,
      mine = message.role === "user" && message.sender.id === me.person.id;
    menu(
      anchor,
      [
        persona && { label: `Why ${message.sender.name}?`, icon: "why", run: () => this.why(message) },
        persona && ours && { label: "Regenerate", icon: "again", run: () => this.again(message) },
        persona &&
          ours && {
            label: "Continue",
            icon: "play",
            run: () => this.talk.asking(() => api.raw("POST", of(message, "/continue"), EVENTS)),
          },
        mine && ours && { label: "Edit…", icon: "edit", run: () => this.edit(message) },
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
    if (text) {
      this.talk.list.tail.append(
        el(
          "article",
          { class: "aside", role: "status" },
          el(
            "header",
            {},
            el("span", { class: "mono" }, line),
            el("span", { class: "muted small" }, "Only you see this"),
            iconButton("close", "Dismiss", (event) => event.currentTarget.closest(".aside").remove(), {
              class: "icon-btn little",
            }),
          ),
          el("div", { class: "plain", dir: "auto" }, text),
        ),
      );
      this.talk.list.stick(true);
    }
    return true;
  }
}
