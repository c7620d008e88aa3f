// What every page beside the chat is built of: heads, tables, states, and values as people read them.

import { button as plainButton, bytes as size, dialog, el, fill, icon, money as dollars, number, toast, when as exactly } from "./ui.js";

export { number };

/** Never broken between the number and its unit. */
export const bytes = (many) => size(many).replace(" ", "\u00a0");

export const money = (micros) => (micros ? dollars(micros) : "$0");

/** What answers cost together, as far as their prices are known. */
export function cost({ cost_micros, unpriced }) {
  if (!unpriced) return money(cost_micros);
  return cost_micros ? `${money(cost_micros)} +` : "not known";
}

/** A page's head and the room below it, which is returned. `back` is {href, text}. */
export function page(root, { title, lead = "", actions = [], back = null }) {
  const room = el("div", {});
  const head = el("div", {}, el("h1", { dir: "auto" }, title), lead && el("p", {}, lead));
  fill(
    root,
    el(
      "div",
      { class: "page", tabIndex: -1 },
      back && el("p", { class: "back" }, el("a", { href: back.href }, icon("left"), back.text)),
      el("header", { class: "bar" }, head, el("div", { class: "row wrap" }, actions)),
      room,
    ),
  );
  return room;
}

/** Fills `where` with what `draw` makes of what `load` brings; says that it loads, and what went wrong with a way to
 *  try again. Returns what does it again, keeping what is there until the new is. `put` is how it comes there. */
export function loaded(where, load, draw, put = fill) {
  let newest = 0;
  async function again() {
    const mine = ++newest;
    if (!where.childNodes.length) fill(where, waiting());
    where.setAttribute("aria-busy", "true");
    try {
      const told = await load();
      if (mine === newest) put(where, draw(told));
    } catch (error) {
      if (mine === newest) put(where, trouble(error, again));
    } finally {
      if (mine === newest) where.removeAttribute("aria-busy");
    }
  }
  again();
  return again;
}

/** Puts other children into an element and keeps what is the same, so that the focus and a selection stay. What is kept
 *  goes on doing what it did: this is for what is drawn again and again of the same. */
export function renewed(where, ...children) {
  const fresh = [...fill(document.createElement(where.tagName), children).childNodes];
  for (const old of [...where.childNodes].slice(fresh.length)) old.remove();
  fresh.forEach((each, place) => {
    const old = where.childNodes[place];
    if (!old) where.append(each);
    else if (old.isEqualNode(each)) return;
    else if (!each.children?.length || old.nodeName !== each.nodeName || !sameLook(old, each)) old.replaceWith(each);
    else renewed(old, ...each.childNodes);
  });
  return where;
}

const sameLook = (one, other) => one.cloneNode().isEqualNode(other.cloneNode());

export const waiting = (words = "Loading…") =>
  el("p", { class: "row muted waiting", role: "status" }, el("span", { class: "spinner", "aria-hidden": "true" }), words);

/** What went wrong, in the server's own sentence, and a way to try again. */
export const trouble = (error, again = null) =>
  notice("bad", el("p", { role: "alert" }, sentence(error)), again && el("p", {}, button("Try again", again)));

export const sentence = (error) => error?.message || "Something went wrong; the bot's log says what.";

/** A sentence of the bot's, with what stands between backticks as code. */
export const coded = (words) => words.split("`").map((each, place) => (place % 2 ? el("code", {}, each) : each));

export const empty = (words, ...more) => el("div", { class: "empty" }, el("p", {}, words), more);

/** A box that says how something stands: `good`, `bad`, `warn` or `plain`. */
export const notice = (tone, ...children) =>
  el("div", { class: `notice ${tone}` }, icon({ good: "check", plain: "note" }[tone] ?? "warn"), el("div", { class: "grow said" }, children));

export const badge = (words, tone = "plain") => el("span", { class: `badge ${tone}` }, words);

/** A button that cannot be pressed twice while its work runs, and says what went wrong. `tone` is primary or danger,
 *  `label` what it is called where its words alone do not say it. */
export function button(words, act, { tone = "", label = null, disabled = false, little = false } = {}) {
  const made = plainButton(words, pressed, { class: `btn ${tone}${little ? " little" : ""}`, disabled, "aria-label": label });
  async function pressed() {
    if (made.getAttribute("aria-busy")) return;
    made.setAttribute("aria-busy", "true");
    try {
      await act();
    } catch (error) {
      toast(sentence(error), "bad");
    } finally {
      made.removeAttribute("aria-busy");
    }
  }
  return made;
}

export const input = (props = {}) => el("input", { type: "text", class: "input", autocomplete: "off", ...props });

/** A box to tick, and its label with it inside. */
export function checkbox(words, checked = false, changed = null) {
  const box = el("input", { type: "checkbox", checked, onchange: changed && (() => changed(box.checked)) });
  return { box, label: el("label", { class: "check" }, box, el("span", {}, words)) };
}

/** `choices` are [value, words]. */
export function select(choices, value = "", changed = null) {
  const made = el("select", { class: "input" }, choices.map(([is, words]) => el("option", { value: is }, words)));
  made.value = value;
  if (changed) made.addEventListener("change", () => changed(made.value));
  return made;
}

