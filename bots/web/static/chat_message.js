// One thing said, as the chat shows it: who, when, its words, its files, and what can be done with it.

import { api, may } from "./api.js";
import { bytes, day, el, face, fill, icon, iconButton, money, number, time, toast, when } from "./ui.js";

const EMOJI = ["👍", "👎", "❤️", "😄", "🎉", "🤔", "👀", "🚀"];
export { EMOJI };

/** Puts HTML that the bot's own renderer made into an element: the one place where markup goes in. What has not
 *  changed keeps its nodes, so that a selection survives while an answer grows. */
export function written(where, html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  const fresh = [...made.content.childNodes],
    old = [...where.childNodes];
  let same = 0;
  while (same < fresh.length && same < old.length && plain(old[same]).isEqualNode(fresh[same])) same++;
  for (const each of old.slice(same)) each.remove();
  for (const each of fresh.slice(same)) where.append(each.nodeName === "PRE" ? copied(each) : each);
}

const plain = (node) => (node.classList?.contains("code") ? node.querySelector("pre") : node);

/** Code with a button that copies it. */
function copied(pre) {
  const language = pre.querySelector(".tag")?.textContent;
  pre.setAttribute("aria-label", language ? `Code, ${language}` : "Code");
  pre.setAttribute("role", "group");
  return el(
    "div",
    { class: "code" },
    pre,
    iconButton("copy", "Copy this code", (event) => copy(pre.querySelector("code").textContent, event.currentTarget), {
      class: "icon-btn little",
    }),
  );
}

export async function copy(words, anchor = null) {
  try {
    await navigator.clipboard.writeText(words);
  } catch {
    const held = el("textarea", { value: words, class: "away" });
    document.body.append(held);
    held.select();
    document.execCommand("copy");
    held.remove();
  }
  if (!anchor) {
    toast("Copied.");
    return;
  }
  const before = [...anchor.childNodes];
  fill(anchor, icon("check"));
  anchor.setAttribute("aria-label", "Copied");
  setTimeout(() => {
    fill(anchor, before);
    anchor.setAttribute("aria-label", anchor.title);
  }, 1_500);
}

/** What is read aloud of an answer: its first sentences as plain text, each of them whole. */
export function aloud(message) {
  let told = "";
  for (const { segment } of new Intl.Segmenter(undefined, { granularity: "sentence" }).segment(gist(message, 4_000))) {
    if (told && told.length + segment.length > 400) break;
    told += segment;
  }
  return told;
}

/** What the bot's own renderer made of a message, to be read and not shown. */
export function made(message) {
  const held = document.createElement("template");
  held.innerHTML = message.html ?? "";
  return held.content;
}

/** The first words of a message as plain text. */
export function gist(message, most = 140) {
  const words = [...made(message).childNodes].map((each) => each.textContent).join(" ").trim() || message.text;
  return words.replace(/\s+/g, " ").slice(0, most);
}

/** A message as an article. `does` is what can be done: {acts (as in `chat_acts.js`), reply(message), emoji(message,
 *  anchor), writes(), jump(id), quoted(id)}. */
export function drawn(message, before, does) {
  const node = el("article", { class: "m", tabIndex: -1, id: `m-${message.id}` });
  node.addEventListener("pointerenter", () => node.equip());
  node.addEventListener("focusin", () => node.equip());
  return redrawn(node, message, before, does);
}

