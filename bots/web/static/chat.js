// The chat: conversations beside, several open in tabs, and one of them in front.

import { api, live, me } from "./api.js";
import { go, titled } from "./app.js";
import { Sidebar } from "./chat_sidebar.js";
import { Talk } from "./chat_talk.js";
import { named } from "./chat_titles.js";
import { attempt, el, fill, iconButton, toast } from "./ui.js";

const MOST_TABS = 8;
let commands = null;

export async function mount(root, params) {
  commands ??= await api
    .get("/api/chat/commands")
    .then((told) => told.items.map(plain))
    .catch(() => []);
  const chat = new Chat(commands);
  fill(root, chat.element);
  chat.show(params);
  const leave = () => chat.close();
  leave.moved = (next) => chat.show(next);
  return leave;
}

const plain = ({ name, about, takes }) => ({ name, description: about, usage: takes });

class Chat {
  constructor(known) {
    this.commands = known;
    this.tabs = recalled();
    this.strip = el("div", { class: "open-tabs", role: "tablist", "aria-label": "Open conversations" });
    this.room = el("div", { class: "room" });
    this.side = new Sidebar({
      open: (id) => go(`chat/${encodeURIComponent(id)}`),
      begin: () => this.begin(),
      hide: () => this.#side(false),
      gone: (id) => this.#gone(id),
      changed: (session) => this.#changed(session),
      exported: (session) => this.#export(session),
    });
    this.veil = el("div", { class: "veil-side", onclick: () => this.#side(false) });
    this.opener = iconButton("side", "Show conversations", () => this.#side(true), { class: "icon-btn show-side" });
    this.element = el(
      "div",
      { class: "chat" },
      this.side.element,
      this.veil,
      el("div", { class: "main" }, this.opener, this.strip, this.room),
    );
    if (localStorage.getItem("side") === "no") this.element.classList.add("alone");
    this.#off = live.on(["session", "said"], (event) => {
      if (event.session) {
        this.side.change(event.session, event.gone, event.message?.seen === false ? null : event.message);
        if (event.is === "session") this.#changed(event.session, true);
      }
    });
    live.addEventListener("state", this.#again);
    addEventListener("keydown", this.#keys);
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.element.classList.contains("with-side")) {
        this.#side(false);
        this.talk.composer.focus();
      }
    });
  }

  #off;
  talk = null;

  close() {
    this.#off();
    this.talk?.close();
    this.talk = null;
    live.removeEventListener("state", this.#again);
    removeEventListener("keydown", this.#keys);
  }

  show({ rest, query }) {
    const id = rest[0] || null,
      message = query.get("at");
    this.#side(false, false);
    if (this.talk && this.talk.id === id && id) {
      if (message) attempt(() => this.talk.list.jump(message));
      return;
    }
    this.talk?.close();
    const talk = (this.talk = new Talk(id, this.commands, {
      adopted: (session) => this.#adopted(talk, session),
      open: (other, at, words = "") => {
        if (talk === this.talk) go(`chat/${encodeURIComponent(other)}${at ? `?at=${encodeURIComponent(at)}` : ""}`);
        if (words) toast(words);
      },
      begin: () => talk === this.talk && this.begin(),
      more: (session, anchor) => this.side.more(session, anchor),
      side: () => this.#side(true),
      exported: (session) => this.#export(session),
    }));
    fill(this.room, talk.element);
    this.side.mark(id);
    this.#tabs();
    titled("");
    if (id && !this.tabs.some((each) => each.id === id)) this.#opened({ id, title: this.side.title(id) });
    talk.open(message).then(() => {
      if (talk.session) {
        this.side.change(talk.session);
        this.#opened(talk.session, talk === this.talk);
      } else if (talk.missing) {
        this.tabs = this.tabs.filter((each) => each.id !== id);
        this.#tabs();
      }
    });
  }

  begin() {
    this.#side(false, false);
    if (!this.talk?.id) {
      this.talk?.composer.focus();
      return;
    }
    if (location.hash !== "#/chat") history.pushState(null, "", "#/chat");
    this.show({ rest: [], query: new URLSearchParams() });
  }

  /** The session of a conversation has begun, or is otherwise now; one may have gone on to another meanwhile. */
  #adopted(talk, session) {
    talk.adopt({ ...talk.session, ...session });
    if (talk !== this.talk) {
      this.side.change(session);
      this.#changed(session);
      return;
    }
    if (location.hash !== `#/chat/${encodeURIComponent(session.id)}`)
      history.replaceState(null, "", `#/chat/${encodeURIComponent(session.id)}`);
    this.side.change(session);
    this.#opened(session);
  }

  #opened(session, front = true) {
    if (front) {
      this.side.mark(session.id);
      titled(named(session));
    }
    const tab = this.tabs.find((each) => each.id === session.id);
    if (tab) tab.title = named(session);
    else this.tabs.push({ id: session.id, title: named(session) });
    if (this.tabs.length > MOST_TABS)
      this.tabs.splice(
        this.tabs.findIndex((each) => each.id !== session.id),
        1,
      );
    this.#tabs();
  }

