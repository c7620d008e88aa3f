// An answer while it is being given: its words as they come, made into Markdown at a pace of their own.

import { api } from "./api.js";
import { written } from "./chat_message.js";
import { el, face } from "./ui.js";

const PACE = 320;

export class Answer {
  /** `changed` is called when it has grown. */
  constructor(changed) {
    this.changed = changed;
    this.id = null;
    this.text = "";
    this.says = el("div", { class: "says", dir: "auto" });
    this.dots = el("span", { class: "dots", role: "img", "aria-label": "thinking" }, el("i"), el("i"), el("i"));
    this.who = el("bdi", { class: "who" }, "");
    this.face = el("span", { class: "face persona waiting" });
    this.element = el(
      "article",
      { class: "m assistant persona coming", "aria-busy": "true" },
      el(
        "div",
        { class: "line" },
        this.face,
        el("div", { class: "body" }, el("header", { class: "by" }, this.who), this.says, this.dots),
      ),
    );
  }

  #shown = 0;
  #asking = false;
  #over = false;
  #age = 0;

  began({ answer_id, speaker }) {
    this.id = answer_id;
    this.who.textContent = speaker;
    const known = face(speaker, { persona: true });
    this.face.replaceWith(known);
    this.face = known;
    this.changed();
  }

  more(text) {
    this.text += text;
    this.dots.hidden = true;
    this.#rest();
    this.#render();
    this.changed();
  }

  anew() {
    this.text = "";
    this.#shown = 0;
    this.#age++;
    this.says.replaceChildren();
    this.dots.hidden = false;
  }

  end() {
    this.#over = true;
    this.element.remove();
  }

  /** Words that are not made into Markdown yet stand behind those that are, in the same paragraph. */
  #rest() {
    let tail = this.says.querySelector(".rest");
    const open = fence(this.text, this.#shown);
    if (!tail) {
      tail = el("span", { class: "rest" });
      let last = this.says.lastElementChild;
      while (last && !["P", "LI", "CODE", "H4", "H5", "H6"].includes(last.tagName) && last.lastElementChild)
        last = !last.classList.contains("code") ? last.lastElementChild : open ? last.querySelector("code") : null;
      if (last && ["P", "LI", "CODE", "H4", "H5", "H6"].includes(last.tagName)) last.append(tail);
      else this.says.append(tail);
    }
    const words = this.text.slice(this.#shown, open ? Math.max(this.#shown, open.end) : undefined),
      before = tail.previousSibling?.textContent ?? "";
    const gap = before && !/\s$/.test(before) ? /\s*$/.exec(this.text.slice(0, this.#shown))[0] : "";
    tail.textContent = tail.parentNode === this.says ? words.trimStart() : words && gap + words;
  }

  async #render() {
    if (this.#asking || this.#over) return;
    this.#asking = true;
    const text = this.text,
      age = this.#age,
      begun = performance.now();
    try {
      const { html } = await api.post("/api/chat/rendered", { text });
      if (!this.#over && age === this.#age) {
        this.says.querySelector(".rest")?.remove();
        written(this.says, html);
        this.#shown = text.length;
        this.#rest();
        this.changed();
      }
    } catch {
      /* its words are there as they are */
    }
    setTimeout(
      () => {
        this.#asking = false;
        if (this.text.length !== this.#shown) this.#render();
      },
      Math.max(0, PACE - (performance.now() - begun)),
    );
  }
}

/** The code that is open at `at`, and where it ends; null where there is none. */
function fence(text, at) {
  let open = null;
  for (const { 0: line, 1: mark, index } of text.matchAll(/^ *(`{3,}|~{3,})[^\n]*$/gm)) {
    if (index >= at && !open) break;
    if (!open) open = { mark, end: text.length };
    else if (mark.startsWith(open.mark) && line.trim() === mark) {
      if (index >= at) return { end: index };
      open = null;
    }
  }
  return open;
}
