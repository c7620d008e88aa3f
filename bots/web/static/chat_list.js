// The messages of one session, of which only those near what is looked at are in the page, however many there are.

import { api, live } from "./api.js";
import { drawn, redrawn } from "./chat_message.js";
import { el, fill, icon, iconButton, toast } from "./ui.js";

const PAGE = 60,
  MOST = 240,
  NEAR = 1_400;

export class Messages {
  /** `path` is where its messages are asked for; `does` as in `chat_message.js`, and {elsewhere(session id, message id)};
   *  `empty()` gives what stands there while nothing was said. */
  constructor(path, does, empty = () => null) {
    this.path = path;
    this.does = { ...does, jump: (id) => this.jump(id), quoted: (id) => this.get(id) };
    this.empty = empty;
    this.inside = el("div", { class: "talk", role: "log", "aria-live": "off", "aria-label": "Conversation" });
    this.tail = el("div", { class: "tail" });
    this.edges = { start: el("div", { class: "edge" }), end: el("div", { class: "edge" }) };
    this.down = iconButton("down", "To the newest", () => this.newest(), { class: "icon-btn to-newest", hidden: true });
    this.scroller = el(
      "div",
      { class: "scroller", tabIndex: 0, role: "region", "aria-label": "Messages", onscroll: () => this.#scrolled() },
      el("div", { class: "sheet" }, this.edges.start, this.inside, this.edges.end, this.tail),
    );
    this.element = el("div", { class: "messages" }, this.scroller, this.down);
    this.inside.addEventListener("keydown", (event) => this.#keys(event));
    this.#watch = new ResizeObserver(() => this.#held && this.#toEnd());
    this.#watch.observe(this.scroller.firstChild);
    this.#watch.observe(this.scroller);
    live.addEventListener("state", this.#onceMore);
    addEventListener("online", this.#onceMore);
  }

  #pages = [];
  /** The elements of the messages in the page, by their ids. */
  #known = new Map();
  #held = true;
  #busy = null;
  #watch;
  #gone = new AbortController();

  close() {
    this.#gone.abort();
    this.#watch.disconnect();
    live.removeEventListener("state", this.#onceMore);
    removeEventListener("online", this.#onceMore);
  }

  /** Whether the newest message is in the page. */
  get atEnd() {
    return !this.#pages.at(-1)?.newer;
  }
  get last() {
    return this.#nodes().at(-1)?.message ?? null;
  }
  get(id) {
    return this.#known.get(id)?.message ?? null;
  }

  /** Loads the newest, or those around one message. */
  async open(around = null) {
    const page = await this.#load(around ? { around } : {});
    this.#pages = [];
    this.#known.clear();
    fill(this.inside);
    for (const edge of Object.values(this.edges)) fill(edge);
    this.#put(page, "end");
    this.#orEmpty();
    this.#held = !around;
    if (around) {
      await this.#fillUp();
      this.#show(around);
    } else {
      this.#toEnd();
      await this.#fillUp();
    }
  }

  async newest() {
    this.#held = true;
    if (!this.atEnd) await this.open();
    this.#toEnd();
  }

  /** Reads again what is in the page, after events were missed: what was said, edited and deleted meanwhile. */
  async refresh() {
    const all = this.#nodes();
    if (!this.atEnd) {
      const near = await this.#load({ around: (this.#inSight() ?? all.at(-1))?.message.id });
      this.#renew(near.items);
      return;
    }
    const found = [];
    let cursor = null;
    do {
      const page = await this.#load({ cursor });
      found.unshift(...page.items);
      cursor = page.older;
    } while (cursor && found.length < MOST && all.length && found[0]?.id > all[0].message.id);
    if (all.length && !found.some((each) => this.#known.has(each.id))) await this.open();
    else this.#renew(found);
  }

  /** Takes a stretch of messages for what stands between its first and its last now. */
  #renew(items) {
    const now = new Set(items.map((each) => each.id));
    for (const { message } of this.#nodes())
      if (!now.has(message.id) && message.id > items[0]?.id && (this.atEnd || message.id < items.at(-1).id))
        this.remove(message.id);
    for (const each of items) {
      const known = this.get(each.id);
      if (known && JSON.stringify(known) !== JSON.stringify(each)) this.change(each);
      else if (!known) this.add(each);
    }
  }

  /** A message that was just said; it goes where it stands in time, which may be before what came here first. */
  add(message) {
    if (this.#known.has(message.id)) {
      this.change(message);
      return;
    }
    if (!this.atEnd || message.seen === false) return;
    const all = this.#nodes();
    let n = all.length;
    while (n && all[n - 1].message.id > message.id) n--;
    if (!n && this.#pages[0]?.older) return;
    if (!all.length) {
      fill(this.inside);
      this.#pages = this.#pages.slice(0, 1);
    }
    if (!this.#pages.length) this.#pages.push({ older: null, newer: null, nodes: [] });
    const [before, after] = [all[n - 1], all[n]],
      node = drawn(message, before?.message, this.does);
    this.#known.set(message.id, node);
    const page = before ? this.#pages.findLast((each) => each.nodes.includes(before)) : this.#pages[0];
    page.nodes.splice(before ? page.nodes.indexOf(before) + 1 : 0, 0, node);
    if (after) {
      after.before(node);
      redrawn(after, after.message, message, this.does);
    } else this.inside.append(node);
    this.#trim("start");
    this.#equip();
    this.stick();
  }

  /** A message that is otherwise now. */
  change(message) {
    const node = this.#known.get(message.id);
    if (message.deleted_at) {
      this.remove(message.id);
      return;
    }
    if (!node) return;
    if (message.html === null || message.html === undefined)
      message = { ...message, html: message.text === node.message.text ? node.message.html : null };
    const held = node.contains(document.activeElement);
    redrawn(node, message, node.previousElementSibling?.message, this.does);
    this.#equip();
    if (held) node.focus({ preventScroll: true });
    this.stick();
  }

  remove(id) {
    const node = this.#known.get(id);
    if (!node) return;
    const after = node.nextElementSibling;
    for (const page of this.#pages) page.nodes = page.nodes.filter((each) => each !== node);
    this.#known.delete(id);
    node.remove();
    if (after?.message) redrawn(after, after.message, after.previousElementSibling?.message, this.does);
    this.#equip();
    this.#orEmpty();
  }

  #orEmpty() {
    if (!this.#nodes().length && this.atEnd && !this.#pages[0]?.older) fill(this.inside, this.empty());
  }

  /** Keeps the end in sight, if that is where one is. */
  stick(force = false) {
    if (force) this.#held = true;
    if (this.#held) this.#toEnd();
  }

  async jump(id) {
    try {
      if (!this.#known.has(id)) await this.open(id);
      this.#show(id);
    } catch (error) {
      if (error.name !== "AbortError" && !(await this.#elsewhere(id))) toast(error.message, { bad: true });
    }
  }

  /** What a branch replies to may stand where that came from. */
  async #elsewhere(id) {
    const message = await api.get(`/api/chat/messages/${encodeURIComponent(id)}`).catch(() => null);
    if (!message || this.path.includes(`/${encodeURIComponent(message.session_id)}/`)) return false;
    this.does.elsewhere(message.session_id, id);
    return true;
  }

  #show(id) {
    const node = this.#known.get(id);
    if (!node) return;
    this.#held = false;
    node.scrollIntoView({ block: "center" });
    node.classList.add("found");
    setTimeout(() => node.classList.remove("found"), 2_400);
    node.focus({ preventScroll: true });
  }

  #equip() {
    this.#nodes().at(-1)?.equip();
  }

  #nodes() {
    return this.#pages.flatMap((page) => page.nodes);
  }

  #load(query) {
    return api.get(this.path, { limit: PAGE, html: "true", ...query }, { signal: this.#gone.signal });
  }

  #put(page, where) {
    const nodes = [];
    let before = where === "end" ? this.last : null;
    for (const message of page.items) {
      if (this.#known.has(message.id) || message.seen === false) continue;
      const node = drawn(message, before, this.does);
      this.#known.set(message.id, node);
      nodes.push(node);
      before = message;
    }
    const entry = { older: page.older, newer: page.newer, nodes };
    if (where === "end") {
      this.#pages.push(entry);
      this.inside.append(...nodes);
      this.#equip();
      return;
    }
    const first = this.inside.firstElementChild;
    this.#pages.unshift(entry);
    this.inside.prepend(...nodes);
    if (first?.message && nodes.length) redrawn(first, first.message, nodes.at(-1).message, this.does);
  }

  /** Takes whole pages out of sight at one end while there are too many. */
  #trim(where) {
    while (this.#pages.length > 2 && this.#nodes().length > MOST) {
      const page = where === "start" ? this.#pages.shift() : this.#pages.pop();
      for (const node of page.nodes) {
        this.#known.delete(node.message.id);
        node.remove();
      }
    }
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const below = scrollHeight - scrollTop - clientHeight;
    this.#held = this.atEnd && below < 90;
    this.down.hidden = this.atEnd && below < 600;
    this.#fillUp();
  }

  async #fillUp() {
    this.#busy ??= this.#filled().finally(() => {
      this.#busy = null;
    });
    await this.#busy;
  }

  async #filled() {
    for (let turn = 0; turn < 40; turn++) {
      const { scrollTop, scrollHeight, clientHeight } = this.scroller;
      const first = this.#pages[0],
        last = this.#pages.at(-1);
      if (first?.older && scrollTop < NEAR && !this.edges.start.firstChild) await this.#more({ cursor: first.older }, "start");
      else if (last?.newer && scrollHeight - scrollTop - clientHeight < NEAR && !this.edges.end.firstChild)
        await this.#more({ cursor: last.newer }, "end");
      else return;
    }
  }

  async #more(query, where) {
    const edge = where === "start" ? this.#pages[0] : this.#pages.at(-1);
    const way = where === "start" ? "older" : "newer";
    let page;
    try {
      page = await this.#load(query);
    } catch (error) {
      if (error.name !== "AbortError") this.#failed(where, error);
      return;
    }
    if (edge !== (where === "start" ? this.#pages[0] : this.#pages.at(-1))) return;
    const fixed = this.#inSight(),
      at = fixed?.getBoundingClientRect().top;
    if (!page.items.length) edge[way] = null;
    else this.#put(page, where);
    this.#trim(where === "start" ? "end" : "start");
    if (fixed?.isConnected && !this.#held) this.scroller.scrollTop += fixed.getBoundingClientRect().top - at;
    else if (this.#held) this.#toEnd();
  }

  #failed(where, error) {
    fill(
      this.edges[where],
      el(
        "div",
        { class: "notice warn", role: "alert" },
        icon("warn"),
        el("span", { class: "grow" }, error.message),
        el("button", { type: "button", class: "btn little", onclick: () => this.#onceMore() }, "Try again"),
      ),
    );
  }

  /** Asks again for what could not be loaded. */
  #onceMore = (event) => {
    if (event?.detail && event.detail.state !== "open") return;
    for (const edge of Object.values(this.edges)) fill(edge);
    this.#fillUp();
  };

  /** The first message that is in sight: what must not move while others come and go. */
  #inSight() {
    const top = this.scroller.getBoundingClientRect().top,
      all = this.#nodes();
    let low = 0,
      high = all.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (all[middle].getBoundingClientRect().bottom <= top) low = middle + 1;
      else high = middle;
    }
    return all[low] ?? null;
  }

  #toEnd() {
    const welcomes = this.inside.querySelector(".welcome") && !this.tail.firstChild;
    this.scroller.scrollTop = welcomes ? 0 : this.scroller.scrollHeight;
  }

  #keys(event) {
    const node = event.target.closest(".m");
    if (!node || event.target !== node) return;
    const to = { ArrowDown: node.nextElementSibling, ArrowUp: node.previousElementSibling }[event.key];
    if (to?.focus) {
      event.preventDefault();
      to.focus();
    } else if (event.key === "Enter") {
      event.preventDefault();
      node.querySelector(".tools .icon-btn:last-child")?.click();
    } else if (event.key === "ArrowDown" || event.key === "Escape")
      document.querySelector(".composer textarea")?.focus();
  }
}