/** A table. A column is {head, cell(row), number?, broad?, unseen?, corner?}; on a phone each row becomes a card. */
export function table(caption, columns, rows, none = "There is nothing yet.") {
  if (!rows.length) return empty(none);
  const kind = (column) => [column.number && "number", column.broad && "broad", column.corner && "corner"].filter(Boolean).join(" ");
  const head = columns.map((column) =>
    el("th", { scope: "col", class: kind(column) }, column.unseen ? el("span", { class: "away" }, column.head) : column.head),
  );
  const body = rows.map((row) =>
    el("tr", {}, columns.map((column) => el("td", { class: kind(column), "data-head": column.unseen ? "" : column.head }, column.cell(row)))),
  );
  return el(
    "table",
    { class: "table folding" },
    el("caption", { class: "away" }, caption),
    el("thead", {}, el("tr", {}, head)),
    el("tbody", {}, body),
  );
}

/** What is shown only when it is opened, and made only then. */
export function folded(words, build, { open = false } = {}) {
  const made = el("details", {}, el("summary", {}, words));
  const draw = () => made.open && made.childElementCount === 1 && made.append(...[build()].flat().filter(Boolean));
  made.addEventListener("toggle", draw);
  made.open = open;
  draw();
  return made;
}

/** Names and values, [name, value] each. */
export const facts = (pairs, kind = "facts") =>
  el("dl", { class: kind }, pairs.map(([name, value]) => (kind === "facts" ? pair(name, value) : el("div", {}, pair(name, value)))));

const pair = (name, value) => [el("dt", {}, name), el("dd", { dir: "auto" }, value)];

const EMPTIES = 20;

/** Pages of a list: `fetch(cursor)` brings {items, older}, `draw(items)` elements; a button brings more. */
export function paged(where, fetch, draw) {
  const found = [];
  let older = null;
  /** A page may be empty and not be the last. */
  async function take(cursor) {
    let told = await fetch(cursor);
    for (let empties = 0; !told.items.length && told.older && empties < EMPTIES; empties++) told = await fetch(told.older);
    if (cursor === null) found.length = 0;
    found.push(...told.items);
    older = told.older ?? null;
  }
  const shown = () => [draw(found), older && el("p", { class: "row centre" }, button("Show more", more))];
  async function more() {
    await take(older);
    fill(where, shown());
  }
  const first = () => take(null);
  return loaded(where, first, shown);
}

/** A dialog around an element that is there already; `closed` is called when it is closed. */
export function opened(title, body, { big = false, closed = () => {} } = {}) {
  const shown = dialog(title, () => body, { big });
  shown.closed.then(closed);
  return shown;
}

/** A form in a dialog that stays open where what was asked for is refused, and says why. */
export function asking(title, fields, verb, act, { tone = "primary" } = {}) {
  const told = el("div", {});
  const go = el("button", { type: "submit", class: `btn ${tone}` }, verb);
  const cancel = plainButton("Cancel", () => shown.close());
  const form = el("form", { class: "stack", onsubmit: submitted }, fields, told, el("div", { class: "row end" }, cancel, go));
  async function submitted(event) {
    event.preventDefault();
    go.disabled = true;
    try {
      await act();
      shown.close();
    } catch (error) {
      fill(told, trouble(error));
    } finally {
      go.disabled = false;
    }
  }
  const shown = opened(title, form);
  return shown;
}

/** Calls `act` once nothing was typed for a moment. */
export function soon(act) {
  let waits = 0;
  return () => {
    clearTimeout(waits);
    waits = setTimeout(act, 250);
  };
}

export const count = (many, one, more = `${one}s`) => `${number(many)} ${many === 1 ? one : more}`;

/** When, as far off as people say it, with the exact time on pointing. */
export function when(at, never = "never") {
  return at ? el("time", { attrs: { datetime: at }, title: exactly(at) }, ago(at)) : el("span", { class: "muted" }, never);
}

/** Units with how many of each are told at most, in seconds each. */
const STEPS = [[60, 1, "second"], [60, 60, "minute"], [24, 3_600, "hour"], [30, 86_400, "day"]];

export const ago = (at, now = Date.now()) => recently(at, now) ?? date(at);

/** How far off, or null where only a date says it. */
export function recently(at, now = Date.now()) {
  const seconds = (now - new Date(at).getTime()) / 1000;
  const far = Math.abs(seconds);
  if (far < 10) return "just now";
  const step = STEPS.find(([below, unit]) => Math.round(far / unit) < below);
  if (!step) return null;
  const told = count(Math.round(far / step[1]), step[2]);
  return seconds < 0 ? `in ${told}` : `${told} ago`;
}

const dates = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
export const date = (at) => dates.format(new Date(at));

const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
/** The day and the time of day. */
export const moment = (at) => moments.format(new Date(at));

export const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);

/** A channel as people call it. */
export function channelName(channel) {
  const name = channel?.name || channel?.id || "somewhere";
  if (channel?.front === "web") return `${name}, in the console`;
  if (channel?.front === "terminal") return `${name}, in the terminal`;
  if (channel?.kind === "dm") return `${name}, in private`;
  return `#${name}${channel?.guild_name ? ` · ${channel.guild_name}` : ""}`;
}

/** Where a session is, to whoever is here. */
export const placeOf = (session) => (session.mine ? "here, with you" : channelName(session.channel));

export const titleOf = (session) => session?.title || "Untitled";

/** The address of a session in the console. */
export const at = (page, ...rest) => `#/${[page, ...rest.map(encodeURIComponent)].join("/")}`;
