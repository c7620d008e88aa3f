// The sessions one has: found by words, filtered, starred, archived, named and removed.

import { api, may, me } from "./api.js";
import { neighbours } from "./app.js";
import { sessionMenu } from "./chat_session_menu.js";
import { called, named } from "./chat_titles.js";
import { attempt, button, day, el, fill, icon, iconButton } from "./ui.js";

const PAGE = 40;

export class Sidebar {
  /** `does` is {open(id), begin(), found(session id, message id)}. */
  constructor(does) {
    this.does = does;
    this.filter = { starred: false, archived: false, tag: "" };
    this.current = null;
    this.search = el("input", {
      type: "search",
      class: "input",
      placeholder: "Search",
      "aria-label": "Search conversations (Ctrl K)",
      maxLength: 200,
      oninput: () => this.#soon(),
    });
    this.chips = el("div", { class: "chips", role: "group", "aria-label": "Filters" });
    this.listed = el("div", { class: "listed", tabIndex: -1 });
    this.element = el(
      "aside",
      { class: "side", "aria-label": "Conversations" },
      el(
        "div",
        { class: "side-top" },
        may("chat") &&
          el(
          "a",
          {
            href: "#/chat",
            class: "btn new",
            onclick: (event) => {
              event.preventDefault();
              does.begin();
            },
          },
          icon("plus"),
          "New chat",
        ),
        me.neighbours.some((each) => each.url) &&
          iconButton("on", "Other bots", (event) => neighbours(event.currentTarget), {
            class: "icon-btn other-bots",
            "aria-haspopup": "menu",
          }),
        iconButton("side", "Hide conversations", () => does.hide(), { class: "icon-btn hide-side" }),
      ),
      el("label", { class: "search" }, icon("search"), this.search),
      this.chips,
      this.listed,
    );
    this.listed.addEventListener("keydown", (event) => this.#keys(event));
    this.#chips();
    this.load();
  }

  #asked = 0;
  #timer = 0;
  #sessions = new Map();
  #older = null;

  #soon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.load(), 220);
  }

