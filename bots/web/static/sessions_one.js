// One session: what it is, where it comes from and what was branched from it, and what can be done with it.

import { api, may } from "./api.js";
import { displayed } from "./chat_cast.js";
import { renaming, tagging } from "./chat_naming.js";
import { exportDialog } from "./export.js";
import { asking, at, badge, button, checkbox, count, facts, input, loaded, notice, page, placeOf, select, soon, titleOf, trouble, when } from "./pages.js";
import { tree } from "./sessions_tree.js";
import { attempt, confirm, el, field, fill, icon, iconButton, menu, toast, when as exactly } from "./ui.js";

const UP = { href: "#/sessions", text: "All sessions" };

export function mount(root, id) {
  const own = `/api/chat/sessions/${encodeURIComponent(id)}`;
  const room = el("div", {});
  fill(root, room);
  const again = loaded(room, async () => ({ session: await api.get(own).catch((error) => error), family: await api.get(`${own}/tree`).catch((error) => error) }), draw);

  function draw({ session, family }) {
    const shown = el("div", {});
    if (session instanceof Error) {
      const missing = session.status === 404;
      fill(page(shown, { title: missing ? "No such session" : "This session did not open", back: UP }), trouble(session, missing ? null : again));
      return [...shown.childNodes];
    }
    const inside = page(shown, {
      title: titleOf(session),
      back: UP,
      actions: [star(session), el("a", { class: "btn primary", href: at("chat", session.id) }, icon("chat"), "Open the chat")],
    });
    fill(
      inside,
      session.deleted_at && gone(session),
      facts(known(session)),
      el("div", { class: "row wrap actions" }, actions(session)),
      el("h2", {}, "Branches"),
      family instanceof Error ? trouble(family, again) : pictured(family, session),
      session.context && el("h2", {}, "What it is about"),
      session.context && about(session.context),
      may("chat") && el("p", {}, button("Sum it up", async () => { await api.post(`${own}/summary`); again(); }, { little: true })),
    );
    return [...shown.childNodes];
  }

  const change = async (given) => { await api.put(own, given); again(); };

  function star(session) {
    if (!may("chat")) return null;
    const words = session.starred ? "Starred: kept whatever retention says" : "Star: keep whatever retention says";
    return iconButton("star", words, () => attempt(() => change({ starred: !session.starred })), { "aria-pressed": String(session.starred), "data-full": session.starred ? "1" : "0" });
  }
  function gone(session) {
    return notice("warn", el("p", {}, "Taken out of sight ", when(session.deleted_at), "; it can be brought back until retention removes it."), may("chat") && el("p", {}, button("Bring it back", back)));
  }
  function actions(session) {
    const kept = [
      button("Export…", () => exportDialog([session])),
      el("a", { class: "btn", href: at("files", session.id) }, icon("files"), "Files"),
      button("Compare…", () => otherDialog(session, "Compare with", "Compare", (other) => jump("compare", session.id, other))),
    ];
    if (!may("chat") || session.deleted_at) return kept;
    const more = button("More…", () => menu(more, others(session), { label: "More" }));
    more.setAttribute("aria-haspopup", "menu");
    return [
      button("Branch", () => made("branch", "Branched: what is said here from now on is only here.")),
      button("Duplicate", () => made("duplicate", "Duplicated: this is the copy.")),
      button("Merge…", () => otherDialog(session, "Merge with", "See what would happen", (other) => merge(session, other))),
      ...kept,
      more,
    ];
  }
  function others(session) {
    const archive = session.archived ? "Take out of the archive" : "Archive";
    return [
      { label: "Rename…", icon: "edit", run: () => renaming(session, again) },
      { label: "Tags…", icon: "tag", run: () => tagging(session, again) },
      { label: "Save as template…", icon: "copy", run: () => template(session) },
      { label: archive, icon: "archive", run: () => attempt(() => change({ archived: !session.archived })) },
      null,
      { label: "Delete…", icon: "trash", danger: true, run: () => attempt(() => remove(session)) },
    ];
  }
  async function made(how, words) {
    const session = await api.post(`${own}/${how}`, {});
    toast(words);
    jump(session.id);
  }
  async function merge(session, other) {
    const { mergeDialog } = await import("./sessions_merge.js");
    mergeDialog(session, await api.get(`/api/chat/sessions/${encodeURIComponent(other)}`));
  }
  function template(session) {
    const name = input({ required: true, maxLength: 60, value: session.title.slice(0, 60) });
    const lines = input({ type: "number", min: 0, max: 20, value: 0 });
    const everywhere = checkbox("Offer it everywhere, not only where this session is");
    const fields = [field("Name", name), field("Begin with the first lines of it", lines, "Of people's lines only your own are taken."), may("admin") && everywhere.label];
    asking("Save as a template", fields, "Save", async () => {
      await api.post("/api/chat/templates", { session: session.id, name: name.value.trim(), lines: Number(lines.value), everywhere: everywhere.box.checked });
      toast("Saved: new sessions can begin with it.");
    });
  }
  /** Brings it back, wherever one is by now. */
  async function back() {
    await api.post(`${own}/restore`);
    toast("It is back.");
    if (location.hash === at("sessions", id)) dispatchEvent(new Event("hashchange"));
    else jump(id);
  }
  async function remove(session) {
    const words = "It goes out of sight now, and can be brought back from “Deleted” until retention removes it.";
    if (!(await confirm(`Delete “${titleOf(session)}”?`, words, { yes: "Delete", danger: true }))) return;
    await api.del(own);
    toast("Deleted.", { action: { label: "Bring it back", run: () => attempt(back) } });
    jump();
  }
}

