// Where one writes: words, files, whom to ask, what one replies to, and a draft of it all that outlives the page.

import { api, live, may, me, upload } from "./api.js";
import { Slash } from "./chat_slash.js";
import { bytes, el, face, fill, icon, iconButton, menu, toast } from "./ui.js";

const HIGHEST = 240;

export class Composer {
  /** `session` is the id that drafts belong to ("new" before there is one); `does` is {send(line), stop(), command(line),
   *  editLast()}: `send` and `command` resolve to true once what was written was taken. */
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
      oninput: () => this.#changed(),
      onkeydown: (event) => this.#key(event),
      onpaste: (event) => this.#pasted(event),
      onblur: () => setTimeout(() => this.slash.offer(""), 150),
    });
    this.picker = el("button", {
      type: "button",
      class: "btn ghost little who-answers",
      "aria-haspopup": "menu",
      onclick: () => this.#pick(),
    });
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
    this.slash = new Slash(this.words, commands, { changed: () => this.#changed(), press: () => this.#press() });
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
          may("chat") && iconButton("clip", "Attach files", () => this.input.click()),
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
          this.sending,
        ),
      ),
    );
    if (!may("chat")) {
      this.words.disabled = this.sending.disabled = true;
      this.words.placeholder = "You may read here, not write.";
    }
    this.#recall();
  }

  persona = null;
  reply = null;
  busy = false;
  #files = [];
  #at = 0;
  #typed = 0;

  focus() {
    if (!matchMedia("(hover: none)").matches || !this.words.value) this.words.focus({ preventScroll: true });
  }
  get empty() {
    return !this.words.value.trim() && !this.#files.length;
  }

  /** Whether an answer is under way: then the button stops it. */
  answering(is) {
    this.busy = is;
    this.#button();
  }

  say(words) {
    this.words.value = words;
    this.#changed();
    this.words.focus();
  }

  replyTo(message) {
    this.reply = message && { id: message.id, name: message.sender.name, text: message.text.slice(0, 140) };
    this.#draw();
    this.words.focus();
  }

  /** Takes files from wherever they come: they are sent at once, and only named when the line is. */
  attach(files) {
    for (const file of [...files].slice(0, 20)) {
      if (me.limits?.upload && file.size > me.limits.upload) {
        toast(`“${file.name}” has ${bytes(file.size)}; at most ${bytes(me.limits.upload)} are taken.`, { bad: true });
        continue;
      }
      const entry = {
        name: file.name || "pasted",
        size: file.size,
        gone: 0,
        hash: null,
        stop: new AbortController(),
        picture: /^image\/(png|jpeg|gif|webp|avif)$/.test(file.type) ? URL.createObjectURL(file) : null,
      };
      this.#files.push(entry);
      entry.sent = upload("/api/chat/attachments", file, {
        signal: entry.stop.signal,
        progress: (part) => {
          entry.gone = part;
          entry.bar?.style.setProperty("--part", part);
        },
      })
        .then((taken) => {
          Object.assign(entry, { hash: taken.hash, name: taken.name, type: taken.type });
        })
        .catch((error) => {
          if (error.name !== "AbortError") toast(error.message, { bad: true });
          this.#files = this.#files.filter((each) => each !== entry);
        })
        .finally(() => {
          this.#draw();
          this.#keep();
        });
    }
    this.#draw();
  }

  #button() {
    const stops = this.busy && this.empty;
    fill(this.sending, icon(stops ? "stop" : "send", { full: stops }));
    this.sending.title = stops ? "Stop the answer (Esc)" : "Send";
    this.sending.setAttribute("aria-label", stops ? "Stop" : "Send");
    this.sending.classList.toggle("stops", stops);
    this.sending.classList.toggle("ready", !stops && !this.empty);
  }

  async #press() {
    if (this.busy && this.empty) {
      this.does.stop();
      return;
    }
    const text = this.words.value.trim();
    if (this.empty || !may("chat") || this.taking) return;
    this.taking = true;
    this.slash.offer("");
    try {
      if (text.startsWith("/") && !this.#files.length && this.#known(text)) {
        if (await this.does.command(text)) this.clear();
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
      const kept = { words: this.words.value, files: this.#files, reply: this.reply };
      this.clear();
      if (!(await this.does.send(line)) && this.empty) {
        this.words.value = kept.words;
        this.#files = kept.files;
        this.reply = kept.reply;
        this.#draw();
        this.#changed();
      }
    } finally {
      this.taking = false;
    }
  }

  clear() {
    this.words.value = "";
    this.#files = [];
    this.reply = null;
    this.#draw();
    this.#changed();
  }

  #known(text) {
    const name = text.slice(1).split(/\s/)[0].toLowerCase();
    return this.commands.some((each) => each.name === name);
  }

  #changed() {
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

  #key(event) {
    if (event.isComposing) return;
    if (this.slash.key(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !(matchMedia("(hover: none)").matches && !event.ctrlKey)) {
      event.preventDefault();
      this.#press();
    } else if (event.key === "Escape" && this.busy) {
      event.preventDefault();
      this.does.stop();
    } else if (event.key === "Escape" && this.reply) {
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

  #pick() {
    menu(
      this.picker,
      [
        {
          label: "Whoever fits",
          hint: "The bot picks by what you write",
          checked: this.persona === null,
          run: () => this.choose(null),
        },
        ...me.personas.map((each) => ({
          label: each.display,
          hint: each.description,
          face: face(each.display, { persona: true, little: true }),
          checked: this.persona === each.name,
          run: () => this.choose(each.name),
        })),
      ],
      { label: "Who should answer" },
    );
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
    this.picker.hidden = me.personas.length < 2;
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
          this.#files.map((each) => {
            each.bar = each.hash ? null : el("span", { class: "part", style: { "--part": each.gone } });
            return el(
              "li",
              { class: each.hash ? "" : "going" },
              each.picture ? el("img", { src: each.picture, alt: "" }) : icon("file"),
              el("bdi", { class: "clip" }, each.name),
              el("small", {}, each.hash ? bytes(each.size) : "sending…"),
              each.bar,
              iconButton(
                "close",
                `Take away ${each.name}`,
                () => {
                  each.stop.abort();
                  this.#files = this.#files.filter((other) => other !== each);
                  this.#draw();
                  this.#keep();
                },
                { class: "icon-btn little" },
              ),
            );
          }),
        ),
    );
    this.#button();
  }

  #keep() {
    const draft = {
      text: this.words.value,
      persona: this.persona,
      reply: this.reply,
      files: this.#files.filter((each) => each.hash).map(({ name, size, hash }) => ({ name, size, hash })),
    };
    try {
      if (draft.text || draft.persona || draft.reply || draft.files.length)
        localStorage.setItem(`draft:${this.session}`, JSON.stringify(draft));
      else localStorage.removeItem(`draft:${this.session}`);
    } catch {
      /* storage is full: the draft lives as long as the page */
    }
  }

  #recall() {
    let draft = {};
    try {
      draft = JSON.parse(localStorage.getItem(`draft:${this.session}`) ?? "{}");
    } catch {
      /* not one of ours */
    }
    this.words.value = draft.text ?? "";
    this.persona = me.personas.some((each) => each.name === draft.persona) ? draft.persona : null;
    this.reply = draft.reply ?? null;
    this.#files = (draft.files ?? []).map((each) => ({
      ...each,
      sent: Promise.resolve(),
      stop: new AbortController(),
    }));
    this.#draw();
    requestAnimationFrame(() => {
      this.words.style.height = `${Math.min(HIGHEST, this.words.scrollHeight)}px`;
    });
  }
}