/** Draws it again where it stands. */
export function redrawn(node, message, before, does) {
  node.message = message;
  const persona = message.role === "assistant",
    name = message.sender.name || (persona ? "Bot" : "Somebody");
  const another = !before || day(before.at) !== day(message.at);
  const goesOn =
    !another &&
    before.sender.id === message.sender.id &&
    before.role === message.role &&
    !message.reply_to &&
    new Date(message.at) - new Date(before.at) < 420_000 &&
    !persona;
  node.className = `m ${message.role}${persona ? " persona" : ""}${goesOn ? " more" : ""}`;
  const says = el("div", { class: "says", dir: "auto" });
  if (message.html !== null && message.html !== undefined) written(says, message.html);
  else says.textContent = message.text;
  fill(
    node,
    another &&
      el("div", { class: "day", role: "separator", "aria-label": day(message.at) }, el("span", {}, day(message.at))),
    el(
      "div",
      { class: "line" },
      face(name, { persona }),
      el(
        "div",
        { class: "body" },
        el(
          "header",
          { class: goesOn ? "by away" : "by" },
          el("bdi", { class: "who" }, name),
          message.sender.type === "bot" && el("span", { class: "badge" }, "bot"),
          message.metadata.said_by && el("bdi", { class: "badge" }, `by ${message.metadata.said_by}`),
          el("time", { class: "at", dateTime: message.at, title: when(message.at) }, time(message.at)),
          message.edits?.length > 0 &&
            el("span", { class: "at", title: `Said before: ${message.edits.at(-1).text.slice(0, 300)}` }, "edited"),
          message.pinned && el("span", { class: "at" }, "kept for good"),
        ),
        quote(message, does),
        message.text || !message.parts.length ? says : null,
        files(message.parts),
        outcome(message),
        marks(message, does),
        notes(message),
      ),
      tools(message, node, does),
    ),
  );
  return node;
}

function quote(message, does) {
  if (!message.reply_to || message.role === "assistant") return null;
  const to = does.quoted(message.reply_to);
  return el(
    "button",
    { type: "button", class: "reply", onclick: () => does.jump(message.reply_to) },
    icon("reply"),
    el("span", { class: "clip" }, to ? `${to.sender.name}: ${gist(to)}` : "An earlier message"),
  );
}

function files(parts) {
  const found = parts.filter((part) => ["image", "audio", "video", "file"].includes(part.type));
  return (
    found.length > 0 &&
    el(
      "ul",
      { class: "files", "aria-label": "Files" },
      found.map((part) => el("li", {}, shown(part))),
    )
  );
}

function shown(part) {
  const about = part.description || part.name;
  if (!part.url)
    return el(
      "span",
      { class: "file" },
      icon("file"),
      el("span", { class: "clip" }, part.name),
      el("small", {}, "not held here"),
    );
  if (part.type === "image" && !/svg/.test(part.media_type ?? ""))
    return el(
      "a",
      { class: "picture", href: part.url, target: "_blank", rel: "noopener" },
      el("img", { src: part.url, alt: about, loading: "lazy" }),
    );
  if (part.type === "audio")
    return el(
      "figure",
      {},
      el("audio", { controls: true, preload: "none", src: part.url, "aria-label": about }),
      el("figcaption", {}, part.name),
    );
  if (part.type === "video")
    return el(
      "figure",
      {},
      el("video", { controls: true, preload: "metadata", src: part.url, "aria-label": about }),
      el("figcaption", {}, part.name),
    );
  return el(
    "a",
    { class: "file", href: part.url, download: part.name },
    icon("file"),
    el("bdi", { class: "clip" }, part.name),
    el("small", {}, bytes(part.size)),
  );
}

/** How it ended, where its own words do not say so. */
function outcome(message) {
  if (message.text.includes("-# Stopped.")) return null;
  const told = { stopped: "Stopped before its end.", cut: "It broke off here." }[message.outcome];
  return told && message.role === "assistant" ? el("p", { class: "note" }, told) : null;
}

function marks(message, does) {
  return (
    message.reactions?.length > 0 &&
    el(
      "ul",
      { class: "marks", "aria-label": "Reactions" },
      message.reactions.map((each) =>
        el(
          "li",
          {},
          el(
            may("chat") ? "button" : "span",
            {
              type: may("chat") ? "button" : null,
              role: may("chat") ? null : "img",
              class: "chip",
              "aria-pressed": may("chat") ? String(each.mine) : null,
              title: each.names.join(", "),
              "aria-label": `${each.emoji} from ${each.names.join(", ")}`,
              onclick: () => may("chat") && does.acts.react(message, each.emoji, each.mine),
            },
            each.emoji,
            " ",
            String(each.count),
          ),
        ),
      ),
    )
  );
}

