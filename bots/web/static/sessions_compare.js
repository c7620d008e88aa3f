// Two sessions side by side: what they have in common across both, and what is only in one of them beside it.

import { api, may } from "./api.js";
import { saidShown } from "./said.js";
import { at, button, count, empty, loaded, notice, page, titleOf, when } from "./pages.js";
import { el, fill } from "./ui.js";

const PAGE = 500;
const AROUND = 2;
const SIDES = { left: "only in the first", right: "only in the second", apart: "differs" };

export function mount(root, [first, second]) {
  const room = page(root, { title: "Side by side", back: { href: at("sessions", first ?? ""), text: "The first session" } });
  if (!first || !second) return fill(room, empty("Choose two sessions in the list, then Compare."));
  loaded(room, () => read(first, second, 0), (told) => drawn(told, first, second));
  return undefined;
}

const read = (first, second, skip) => api.get(`/api/chat/sessions/${encodeURIComponent(first)}/compare`, { other: second, skip, limit: PAGE, html: true });

function drawn(told, first, second) {
  const rows = [...told.rows];
  const table = el("div", { class: "compare", attrs: { role: "table", "aria-label": "Two sessions side by side" } });
  const more = el("p", { class: "row centre" });
  const draw = () => {
    fill(table, head(told), stretches(rows));
    fill(more, rows.length < told.total && button(`Show more of ${count(told.total, "row")}`, further));
  };
  async function further() {
    rows.push(...(await read(first, second, rows.length)).rows);
    draw();
  }
  draw();
  const same = told.only_left + told.only_right === 0;
  const swap = button("Swap", () => { location.hash = at("sessions", "compare", second, first); });
  const merge = button("Merge…", async () => (await import("./sessions_merge.js")).mergeDialog(told.left, told.right));
  return [
    el("div", { class: "row spread" }, el("p", { role: "status" }, told.told), el("div", { class: "row" }, swap, may("chat") && merge)),
    same && notice("good", el("p", {}, "The same was said in both.")),
    table,
    more,
  ];
}

function head({ left, right }) {
  return el("div", { class: "compare-row head", attrs: { role: "row" } }, [left, right].map((each) =>
    el("div", { attrs: { role: "columnheader" } }, el("a", { href: at("sessions", each.id), dir: "auto" }, titleOf(each)), el("small", { class: "muted block" }, count(each.message_count, "message"), ", last ", when(each.last_at)))));
}

/** Rows, a long stretch of what is in both folded to its ends. */
function stretches(rows) {
  const found = [];
  for (let start = 0; start < rows.length; ) {
    let end = start;
    while (end < rows.length && rows[end].side === "both") end++;
    if (end === start) { found.push(row(rows[start++])); continue; }
    const before = start === 0 ? 0 : AROUND;
    const after = end === rows.length ? 0 : AROUND;
    const inside = rows.slice(start + before, end - after);
    if (inside.length < 3) found.push(...rows.slice(start, end).map(row));
    else found.push(...rows.slice(start, start + before).map(row), folded(inside, start, end === rows.length), ...rows.slice(end - after, end).map(row));
    start = end;
  }
  return found;
}

/** What is folded, a button to show it; at the start of all it is what came earlier, at the end what came later. */
function folded(rows, start, last) {
  const which = !last ? "earlier line" : start ? "later line" : "line";
  const shown = el("button", { type: "button", class: "btn ghost", onclick: () => open.replaceWith(...rows.map(row)) }, `Show ${count(rows.length, which)}`);
  const open = el("div", { class: "compare-row both", attrs: { role: "row" } }, el("div", { class: "fold", attrs: { role: "cell", "aria-colspan": 2 } }, shown));
  return open;
}

function row({ side, left, right }) {
  if (side === "both") return el("div", { class: "compare-row both", attrs: { role: "row" } }, el("div", { attrs: { role: "cell", "aria-colspan": 2 } }, saidShown(left, when(left.at))));
  const cell = (message, name) => el("div", { class: message ? name : "none", attrs: { role: "cell" } }, message ? saidShown(message, when(message.at), el("span", { class: "badge which" }, SIDES[side])) : el("span", { class: "away" }, "nothing here"));
  return el("div", { class: "compare-row", attrs: { role: "row" } }, cell(left, "left"), cell(right, "right"));
}