  #chips() {
    const toggle = (name, words) =>
      el(
        "button",
        {
          type: "button",
          class: "chip",
          "aria-pressed": String(this.filter[name]),
          onclick: () => {
            this.filter[name] = !this.filter[name];
            this.#chips();
            this.load();
          },
        },
        icon(name === "starred" ? "star" : "archive"),
        words,
      );
    fill(
      this.chips,
      toggle("starred", "Starred"),
      toggle("archived", "Archived"),
      this.filter.tag &&
        el(
          "button",
          {
            type: "button",
            class: "chip",
            "aria-pressed": "true",
            "aria-label": `Tag ${this.filter.tag}: show all again`,
            onclick: () => {
              this.filter.tag = "";
              this.#chips();
              this.load();
            },
          },
          icon("tag"),
          this.filter.tag,
          icon("close"),
        ),
    );
  }

  #query() {
    return {
      q: this.search.value.trim(),
      starred: this.filter.starred ? "true" : null,
      archived: String(this.filter.archived),
      tag: this.filter.tag || null,
      mine: "true",
      limit: PAGE,
    };
  }

  async load() {
    const turn = ++this.#asked,
      words = this.search.value.trim();
    if (!this.#sessions.size)
      fill(
        this.listed,
        [1, 2, 3].map(() => el("div", { class: "skeleton entry-soon" })),
      );
    let page,
      found = [];
    try {
      [page, found] = await Promise.all([
        api.get("/api/chat/sessions", this.#query()),
        words.length > 1
          ? api
              .get("/api/chat/search", { q: words, mine: "true", limit: 12 })
              .then((told) => told.items)
              .catch(() => [])
          : [],
      ]);
    } catch (error) {
      if (turn === this.#asked)
        fill(
          this.listed,
          el("div", { class: "notice bad" }, error.message),
          button("Try again", () => this.load(), { class: "btn little" }),
        );
      return;
    }
    if (turn !== this.#asked) return;
    this.#sessions = new Map(page.items.map((each) => [each.id, each]));
    this.#older = page.older;
    this.found = found;
    this.#draw();
  }

  async #more() {
    const page = await attempt(() => api.get("/api/chat/sessions", { ...this.#query(), cursor: this.#older }));
    if (!page) return;
    for (const each of page.items) this.#sessions.set(each.id, each);
    this.#older = page.older;
    this.#draw();
  }

  /** A session is otherwise now, or gone. */
  change(told, gone = false, message = null) {
    const session = called(told, this.#sessions.get(told.id), message);
    const fits =
      !gone &&
      !session.deleted_at &&
      session.channel.key === me.channel &&
      session.archived === this.filter.archived &&
      (!this.filter.starred || session.starred) &&
      (!this.filter.tag || session.tags.includes(this.filter.tag)) &&
      !session.merged_into;
    if (this.search.value.trim() && !this.#sessions.has(session.id)) return;
    if (fits) this.#sessions.set(session.id, session);
    else if (!this.#sessions.delete(session.id)) return;
    this.#draw();
  }

  /** What a session is called, as far as it is known here. */
  title(id) {
    return this.#sessions.get(id)?.title ?? "";
  }

  mark(id) {
    this.current = id;
    for (const each of this.listed.querySelectorAll(".entry")) {
      if (each.dataset.id === id) each.setAttribute("aria-current", "true");
      else each.removeAttribute("aria-current");
    }
  }

  #draw() {
    const held = document.activeElement?.closest?.(".entry")?.dataset.id;
    const sessions = [...this.#sessions.values()].sort((a, b) => (a.last_at < b.last_at ? 1 : -1));
    const rows = [];
    let heading = "",
      listed = null;
    for (const each of sessions) {
      const of = age(each.last_at);
      if (of !== heading) {
        heading = of;
        listed = el("ul", { "aria-label": of });
        rows.push(el("h3", {}, of), listed);
      }
      listed.append(this.#entry(each));
    }
    const hits = (this.found ?? []).map((hit) => this.#hit(hit));
    fill(
      this.listed,
      rows,
      this.#older && button("Show more", () => this.#more(), { class: "btn ghost little more-sessions" }),
      this.search.value.trim() &&
        hits.length > 0 && [el("h3", {}, "In what was said"), el("ul", { "aria-label": "In what was said" }, hits)],
      !sessions.length &&
        !hits.length &&
        el(
          "p",
          { class: "none" },
          this.search.value.trim()
            ? "Nothing was found."
            : this.filter.archived
              ? "Nothing is in the archive."
              : this.filter.starred
                ? "Star a conversation to find it here."
                : this.filter.tag
                  ? "Nothing has this tag."
                  : "Your conversations will stand here.",
        ),
    );
    if (held) this.listed.querySelector(`.entry[data-id="${CSS.escape(held)}"] a`)?.focus();
  }

  #entry(session) {
    const name = named(session);
    return el(
      "li",
      { class: "entry", "data-id": session.id, "aria-current": session.id === this.current ? "true" : null },
      el(
        "a",
        { href: `#/chat/${encodeURIComponent(session.id)}`, dir: "auto", title: name },
        el("span", { class: "clip" }, name),
        session.starred && icon("star", { full: true }),
        session.parent_id && icon("branch"),
      ),
      iconButton("more", `More for ${name}`, (event) => this.more(session, event.currentTarget), {
        class: "icon-btn little",
        "aria-haspopup": "menu",
      }),
    );
  }

  #hit({ message, session, snippet, hits }) {
    const href = `#/chat/${encodeURIComponent(session.id)}?at=${encodeURIComponent(message.id)}`;
    return el(
      "li",
      { class: "entry hit" },
      el(
        "a",
        { href, dir: "auto" },
        el("span", { class: "small" }, el("span", { class: "muted" }, message.sender.name, ": "), marked(snippet, hits)),
        el("span", { class: "of small muted" }, el("bdi", { class: "clip" }, named(session)), day(message.at)),
      ),
    );
  }

  #keys(event) {
    const links = [...this.listed.querySelectorAll(".entry a")],
      at = links.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    (to < 0 ? this.search : links[to])?.focus();
  }

  /** What can be done with a session. */
  more(session, anchor) {
    sessionMenu(this, session, anchor);
  }

  /** Shows only what has a tag. */
  only(tag) {
    this.filter.tag = tag;
    this.#chips();
    this.load();
  }
}

/** Words with those marked that were looked for; `hits` are [from, to] in characters as Python counts them. */
function marked(words, hits) {
  const letters = [...words],
    told = [];
  let at = 0;
  for (const [from, to] of hits) {
    told.push(letters.slice(at, from).join(""), el("mark", {}, letters.slice(from, to).join("")));
    at = to;
  }
  return [...told, letters.slice(at).join("")];
}

function age(at) {
  const named = day(at),
    days = (Date.now() - new Date(at)) / 86_400_000;
  if (named === "Today" || named === "Yesterday") return named;
  return days < 7
    ? "This week"
    : days < 31
      ? "This month"
      : new Intl.DateTimeFormat(undefined, { month: "long", year: "numeric" }).format(new Date(at));
}
