// The family of a session as a picture: what came of what, drawn as SVG whose boxes are links.

import { svg } from "./charts.js";
import { ago, at, count, notice, titleOf } from "./pages.js";
import { el } from "./ui.js";

const BOX = { wide: 216, high: 50 };
const GAP = { across: 52, down: 14 };
const HOW = { branch: "branched from", copy: "a copy of", merge: "merged from" };

/** A picture of a family as the API tells it ({sessions, descents, cut}), the session with the id `here` marked. To a
 *  screen reader it is a group of links, each of which says what it came of. */
export function tree({ sessions, descents, cut }, here) {
  const known = new Map(sessions.map((each) => [each.id, { session: each, parents: [], children: [] }]));
  for (const { parent, child, how } of descents) {
    const [from, to] = [known.get(parent), known.get(child)];
    if (!from || !to) continue;
    to.parents.push({ node: from, how });
    from.children.push(to);
  }
  const placed = laidOut([...known.values()]);
  const across = Math.max(...placed.map((each) => each.depth)) + 1;
  const down = Math.max(...placed.map((each) => each.line)) + 1;
  const width = across * (BOX.wide + GAP.across) - GAP.across + 4;
  const height = down * (BOX.high + GAP.down) - GAP.down + 4;
  const drawn = svg("svg", { width, height, class: "tree", role: "group", "aria-label": "Where it comes from, and what came of it" });
  for (const each of placed) for (const { node, how } of each.parents) drawn.append(edge(node, each, how));
  for (const each of placed) drawn.append(box(each, here));
  const more = cut && notice("plain", el("p", {}, "The family is larger than this picture."));
  return el("div", { class: "stack" }, el("div", { class: "tree-room" }, drawn), more);
}

/** Where each stands: one step right of what it came of last; its first child on its own line, the others below. */
function laidOut(nodes) {
  const placed = [];
  let lines = 0;
  for (const root of nodes.filter((each) => !each.parents.length)) {
    const waiting = [{ node: root, line: null }];
    while (waiting.length) {
      const { node, line } = waiting.pop();
      if (node.line !== undefined) continue;
      node.line = line?.free ? line.at : lines++;
      if (line) line.free = false;
      placed.push(node);
      const own = { at: node.line, free: true };
      for (const child of [...node.children].reverse()) waiting.push({ node: child, line: own });
    }
  }
  for (const node of placed) node.depth = 0;
  for (let turn = 0, moved = true; moved && turn <= placed.length; turn++) {
    moved = false;
    for (const node of placed) {
      const depth = Math.max(0, ...node.parents.map((each) => each.node.depth + 1));
      if (depth > node.depth) [node.depth, moved] = [depth, true];
    }
  }
  return placed;
}

const corner = (node) => ({ x: 2 + node.depth * (BOX.wide + GAP.across), y: 2 + node.line * (BOX.high + GAP.down) });

function edge(from, to, how) {
  const start = { x: corner(from).x + BOX.wide, y: corner(from).y + BOX.high / 2 };
  const end = { x: corner(to).x, y: corner(to).y + BOX.high / 2 };
  const middle = end.x - GAP.across / 2;
  return svg("path", { class: `edge ${how}`, d: `M${start.x},${start.y} C${middle},${start.y} ${middle},${end.y} ${end.x},${end.y}` });
}

function box(node, here) {
  const { x, y } = corner(node);
  const { session } = node;
  const state = session.deleted_at ? "deleted" : session.archived ? "archived" : "";
  const lines = count(session.message_count, "message");
  const from = node.parents.map(({ node: parent, how }) => `${HOW[how]} ${titleOf(parent.session)}`).join(", ") || "where it began";
  const link = svg(
    "a",
    {
      href: at("sessions", session.id),
      class: `box ${session.id === here ? "here" : ""} ${state}`,
      "aria-label": [titleOf(session), from, lines, state].filter(Boolean).join(", "),
    },
    svg("title", {}, `${titleOf(session)} · ${from}`),
    svg("rect", { x, y, width: BOX.wide, height: BOX.high, rx: 8 }),
    svg(
      "foreignObject",
      { x, y, width: BOX.wide, height: BOX.high },
      el(
        "div",
        { class: "about" },
        el("b", { class: "clip", dir: "auto" }, titleOf(session)),
        el("span", { class: "clip" }, `${lines} · ${state || ago(session.last_at)}`),
      ),
    ),
  );
  if (session.id === here) link.setAttribute("aria-current", "page");
  return link;
}
