// One channel as it goes on: what was said, what is being said, and the operator's hand on it.

import { api } from "./api.js";
import { at, badge, button, channelName, notice, sentence, trouble, waiting, when } from "./pages.js";
import { saidShown } from "./said.js";
import { el, face, fill, icon, menu, time, toast } from "./ui.js";

const SHOWN = 40;
const MOST = 300;
const QUIET = [[15, "15 minutes"], [60, "An hour"], [480, "8 hours"], [1440, "A day"]];

/** Shows the channel `key` in `room`. `each` is what is known of it, or null; `changed(channel)` hears how it stands
 *  after an order. Returns {heard, standing, again, leave}. */
export function channelView(room, key, each, changed) {
  const own = `/api/live/channels/${encodeURIComponent(key)}`;
  const head = el("header", { class: "bar" });
  const state = el("div", {});
  const said = el("ol", { class: "heard" });
  const saying = el("div", { class: "saying-now" });
  const scroller = el("div", { class: "heard-room", attrs: { tabindex: 0, role: "log", "aria-label": "What is said" } }, said, saying);
  const words = el("textarea", { class: "input", rows: 2, maxLength: 20_000, placeholder: "Say something as the bot", "aria-label": "Say something as the bot" });
  const form = el("form", { class: "say", onsubmit: speak }, words, el("button", { type: "submit", class: "btn primary" }, icon("send"), "Say it"));
  const answers = new Map();
  let channel = each;
  let left = false;
  let follows = true;
  fill(room, head, state, scroller, form);

  async function again() {
    try {
      channel = await api.get(own);
      if (left) return;
      const lines = await api.get(`/api/chat/sessions/${encodeURIComponent(channel.session.id)}/messages`, { limit: SHOWN, html: true });
      if (left) return;
      follows = true;
      fill(said, lines.items.filter((each) => each.seen).map(line));
      standing(key, channel.under_way);
      drawHead();
    } catch (error) {
      if (!left) fill(said, el("li", {}, trouble(error, again)));
    }
  }

  function drawHead() {
    const { quiet_until: quiet, under_way } = channel;
    const busy = answers.size > 0 || under_way.length > 0;
    const spans = QUIET.map(([minutes, label]) => ({ label, run: () => takeOver(minutes) }));
    const take = button("Take over…", () => menu(take, spans, { label: "For how long" }));
    take.setAttribute("aria-haspopup", "menu");
    const stopping = button("Stop", stop, { tone: "danger", disabled: !busy, label: "Stop the answer" });
    const told = ["The bot listens, and answers nobody here; by itself it goes on ", when(quiet), "."];
    fill(
      head,
      el(
        "div",
        {},
        el("a", { class: "back narrow", href: "#/live" }, icon("left"), "All channels"),
        el("h2", { dir: "auto" }, channelName(channel.channel)),
        el("p", {}, el("a", { href: at("sessions", channel.session.id), dir: "auto" }, channel.session.title || "The session")),
      ),
      el("div", { class: "row wrap" }, stopping, quiet ? button("Hand back", handBack, { tone: "primary" }) : take),
    );
    fill(state, quiet && notice("warn", el("p", { role: "status" }, el("b", {}, "Taken over. "), told)));
  }
  const order = async (work) => {
    channel = await work;
    changed(channel);
    drawHead();
  };
  async function takeOver(minutes) {
    await order(api.post(`${own}/quiet`, { minutes })).catch((error) => toast(sentence(error), "bad"));
    words.focus();
  }
  const handBack = () => order(api.del(`${own}/quiet`));
  async function stop() {
    const told = await api.post(`${own}/stop`);
    toast(told.stopped ? "Stopped. What was said of it is kept." : "There was nothing to stop any more.");
  }
  async function speak(event) {
    event.preventDefault();
    const text = words.value.trim();
    if (!text) return;
    const go = form.querySelector("button");
    go.disabled = true;
    try {
      const message = await api.post(`${own}/messages`, { text });
      words.value = "";
      follows = true;
      if (!left) put(message);
    } catch (error) {
      toast(sentence(error), "bad");
    } finally {
      go.disabled = false;
      words.focus();
    }
  }
  words.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  });

  /** A wish by a button is no line of the talk. */
  function put(message) {
    if (!message.seen) return undefined;
    const there = [...said.children].find((each) => each.dataset.id === message.id);
    if (there) return there.replaceWith(line(message));
    said.append(line(message));
    while (said.children.length > MOST) said.firstElementChild.remove();
    return undefined;
  }
  /** Whoever reads the end stays there, whatever grows above it. */
  const grows = new ResizeObserver(() => { if (follows) scroller.scrollTop = scroller.scrollHeight; });
  grows.observe(said);
  grows.observe(saying);
  scroller.addEventListener("scroll", () => { follows = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80; });

  function heard(name, event) {
    if (name !== key || left) return;
    const answer = answers.get(event.answer_id);
    if (event.is === "began") begin(event);
    if (event.is === "more" && answer) answer.append(event.text);
    if (event.is === "anew" && answer) answer.textContent = "";
    if (event.is === "ended") finish(event.answer_id);
    if (event.is === "said") { if (channel) channel.session = event.session; finish(event.message.id); put(event.message); }
    if (event.is === "changed") put(event.message);
    if (event.is === "quiet" && channel) { channel.quiet_until = event.until; drawHead(); }
    if (channel && ["began", "ended"].includes(event.is)) { channel.under_way = []; drawHead(); }
  }
  function begin({ answer_id: id, speaker, text = "" }) {
    if (answers.has(id)) return;
    const body = el("p", { class: "words", dir: "auto" }, text);
    const head = el("div", { class: "row" }, el("b", { dir: "auto" }, speaker), badge("answering", "good"));
    const drawn = face(speaker, { persona: true, little: true });
    saying.append(el("div", { class: "line now", "data-id": id }, drawn, el("div", { class: "grow" }, head, body)));
    answers.set(id, body);
  }
  function finish(id) {
    answers.get(id)?.closest(".line").remove();
    answers.delete(id);
  }
  function standing(name, under_way) {
    if (name !== key) return;
    for (const id of [...answers.keys()]) if (!under_way.some((each) => each.answer_id === id)) finish(id);
    for (const each of under_way) {
      begin(each);
      if (answers.get(each.answer_id).textContent.length < each.text.length) answers.get(each.answer_id).textContent = each.text;
    }
  }
  fill(said, el("li", {}, waiting()));
  again();
  return { heard, standing, again, leave: () => { left = true; grows.disconnect(); fill(room); } };
}

const line = (message) =>
  el(
    "li",
    { class: `line ${message.role}`, "data-id": message.id },
    face(message.sender.name || message.sender.id, { persona: message.role === "assistant", little: true }),
    el("div", { class: "grow" }, saidShown(message, time(message.at), message.outcome !== "whole" && badge(message.outcome, "warn"))),
  );
