// Where one writes: words, files, whom to ask, what one replies to, and a draft of it all that outlives the page.

import { api, live, may, me, upload } from "./api.js";
import { whom } from "./chat_cast.js";
import { drafts, flying, fresh, late, store, stored } from "./chat_drafts.js";
import { entry, free, shown, told } from "./chat_files.js";
import { gist } from "./chat_message.js";
import { Slash } from "./chat_slash.js";
import { bytes, el, face, fill, icon, iconButton, toast } from "./ui.js";

const HIGHEST = 240,
  STOPS = { class: "icon-btn send stops", title: "Stop the answer (Esc)", "data-full": "1", hidden: true };

export class Composer {
  /** `session` is the id that drafts belong to ("new" before there is one); `does` is {send(line), stop(), command(line),
   *  unknown(line), last()}: `send` and `command` resolve to true once what was written was taken. */
  constructor(session, commands, does) {
    this.session = session;
    this.commands = commands;
    this.does = does;
    this.words = el("textarea", {
      rows: 1,
      placeholder: `Write to ${me.bot.display || "the bot"}`,
      "aria-label": "Your message",
      maxLength: 100_000,
      enterKeyHint: "send",
      role: "combobox",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": "slash",
      oninput: () => this.#edited(),
      onkeydown: (event) => this.#pressed(event),
      onpaste: (event) => this.#pasted(event),
      onblur: () => setTimeout(() => this.slash.offer(""), 150),
    });
    this.picker = el("button", {
      type: "button",
      class: "btn ghost little who-answers",
      "aria-haspopup": "menu",
      onclick: () => whom(this.picker, this.persona, (name) => this.choose(name)),
    });
    this.stopping = iconButton("stop", "Stop", () => this.does.stop(), STOPS);
    this.sending = iconButton("send", "Send", () => this.#press(), { class: "icon-btn send" });
    this.input = el("input", {
      type: "file",
      multiple: true,
      class: "away",
      tabIndex: -1,
      "aria-label": "Files to send",
      onchange: () => {
        this.attach(this.input.files);
        this.input.value = "";
      },
    });
    this.beside = el("div", { class: "beside" });
    this.slash = new Slash(this.words, commands, { changed: () => this.#edited(), press: () => this.#press() });
    this.element = el(
      "form",
      {
        class: "composer",
        "aria-label": "Write",
        onsubmit: (event) => {
          event.preventDefault();
          this.#press();
        },
      },
      this.slash.element,
      el(
        "div",
        { class: "box" },
        this.beside,
        this.words,
        el(
          "div",
          { class: "feet", onmousedown: (event) => event.target.closest("button") && event.preventDefault() },
          (this.clip = iconButton("clip", "Attach files", () => this.input.click())),
          this.input,
          this.picker,
          el("span", { class: "grow" }),
          el(
            "span",
            { class: "hint", "aria-hidden": "true" },
            el("kbd", {}, "Enter"),
            " sends, ",
            el("kbd", {}, "Shift Enter"),
            " is a new line",
          ),
          this.stopping,
          this.sending,
        ),
      ),
    );
    this.#recall();
    drafts.addEventListener("changed", this.#another);
    if (!may("chat")) this.shut("You may read here, not write.");
  }

  persona = null;
  reply = null;
  busy = false;
  #files = [];
  #typed = 0;
  #closed = false;
  /** What the line is known by when it is sent again; null once it is written otherwise. */
  #key = null;

  /** Takes no words, and says why. */
  shut(why) {
    this.words.disabled = this.sending.disabled = true;
    this.words.placeholder = why;
    this.clip.hidden = this.picker.hidden = true;
  }

  /** Nobody writes here any more: what still comes goes into the draft. */
  close() {
    this.#closed = true;
    drafts.removeEventListener("changed", this.#another);
    this.#files.forEach(free);
  }

  /** What was left behind elsewhere has joined the draft. */
  #another = ({ detail }) => {
    if (detail === this.session && this.#files.every((each) => each.hash)) this.#recall();
  };

  /** What was written belongs to another session from now on. */
  moved(session) {
    for (const kind of this.#closed ? ["sending"] : ["draft", "sending"]) {
      store(kind, session, stored(kind, this.session));
      store(kind, this.session, null);
    }
    this.session = session;
  }

  /** Where a finger points, the keyboard would cover what there is to read. */
  focus() {
    if (!matchMedia("(pointer: coarse)").matches) this.words.focus({ preventScroll: true });
  }
  get empty() {
    return !this.words.value.trim() && !this.#files.length;
  }

  /** Whether an answer is under way, which can be stopped. */
  answering(is) {
    this.busy = is;
    this.#button();
  }

  say(words) {
    this.words.value = words;
    this.#edited();
    this.words.focus();
  }

  replyTo(message) {
    this.reply = message && { id: message.id, name: message.sender.name, text: gist(message) };
    this.#draw();
    this.words.focus();
  }

  /** Takes files from wherever they come: they are sent at once, and only named when the line is. */
  attach(files) {
    if (this.words.disabled) return;
    this.#key = null;
    for (const file of [...files].slice(0, 20)) {
      if (me.limits?.upload && file.size > me.limits.upload) {
        toast(`“${file.name}” has ${bytes(file.size)}; at most ${bytes(me.limits.upload)} are taken.`, { bad: true });
        continue;
      }
      const made = entry(file);
      this.#files.push(made);
      made.sent = upload("/api/chat/attachments", file, {
        signal: made.stop.signal,
        progress: (part) => {
          made.gone = part;
          made.bar?.style.setProperty("--part", part);
        },
      })
        .then((taken) => {
          Object.assign(made, { hash: taken.hash, name: taken.name, type: taken.type });
          if (this.#closed) late(this.session, told(made));
        })
        .catch((error) => {
          if (error.name !== "AbortError") toast(error.message, { bad: true });
          this.#without(made);
        })
        .finally(() => {
          this.#draw();
          this.#keep();
        });
    }
    this.#draw();
  }

  #button() {
    const held = document.activeElement;
    this.stopping.hidden = !this.busy || this.words.disabled;
    this.sending.hidden = !this.stopping.hidden && this.empty;
    this.sending.classList.toggle("ready", !this.empty);
    if (held?.hidden && this.element.contains(held)) this.words.focus();
  }

  /** Sends what is written: `asIs` also where it looks like a command. */
  async #press(asIs = false) {
    const text = this.words.value.trim();
    if (this.empty || !may("chat") || this.taking) return;
    this.taking = true;
    this.slash.offer("");
    try {
      const command = !asIs && !this.#files.length && /^\/([a-z]+)(\s|$)/i.exec(text)?.[1].toLowerCase();
      if (command) {
        if (!this.commands.some((each) => each.name === command)) this.does.unknown(command, () => this.#press(true));
        else if (await this.does.command(text)) this.clear();
        return;
      }
      await Promise.all(this.#files.map((each) => each.sent));
      const line = {
        text,
        attachments: this.#files.map((each) => each.hash).filter(Boolean),
        reply_to: this.reply?.id ?? null,
        persona: this.persona,
      };
      if (!line.text && !line.attachments.length) return;
      line.key = this.#key ?? fresh();
      const kept = { files: this.#files, key: line.key, draft: { ...this.#draft(), key: line.key } };
      store("sending", this.session, kept.draft);
      flying.add(line.key);
      this.clear();
      const taken = await this.does.send(line);
      flying.delete(line.key);
      store("sending", this.session, null);
      if (taken) kept.files.forEach(free);
      else this.#back(kept);
    } finally {
      this.taking = false;
    }
  }

  /** Puts back what was not taken, unless something else is written by now. */
  #back({ files, key, draft }) {
    if (this.#closed) {
      files.forEach(free);
      if (!stored("draft", this.session)) store("draft", this.session, draft, true);
      toast("What you wrote was not sent; it waits where you wrote it.", { bad: true });
    } else if (this.empty) {
      this.words.value = draft.text;
      this.#files = files;
      this.reply = draft.reply;
      this.#draw();
      this.#edited(key);
    }
  }

  #without(entry) {
    free(entry);
    this.#files = this.#files.filter((each) => each !== entry);
  }

  clear() {
    this.words.value = "";
    this.#files = [];
    this.reply = null;
    this.#draw();
    this.#edited();
  }

  #edited(key = null) {
    this.#key = key;
    this.words.style.height = "auto";
    this.words.style.height = `${Math.min(HIGHEST, this.words.scrollHeight)}px`;
    this.#button();
    this.#keep();
    const typed = /^\/(\S*)$/.exec(this.words.value);
    this.slash.offer(typed ? typed[1].toLowerCase() : null);
    if (this.words.value && this.session !== "new" && Date.now() - this.#typed > 4_000) {
      this.#typed = Date.now();
      live.typing(this.session);
    }
  }

  #pressed(event) {
    if (event.isComposing) return;
    if (this.slash.key(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !(matchMedia("(hover: none)").matches && !event.ctrlKey)) {
      event.preventDefault();
      this.#press();
    } else if (event.key === "Escape" && this.reply && !this.busy) {
      this.reply = null;
      this.#draw();
      this.#keep();
    } else if (event.key === "ArrowUp" && !this.words.value) {
      event.preventDefault();
      this.does.last();
    }
  }

  #pasted(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) {
      event.preventDefault();
      this.attach(files);
    }
  }

  /** Who should answer from now on; null is whoever fits. */
  choose(name) {
    this.persona = name;
    this.#draw();
    this.#keep();
    this.words.focus();
  }

  #draw() {
    const asked = me.personas.find((each) => each.name === this.persona);
    this.picker.hidden = this.words.disabled || me.personas.length < 2;
    fill(
      this.picker,
      asked ? face(asked.display, { persona: true, little: true }) : icon("person"),
      el("span", { class: "clip" }, asked ? asked.display : "Whoever fits"),
      icon("down"),
    );
    this.picker.setAttribute("aria-label", `Who should answer: ${asked ? asked.display : "whoever fits"}`);
    fill(
      this.beside,
      this.reply &&
        el(
          "div",
          { class: "replying" },
          icon("reply"),
          el("span", { class: "clip grow" }, el("strong", {}, this.reply.name), ` ${this.reply.text}`),
          iconButton(
            "close",
            "Do not reply to it",
            () => {
              this.reply = null;
              this.#draw();
              this.#keep();
              this.words.focus();
            },
            { class: "icon-btn little" },
          ),
        ),
      this.#files.length > 0 &&
        el(
          "ul",
          { class: "sent", "aria-label": "Files to send" },
          this.#files.map((each) =>
            shown(each, () => {
              each.stop.abort();
              this.#without(each);
              this.#draw();
              this.#keep();
            }),
          ),
        ),
    );
    this.#button();
  }

  #draft() {
    return {
      text: this.words.value,
      persona: this.persona,
      reply: this.reply,
      files: this.#files.filter((each) => each.hash).map(told),
      key: this.#key,
    };
  }

  #keep() {
    if (this.#closed) return;
    const draft = this.#draft(),
      any = draft.text || draft.persona || draft.reply || draft.files.length;
    store("draft", this.session, any ? draft : null);
  }

  /** What was written here before; or what was sent, where nobody knows whether it was taken. */
  #recall() {
    const sent = stored("sending", this.session),
      lost = sent && !flying.has(sent.key);
    const draft = stored("draft", this.session) ?? (lost ? sent : {});
    if (lost) store("sending", this.session, null);
    this.words.value = draft.text ?? "";
    this.persona = me.personas.some((each) => each.name === draft.persona) ? draft.persona : null;
    this.reply = draft.reply ?? null;
    this.#key = draft.key ?? null;
    this.#files = (draft.files ?? []).map((each) => ({
      ...each,
      sent: Promise.resolve(),
      stop: new AbortController(),
    }));
    this.#draw();
    this.#keep();
    requestAnimationFrame(() => {
      this.words.style.height = `${Math.min(HIGHEST, this.words.scrollHeight)}px`;
    });
  }
}