function notes(message) {
  return (
    message.annotations?.length > 0 &&
    el(
      "ul",
      { class: "notes", "aria-label": "Notes" },
      message.annotations.map((each) =>
        el(
          "li",
          {},
          icon("note"),
          el("span", {}, el("bdi", {}, each.sender.name), each.text ? `: ${each.text}` : ` noted “${each.kind}”`),
        ),
      ),
    )
  );
}

const TOUCH = matchMedia("(hover: none)");

/** The buttons of a message are made once somebody comes near it: a long conversation has many messages. */
function tools(message, node, does) {
  if (message.role === "system") {
    node.equip = () => {};
    return null;
  }
  const persona = message.role === "assistant",
    made = el("div", { class: "tools", role: "group", "aria-label": "What to do with this message" });
  const small = (name, label, run, more = "", props = {}) =>
    iconButton(name, label, run, { class: `icon-btn little ${more}`, ...props });
  node.equip = () =>
    made.firstChild ||
    fill(
      made,
      small("copy", "Copy", (event) => copy(message.text, event.currentTarget)),
      persona && does.writes() && small("again", "Regenerate", () => does.acts.again(message), "newest"),
      ["stopped", "cut"].includes(message.outcome) &&
        persona &&
        does.writes() &&
        small("play", "Continue", () => does.acts.goOn(message), "newest"),
      persona && small("why", `Why ${message.sender.name}?`, () => does.acts.why(message), "newest"),
      does.writes() && small("reply", "Reply", () => does.reply(message)),
      does.acts.wrote(message) && small("edit", "Edit", () => does.acts.edit(message)),
      may("chat") &&
        small("smile", "React", (event) => does.emoji(message, event.currentTarget), "", { "aria-haspopup": "menu" }),
      (persona || may("chat")) &&
        small("more", "More", (event) => does.acts.more(message, event.currentTarget), "", { "aria-haspopup": "menu" }),
    );
  if (TOUCH.matches) node.equip();
  return made;
}

/** A message with its words as HTML, unless they are what is `known` already. */
export async function worded(message, known) {
  if (message.html || message.deleted_at || known?.text === message.text) return message;
  const told = await api.post("/api/chat/rendered", { text: message.text }).catch(() => null);
  return told ? { ...message, html: told.html } : message;
}

/** Why this persona answered, what it went by, and what it took. */
export async function why(message) {
  const { lines } = await api
    .get(`/api/chat/messages/${encodeURIComponent(message.id)}/why`)
    .catch((error) => ({ lines: [error.message] }));
  const usage = message.usage,
    counted = usage?.tokens_in + usage?.tokens_out > 0,
    guessed = message.metadata?.usage === "estimated" ? ", estimated: the answer ended early" : "";
  return [
    el(
      "div",
      { class: "because" },
      lines.length
        ? lines.map((line) => el("p", { dir: "auto" }, line))
        : el("p", {}, "Nothing is known of how this answer came to be."),
    ),
    usage &&
      el(
        "dl",
        { class: "facts" },
        el("dt", {}, "Model"),
        el("dd", {}, `${usage.model} (${usage.provider})`),
        el("dt", {}, "Tokens"),
        el("dd", {}, counted ? `${number(usage.tokens_in)} in, ${number(usage.tokens_out)} out${guessed}` : "not counted"),
        counted && [el("dt", {}, "Cost"), el("dd", {}, money(usage.cost_micros))],
        usage.seconds > 0 && [el("dt", {}, "Time"), el("dd", {}, `${usage.seconds.toFixed(1)} s`)],
      ),
  ];
}
