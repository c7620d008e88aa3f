// One thing said, as the pages beside the chat show it: who, when, its words as the server writes them, and its files.

import { api } from "./api.js";
import { written } from "./chat_message.js";
import { el } from "./ui.js";

/** The head, the words and the files of a message. `at` is when, as the page draws it; `more` stands in the head. */
export function saidShown(message, at, ...more) {
  const { sender, deleted_at: gone, metadata } = message;
  const files = message.parts.filter((part) => "hash" in part).map((part) => el("span", { class: "tag", dir: "auto" }, part.name));
  return [
    el("div", { class: "row wrap" }, el("b", { dir: "auto" }, sender.name || sender.id), metadata.said_by && el("bdi", { class: "badge" }, `by ${metadata.said_by}`), el("small", { class: "muted" }, at), more),
    gone ? el("p", { class: "muted" }, "Deleted.") : words(message),
    files.length > 0 && el("div", { class: "row wrap" }, files),
  ];
}

/** The words as they were typed, and as the server writes them once somebody sees them. */
function words({ text, html }) {
  const shown = el("div", { class: "says", dir: "auto" });
  if (typeof html === "string") written(shown, html);
  else {
    shown.classList.add("words");
    shown.textContent = text;
    if (text) seen.observe(shown);
  }
  return shown;
}

let turn = Promise.resolve();

/** Asks for one after another: what is far down a long page is asked for when it is come to. */
const seen = new IntersectionObserver((entries) => {
  for (const { target } of entries.filter((each) => each.isIntersecting)) {
    seen.unobserve(target);
    turn = turn.then(() => target.isConnected && write(target)).catch(() => {});
  }
});

async function write(shown) {
  const { html } = await api.post("/api/chat/rendered", { text: shown.textContent });
  written(shown, html);
  shown.classList.remove("words");
}
