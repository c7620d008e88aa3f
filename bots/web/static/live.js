// What the bot is saying now, channel by channel: listen, take over, hand back, stop.

import { api, live } from "./api.js";
import { channelView } from "./live_channel.js";
import { at, badge, button, channelName, count, empty, loaded, page, when } from "./pages.js";
import { el, fill } from "./ui.js";

const KINDS = ["hello", "standing", "began", "more", "anew", "ended", "said", "changed", "quiet", "typing"];
const WORDS = 140;

/** `#/live` and `#/live/<channel key>`. */
export function mount(root, { rest: [key] }) {
  const state = el("p", { class: "row muted", role: "status" });
  const room = page(root, { title: "Live", lead: "What goes on in every channel, word by word.", actions: [state] });
  const known = new Map();
  const rows = new Map();
  const list = el("ul", { class: "channels" });
  const side = el("div", { class: "channels-room" });
  const shown = el("div", { class: "channel-view" });
  let open = key ?? "";
  let view = null;
  let older = null;
  fill(room, el("div", { class: "live" }, side, shown));

  async function read(cursor = null) {
    const told = await api.get("/api/live/channels", { cursor, limit: 50 });
    for (const each of told.items) if (cursor === null || !known.has(each.channel.key)) put(each);
    older = told.older;
  }
  function put(each) {
    known.set(each.channel.key, { ...each, typing: "" });
    draw(each.channel.key);
  }
  const again = loaded(side, () => read(), () => {
    if (!known.size) return empty("Nobody has talked to this bot yet. As soon as somebody does, it is here.");
    if (!open && matchMedia("(min-width: 60rem)").matches) choose([...known.keys()][0]);
    const more = el("p", { class: "row centre" });
    if (older) more.append(button("Show more", async () => { await read(older); order(); if (!older) more.remove(); }));
    order();
    return [list, more];
  });

  /** Those that need somebody or in which the bot speaks come first, then the latest. */
  function order() {
    const rank = ({ under_way, quiet_until }) => (under_way.length ? 0 : quiet_until ? 1 : 2);
    const latest = (each) => Date.parse(each.session.last_at);
    const sorted = [...known.values()].sort((a, b) => rank(a) - rank(b) || latest(b) - latest(a));
    const wanted = sorted.map((each) => rows.get(each.channel.key));
    const there = [...list.children];
    if (wanted.some((row, place) => row !== there[place])) {
      const focused = document.activeElement;
      list.append(...wanted);
      if (list.contains(focused)) focused.focus();
    }
  }
  function draw(name) {
    const each = known.get(name);
    const row = rows.get(name) ?? rows.set(name, el("li", {})).get(name);
    const saying = each.under_way[0];
    const now = saying ? saying.text.slice(-WORDS) || "…" : each.typing;
    let link = row.firstElementChild;
    if (!link) {
      link = el("a", { href: at("live", name) });
      row.append(link);
    }
    if (name === open) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
    fill(
      link,
      el("span", { class: "row spread" }, el("b", { class: "clip", dir: "auto" }, channelName(each.channel)), sign(each)),
      el("span", { class: "clip saying", dir: "auto" }, now || el("span", { class: "muted" }, each.last || each.session.title || "…")),
      el("small", { class: "muted" }, each.quiet_until ? ["answers again ", when(each.quiet_until)] : when(each.session.last_at), " · ", count(each.session.message_count, "message")),
    );
  }
  function sign(each) {
    if (each.under_way.length) return badge(`${each.under_way[0].speaker || "The bot"} is answering`, "good");
    return each.quiet_until ? badge("Taken over", "warn") : null;
  }

  function choose(name) {
    if (view && name === open) return;
    const before = open;
    open = name;
    view?.leave();
    if (before && known.has(before)) draw(before);
    if (known.has(name)) draw(name);
    room.firstElementChild.classList.toggle("one", Boolean(name));
    view = name ? channelView(shown, name, known.get(name) ?? null, put) : null;
    if (!name) fill(shown, empty("Choose a channel to see what is said there."));
  }

  function heard(event) {
    if (event.is === "hello" || event.is === "standing") return standing(event.under_way);
    const name = event.channel ?? event.session?.channel.key;
    const each = known.get(name);
    view?.heard(name, event);
    if (!each) {
      return event.is === "said" || event.is === "began" ? fresh(name) : undefined;
    }
    took(each, event);
    draw(name);
    if (event.is !== "more") order();
    return undefined;
  }
  async function fresh(name) {
    const told = await api.get(`/api/live/channels/${encodeURIComponent(name)}`).catch(() => null);
    if (!told) return;
    put(told);
    if (list.isConnected) order();
    else again();
  }
  function standing(answers) {
    for (const [name, each] of known) {
      each.under_way = answers.filter((answer) => answer.channel === name);
      draw(name);
      view?.standing(name, each.under_way);
    }
  }
  function connection() {
    const words = { open: "Listening", lost: "Connecting again…", off: "Connecting…" }[live.state];
    fill(state, el("span", { class: `dot ${live.state}`, "aria-hidden": "true" }), words);
  }
  const changed = ({ detail }) => {
    connection();
    if (detail.again) { read().then(order, () => {}); view?.again(); }
  };
  live.addEventListener("state", changed);
  const stop = live.on(KINDS, heard);
  connection();
  if (open) { const first = open; open = ""; choose(first); }
  else choose("");
  const leave = () => {
    stop();
    live.removeEventListener("state", changed);
    view?.leave();
  };
  leave.moved = ({ rest: [name] }) => choose(name ?? "");
  return leave;
}

/** A channel after an event. */
function took(each, event) {
  const answer = each.under_way.find((known) => known.answer_id === event.answer_id);
  if (event.is === "began" && !answer) each.under_way.push({ ...event, text: "" });
  if (event.is === "more" && answer) answer.text += event.text;
  if (event.is === "anew" && answer) answer.text = "";
  if (event.is === "ended") each.under_way = each.under_way.filter((known) => known !== answer);
  if (event.is === "quiet") each.quiet_until = event.until;
  if (event.is === "typing") each.typing = event.mine ? "" : `${event.sender.name} is writing…`;
  if (event.is !== "said") return;
  Object.assign(each, { session: event.session, typing: "" });
  const { seen, sender, parts } = event.message;
  const words = parts.filter((part) => part.type === "text").map((part) => part.text).join("").slice(0, WORDS);
  if (seen) each.last = `${sender.name}: ${words}`;
}