  #changed(session, heard = false) {
    const tab = this.tabs.find((each) => each.id === session.id);
    if (heard && !session.title) return;
    if (tab) {
      tab.title = named(session);
      this.#tabs();
    }
    if (this.talk?.id === session.id) {
      titled(named(session));
      if (!heard) this.talk.adopt({ ...this.talk.session, ...session });
    }
  }

  #gone(id) {
    this.tabs = this.tabs.filter((each) => each.id !== id);
    this.#tabs();
    if (this.talk?.id === id) this.begin();
  }

  #tabs() {
    try {
      localStorage.setItem("tabs", JSON.stringify(this.tabs));
    } catch {
      /* they live as long as the page */
    }
    const now = this.talk?.id ?? null;
    this.strip.hidden = this.tabs.length < 2;
    fill(
      this.strip,
      this.tabs.map((each) =>
        el(
          "div",
          { class: "open-tab", "data-now": String(each.id === now), role: "presentation" },
          el(
            "button",
            {
              type: "button",
              role: "tab",
              "aria-selected": String(each.id === now),
              tabIndex: each.id === now || (!now && each === this.tabs[0]) ? 0 : -1,
              class: "clip",
              dir: "auto",
              title: each.title,
              onclick: () => go(`chat/${encodeURIComponent(each.id)}`),
              onkeydown: (event) => this.#along(event, each),
            },
            each.title || "New conversation",
          ),
          el(
            "button",
            {
              type: "button",
              class: "shut",
              tabIndex: -1,
              "aria-hidden": "true",
              title: "Close (Delete)",
              onclick: () => this.#shut(each.id),
            },
            "×",
          ),
        ),
      ),
    );
  }

  #along(event, tab) {
    const n = this.tabs.indexOf(tab),
      to = { ArrowRight: n + 1, ArrowLeft: n - 1 }[event.key];
    if (event.key === "Delete") {
      this.#shut(tab.id);
      this.strip.querySelector("[tabindex='0']")?.focus();
      return;
    }
    if (to === undefined) return;
    event.preventDefault();
    this.strip.querySelectorAll("[role=tab]")[(to + this.tabs.length) % this.tabs.length].focus();
  }

  #shut(id) {
    const n = this.tabs.findIndex((each) => each.id === id);
    this.tabs.splice(n, 1);
    if (this.talk?.id !== id) {
      this.#tabs();
      return;
    }
    const next = this.tabs[Math.min(n, this.tabs.length - 1)];
    if (next) go(`chat/${encodeURIComponent(next.id)}`);
    else this.begin();
  }

  #side(open, moves = true) {
    const narrow = matchMedia("(max-width: 60rem)").matches;
    if (narrow) {
      this.element.classList.toggle("with-side", open);
      if (open) (this.side.element.querySelector(".new") ?? this.side.search).focus();
      return;
    }
    if (!moves) return;
    this.element.classList.toggle("alone", !open);
    localStorage.setItem("side", open ? "yes" : "no");
    (open ? this.side.search : this.opener).focus();
  }

  #again = ({ detail }) => detail.again && this.side.load();

  async #export(session) {
    await attempt(async () => (await import("./export.js")).exportDialog([session]));
  }

  #keys = (event) => {
    const mod = event.ctrlKey || event.metaKey,
      writing = event.target.closest?.("input, textarea, select, dialog, [contenteditable]");
    if (mod && event.key.toLowerCase() === "k") {
      event.preventDefault();
      this.#side(true);
      this.side.search.focus();
      this.side.search.select();
    } else if (mod && event.shiftKey && event.key.toLowerCase() === "o") {
      event.preventDefault();
      this.begin();
    } else if (event.key === "/" && !mod && !writing) {
      event.preventDefault();
      this.talk.composer.words.focus();
    }
  };
}

function recalled() {
  try {
    const told = JSON.parse(localStorage.getItem("tabs") ?? "[]");
    return Array.isArray(told) ? told.filter((each) => typeof each?.id === "string").slice(0, MOST_TABS) : [];
  } catch {
    return [];
  }
}