const jump = (...rest) => { location.hash = at("sessions", ...rest); };

function known(session) {
  const people = session.participants.filter((each) => each.type === "user").map((each) => each.name);
  return [
    ["Where", placeOf(session)],
    ["With", people.join(", ") || "nobody yet"],
    ["Persona", displayed(session.persona) ?? "whoever fits"],
    ["Messages", session.message_count],
    ["Begun", when(session.opened_at)],
    ["Last", when(session.last_at)],
    ["State", [session.closed_at ? "closed; a new line goes on with it" : "open", session.archived && badge("archived", "warn")]],
    ["Tags", session.tags.length ? session.tags.map((tag) => el("span", { class: "tag", dir: "auto" }, tag)) : "none"],
    ["Id", el("code", {}, session.id)],
    session.merged_into && ["Merged into", el("a", { href: at("sessions", session.merged_into) }, session.merged_into)],
  ].filter(Boolean);
}

function pictured(family, session) {
  if (family.sessions.length < 2) return el("p", { class: "muted" }, "Nothing was branched from it. “Branch” makes a second way on; in the chat, every line can begin one.");
  return tree(family, session.id);
}

function about(context) {
  const told = [
    ["Summary", context.summary],
    ["Goals", context.goals.join("; ")],
    ["To keep to", context.constraints.join("; ")],
    ["Known", context.shared_knowledge.join("; ")],
  ].filter(([, words]) => words);
  return told.length ? facts(told) : el("p", { class: "muted" }, "Nothing is written about it yet.");
}

/** Chooses a second session, and does `act` with its id. */
function otherDialog(session, title, verb, act) {
  const words = input({ type: "search", placeholder: "Title or id" });
  const list = select([["", "Looking…"]]);
  list.required = true;
  list.size = 8;
  async function look() {
    const told = await api.get("/api/chat/sessions", { q: words.value.trim(), channel: session.channel.key, limit: 50 });
    const others = told.items.filter((each) => each.id !== session.id);
    fill(list, others.map((each) => el("option", { value: each.id }, `${titleOf(each)} · ${count(each.message_count, "message")}, ${exactly(each.last_at)}`)));
    if (!others.length) fill(list, el("option", { value: "", disabled: true }, "No other session here"));
  }
  words.addEventListener("input", soon(look));
  look().catch(() => fill(list));
  asking(title, [field("Search", words), field("Sessions of the same place", list)], verb, () => act(list.value));
}
