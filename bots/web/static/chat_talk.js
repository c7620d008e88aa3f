// One conversation: what was said, what is being said now, and what can be done with each line.

import { Answer } from "./chat_answer.js";
import { Composer } from "./chat_composer.js";
import { Messages } from "./chat_list.js";
import { Acts, EVENTS, at } from "./chat_acts.js";
import { EMOJI, aloud, worded } from "./chat_message.js";
import { called, named } from "./chat_titles.js";
import { welcome } from "./chat_welcome.js";
import { api, live, may, me, resumed } from "./api.js";
import { attempt, button, el, fill, icon, iconButton, menu } from "./ui.js";

export class Talk {
  /** `id` is null for a conversation that nobody has begun. `does` is {adopted(session), open(id, message id, words to
   *  say with it), begin(), more(session, anchor), side(), exported(session)}. */
  constructor(id, commands, does) {
    this.id = id;
    this.does = does;
    this.session = null;
    this.acts = new Acts(this);
    this.list = new Messages(
      id && at(id, "/messages"),
      {
        acts: this.acts,
        reply: (message) => this.composer.replyTo(message),
        emoji: (message, anchor) =>
          menu(
            anchor,
            EMOJI.map((each) => ({
              label: each,
              run: () =>
                this.acts.react(message, each, message.reactions.some((one) => one.emoji === each && one.mine)),
            })),
            { label: "Reactions", kind: "emoji" },
          ),
        writes: () => this.writes,
        elsewhere: (session, message) =>
          this.does.open(session, message, "It is in the conversation that this one was branched from."),
      },
      () => welcome(this.composer),
    );
    this.composer = new Composer(id ?? "new", commands, {
      send: (line) => this.#send(line),
      stop: () => this.stop(),
      command: (line) => this.acts.command(line),
      unknown: (name, send) => this.acts.unknown(name, send),
      last: () => this.list.inside.lastElementChild?.focus?.(),
    });
    this.title = el("h1", { class: "clip", dir: "auto" });
    this.star = iconButton(
      "star",
      "Star",
      () => attempt(async () => this.does.adopted(await api.put(at(this.id), { starred: !this.session.starred }))),
      { hidden: true },
    );
    this.options = iconButton(
      "more",
      "More for this conversation",
      (event) => this.does.more(this.session, event.currentTarget),
      { hidden: true, "aria-haspopup": "menu" },
    );
    this.told = el("p", { class: "away", role: "status" });
    this.typing = el("p", { class: "typing", "aria-live": "off" });
    this.element = el(
      "section",
      {
        class: "conversation",
        "aria-label": "Conversation",
        ondragover: (event) => {
          if ([...event.dataTransfer.types].includes("Files")) {
            event.preventDefault();
            this.element.classList.add("dropping");
          }
        },
        ondragleave: (event) => {
          if (!this.element.contains(event.relatedTarget)) this.element.classList.remove("dropping");
        },
        ondrop: (event) => {
          this.element.classList.remove("dropping");
          if (event.dataTransfer.files.length) {
            event.preventDefault();
            this.composer.attach(event.dataTransfer.files);
          }
        },
      },
      el(
        "header",
        { class: "head" },
        iconButton("menu", "Conversations", () => this.does.side(), { class: "icon-btn open-side" }),
        this.title,
        this.star,
        this.options,
        may("chat") && iconButton("plus", "New chat", () => this.does.begin(), { class: "icon-btn new-here" }),
      ),
      this.list.element,
      this.told,
      el("div", { class: "below" }, this.typing, this.composer.element),
      el("div", { class: "drop", "aria-hidden": "true" }, icon("clip"), "Drop files to send them"),
    );
    this.element.addEventListener("keydown", (event) => {
      if (
        event.key === "Escape" &&
        this.composer.busy &&
        !document.querySelector("dialog[open], [popover]:popover-open")
      )
        this.stop();
    });
    this.#off = [live.on(["said", "began", "changed", "session", "typing"], (event) => this.#heard(event))];
    const again = ({ detail }) => detail.again && this.id && this.#lookAgain();
    live.addEventListener("state", again);
    this.#off.push(() => live.removeEventListener("state", again));
  }

  /** Whether there is no such conversation. */
  missing = false;
  #off;
  #gone = new AbortController();
  #answers = new Map();
  /** Lines that are on their way, whether they are to be stopped once they are there, and the answers that are being
   *  stopped. */
  #sending = 0;
  #stops = false;
  #stopping = new Set();

