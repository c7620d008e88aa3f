// Pictures of numbers: bars over days and bars by name, drawn as SVG at the width that there is.

import { el } from "./ui.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 180;
const LEFT = 56;
const BELOW = 24;

export function svg(tag, props = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) made.setAttribute(name, String(value));
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Bars over days. `points` are `{key, value}`, oldest first; `told(value)` says a value. The numbers are in a table
* beside it: the picture is one thing to a screen reader, named by `label`. */
export function bars(label, points, told) {
  const room = el("div", { class: "chart" });
  function draw() {
    const width = Math.max(240, Math.floor(room.clientWidth || 640));
    room.replaceChildren(picture(label, points, told, width));
  }
  new ResizeObserver(draw).observe(room);
  return room;
}

function picture(label, points, told, width) {
  const most = scale(Math.max(0, ...points.map((each) => each.value)));
  const marks = most ? [0, 0.5, 1] : [0];
  const high = HEIGHT - BELOW - 12;
  const step = (width - LEFT - 4) / Math.max(1, points.length);
  const drawn = svg("svg", { width, height: HEIGHT, role: "img", "aria-label": label, class: "bars" });
  for (const part of marks) {
    const y = 12 + high * (1 - part);
    drawn.append(
      svg("line", { x1: LEFT, x2: width, y1: y, y2: y, class: part ? "grid" : "ground" }),
      svg("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, told(most * part)),
    );
  }
  const named = Math.max(1, Math.ceil((points.length * 62) / Math.max(1, width - LEFT)));
  points.forEach((each, place) => {
    const tall = most ? (each.value / most) * high : 0;
    const x = LEFT + step * place;
    const bar = svg("rect", {
      x: x + step * 0.12,
      y: 12 + high - Math.max(tall, each.value ? 2 : 0),
      width: Math.max(1, step * 0.76),
      height: Math.max(tall, each.value ? 2 : 0),
      rx: Math.min(3, step / 4),
    });
    const over = svg("rect", { x, y: 12, width: step, height: high, class: "over" });
    drawn.append(svg("g", {}, svg("title", {}, `${each.key}: ${told(each.value)}`), over, bar));
    if (place % named === 0)
      drawn.append(svg("text", { x: x + step / 2, y: HEIGHT - 6, "text-anchor": "middle" }, short(each.key)));
  });
  return drawn;
}

function short(key) {
  const at = new Date(`${key}T00:00:00Z`);
  return Number.isNaN(at.getTime())
    ? key.slice(0, 8)
    : at.toLocaleDateString(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
}

/** The next round number. */
function scale(most) {
  if (most <= 0) return 0;
  const size = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 2.5, 5, 10].map((each) => each * size).find((each) => each >= most);
}

/** One bar of how much is used: `share` from 0 to 1 and over. */
export function meter(label, share) {
  const part = Math.max(0, Math.min(1, share));
  const tone = share >= 1 ? "bad" : share >= 0.8 ? "warn" : "good";
  return svg(
    "svg",
    { class: `meter ${tone}`, viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("rect", { class: "ground", x: 0, y: 0, width: 100, height: 8 }),
    svg("rect", { class: "full", x: 0, y: 0, width: part * 100, height: 8 }),
  );
}
