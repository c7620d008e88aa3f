// Slash commands, offered while one types their names.

import { el, fill } from "./ui.js";

export class Slash {
  /** `words` is where one writes; `does` is {changed(), press()}: what is written is another now, and is to be sent. */
  constructor(words, commands, does) {
    this.words = words;
    this.commands = commands;
    this.does = does;
    this.offered = [];
    this.element = el("ul", { class: "slash", id: "slash", role: "listbox", "aria-label": "Commands", hidden: true });
  }

  #at = 0;

  /** Whether a key was meant for what is offered. */
  key(event) {
    if (this.element.hidden) return false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      this.#at = (this.#at + step + this.offered.length) % this.offered.length;
      this.#mark();
    } else if (event.key === "Tab" || event.key === "Enter") this.#choose(this.#at);
    else if (event.key === "Escape") {
      event.stopPropagation();
      this.offer(null);
    } else return false;
    event.preventDefault();
    return true;
  }

  /** The commands that begin so; none for "" given by hand, all for "/" alone. */
  offer(typed) {
    const found =
      typed === null || (typed === "" && this.words.value !== "/") || document.activeElement !== this.words
        ? []
        : this.commands.filter((each) => each.name.startsWith(typed));
    this.#at = 0;
    this.offered = found.slice(0, 12);
    this.element.hidden = !this.offered.length;
    this.words.setAttribute("aria-expanded", String(this.offered.length > 0));
    fill(
      this.element,
      this.offered.map((each, n) =>
        el(
          "li",
          {
            role: "option",
            id: `slash-${n}`,
            "aria-selected": String(n === 0),
            onmousedown: (event) => {
              event.preventDefault();
              this.#choose(n);
            },
          },
          el(
            "span",
            { class: "mono" },
            `/${each.name}`,
            each.usage && el("span", { class: "muted" }, ` ${each.usage}`),
          ),
          el("span", { class: "muted small" }, each.description),
        ),
      ),
    );
    this.#mark();
  }

  #mark() {
    [...this.element.children].forEach((each, n) => each.setAttribute("aria-selected", String(n === this.#at)));
    if (this.offered.length) {
      this.words.setAttribute("aria-activedescendant", `slash-${this.#at}`);
      this.element.children[this.#at]?.scrollIntoView({ block: "nearest" });
    } else this.words.removeAttribute("aria-activedescendant");
  }

  #choose(n) {
    const chosen = this.offered[n];
    this.words.value = `/${chosen.name}${chosen.usage ? " " : ""}`;
    this.does.changed();
    this.offer(null);
    if (!chosen.usage) this.does.press();
  }
}