  /** Shows it; `message` is the id of one to go to. */
  async open(message = null) {
    if (!this.id) {
      fill(this.list.inside, this.list.empty());
      this.composer.focus();
      return;
    }
    fill(this.list.inside, el("div", { class: "loading", "aria-busy": "true" }, el("span", { class: "spinner" })));
    try {
      const [session] = await Promise.all([api.get(at(this.id)), this.list.open(message)]);
      this.adopt(session);
      if (!message) this.composer.focus();
      this.#join();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.missing = error.status === 404;
      fill(
        this.list.inside,
        el(
          "div",
          { class: "empty", role: "alert" },
          icon("warn"),
          el("h2", {}, error.status === 404 ? "This conversation is not there" : "This conversation did not open"),
          el("p", {}, error.message),
          error.status === 404
            ? button("Begin a new one", () => this.does.begin(), { class: "btn primary" })
            : button("Try again", () => this.open(message)),
        ),
      );
    }
  }

  /** Ends what is asked for here once it is closed. */
  get signal() {
    return this.#gone.signal;
  }

  /** Whether one may speak here. */
  get writes() {
    return may("chat") && (this.session?.mine ?? true);
  }

  close() {
    this.#gone.abort();
    this.list.close();
    this.composer.close();
    for (const off of this.#off) off();
  }

  adopt(session) {
    this.session = session;
    this.title.textContent = named(session);
    this.star.hidden = this.options.hidden = !may("chat");
    this.star.setAttribute("aria-pressed", String(session.starred));
    fill(this.star, icon("star", { full: session.starred }));
    this.star.title = session.starred ? "Take the star away" : "Star";
    this.star.setAttribute("aria-label", "Star");
    if (!session.mine)
      this.composer.shut(
        `This is from ${session.channel.name || session.channel.front}; speak there from the Live page.`,
      );
  }

  /** Ends what is being said; of a line that is still on its way, its answer once it is there. */
  async stop() {
    if (this.#sending) {
      this.#stops = true;
      return;
    }
    const meant = [...this.#answers.keys()].filter((id) => !this.#stopping.has(id));
    if (!meant.length && this.#stopping.size) return;
    for (const id of meant) this.#stopping.add(id);
    await attempt(() => api.post(at(this.id, "/stop")));
    for (const id of meant) this.#stopping.delete(id);
  }

  /** Reads what was said and changed meanwhile, and hears what is being said. */
  #lookAgain() {
    this.notice(null);
    attempt(async () => {
      const [session] = await Promise.all([api.get(at(this.id)), this.list.refresh()]);
      this.adopt({ ...this.session, ...session });
    });
    this.#join();
  }

  /** Hears the answer that is under way, if there is one. */
  #join() {
    this.follow(() => api.raw("GET", at(this.id, "/stream"), { ...EVENTS, signal: this.#gone.signal })).catch(() => {});
  }

  /** Begins the conversation, where nobody has. */
  async begun(given = {}) {
    if (this.id) return;
    const session = await api.post("/api/chat/sessions", given);
    this.id = session.id;
    this.list.path = at(session.id, "/messages");
    this.composer.moved(session.id);
    fill(this.list.inside);
    this.does.adopted(session);
  }

  #send(line) {
    const body = Object.fromEntries(Object.entries(line).filter(([, value]) => value !== null));
    return this.asking(async () => {
      await this.begun(line.persona ? { persona: line.persona } : {});
      return api.raw("POST", at(this.id, "/messages"), { ...EVENTS, body });
    });
  }

  /** Has an answer given by `first()`, the request for it, which goes on whoever leaves. Resolves to whether it was
   *  taken. */
  async asking(first, more = {}) {
    this.notice(null);
    this.#busy(1);
    this.#sending++;
    const taken = await attempt(async () => {
      if (!this.list.atEnd) await this.list.newest();
      this.list.stick(true);
      return this.follow(first, { asks: true, ...more });
    });
    this.#sending--;
    this.#busy(-1);
    const stops = this.#stops && !this.#sending;
    if (stops) this.#stops = false;
    if (stops && taken) this.stop();
    return taken === true;
  }

  /** Shows an answer as it comes. Resolves to whether the line was taken, as soon as that is known. */
  follow(first, { asks = false, instead = null } = {}) {
    return new Promise((resolve) => {
      let answer = null,
        taken = false,
        over = false;
      const asked = () =>
        first().then((response) => {
          taken = true;
          if (this.#gone.signal.aborted) resolve(true);
          return response;
        });
      const begin = () => {
        if (answer) return;
        answer = new Answer(() => this.list.stick());
        this.list.tail.append(answer.element);
        this.#busy(1);
        this.list.stick();
      };
      const end = () => {
        if (answer) {
          this.#answers.delete(answer.id);
          answer.end();
          answer = null;
          this.#busy(-1);
        }
      };
      const run = async () => {
        if (asks) begin();
        const again = (id) =>
          api.raw("GET", at(this.id, "/stream"), {
            query: EVENTS.query,
            headers: { ...EVENTS.headers, ...(id ? { "Last-Event-ID": id } : {}) },
            signal: this.#gone.signal,
          });
        for await (const { event, data } of resumed(asked, again, { signal: this.#gone.signal })) {
          over ||= event === "done" || event === "refused";
          if (event === "said") {
            resolve(true);
            if (data.session?.id === this.id)
              this.does.adopted(called(data.session, this.session, data.message.seen ? data.message : null));
            this.list.add(data.message);
            if (data.session?.id && data.session.id !== this.id) {
              end();
              this.does.open(data.session.id);
              return;
            }
          } else if (event === "began") {
            if (this.#answers.has(data.answer_id) && this.#answers.get(data.answer_id) !== answer) {
              end();
              return;
            }
            begin();
            if (answer.id && answer.id !== data.answer_id) answer.anew();
            this.#answers.set(data.answer_id, answer);
            answer.began(data);
            this.told.textContent = `${data.speaker} is answering.`;
          } else if (event === "delta") {
            begin();
            answer.more(data.text);
          } else if (event === "reset") answer?.anew();
          else if (event === "done") {
            end();
            if (instead) this.list.remove(instead.id);
            if (data.message) {
              this.list.add(data.message);
              this.told.textContent = `${data.message.sender.name}: ${aloud(data.message)}`;
            }
          } else if (event === "refused") {
            end();
            this.notice(data.detail);
          }
        }
        if (taken && !over && answer && !this.#gone.signal.aborted) await this.list.refresh();
      };
      run()
        .catch((error) => {
          if (error.name !== "AbortError" && !this.#gone.signal.aborted)
            this.notice(
              error.message,
              taken || !asks
                ? {
                    label: "Look again",
                    run: () => this.#lookAgain(),
                  }
                : null,
            );
        })
        .finally(() => {
          end();
          resolve(taken);
        });
    });
  }

  #under = 0;
  #busy(by) {
    this.#under += by;
    this.composer.answering(this.#under > 0);
  }

  notice(words, action = null) {
    this.list.tail.querySelectorAll(".notice").forEach((each) => each.remove());
    if (!words) return;
    this.list.tail.append(
      el(
        "div",
        { class: "notice warn", role: "alert" },
        icon("warn"),
        el("span", { class: "grow", dir: "auto" }, words),
        action && button(action.label, action.run, { class: "btn little" }),
        iconButton("close", "Dismiss", (event) => event.currentTarget.parentElement.remove(), {
          class: "icon-btn little",
        }),
      ),
    );
    this.list.stick(true);
  }

  async #heard(event) {
    const session = event.session?.id ?? event.session_id ?? event.message?.session_id;
    if (!this.id || session !== this.id) return;
    if (event.is === "said" && !this.list.get(event.message.id) && event.message.role !== "assistant")
      this.list.add(await worded(event.message, this.list.get(event.message.id)));
    else if (
      event.is === "said" &&
      event.message.role === "assistant" &&
      !this.#answers.has(event.message.id) &&
      !this.#under
    )
      this.list.add(await worded(event.message, this.list.get(event.message.id)));
    else if (event.is === "began" && !this.#answers.has(event.answer_id) && !this.#under) this.#join();
    else if (event.is === "changed") this.list.change(await worded(event.message, this.list.get(event.message.id)));
    else if (event.is === "session" && event.session) {
      this.adopt(called({ ...this.session, ...event.session }, this.session));
    } else if (event.is === "typing" && event.sender?.id !== me.person.id) {
      this.typing.textContent = `${event.sender.name} is writing…`;
      clearTimeout(this.#typed);
      this.#typed = setTimeout(() => {
        this.typing.textContent = "";
      }, 5_000);
    }
  }

  #typed = 0;
}
