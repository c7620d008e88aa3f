// What is remembered: who may be told, where it comes from, and ways to correct, forget and undo.

import { api, may } from "./api.js";
import { asking, at, badge, button, checkbox, count, empty, input, loaded, notice, select, soon, when } from "./pages.js";
import { confirm, el, field, toast } from "./ui.js";

const HERE = "/api/memories";
const SCOPES = [
  ["here", "When we are alone"],
  ["me", "Wherever it answers me"],
  ["everybody", "To everybody", true],
  ["channel", "In one channel", true],
  ["guild", "In one server", true],
];

/** What kinds there are, one and more. */
const KINDS = {
  semantic: ["Fact", "facts"],
  procedural: ["Way of doing", "ways of doing"],
  episodic: ["What happened", "things that happened"],
  working: ["For now", "for now"],
};

export function draw(room, acts) {
  const admin = may("admin");
  const asked = { q: "", person: "", history: false, all: admin, limit: 50 };
  const [list, how] = [el("section", {}), el("section", {})];
  const again = loaded(list, () => api.get(HERE, sent(asked)), (found) => listed(found, asked, again, changed));
  const state = loaded(how, () => overview(admin), (found) => overall(found, admin, () => state()));
  const changed = () => (again(), state());
  const typed = soon(again);
  const words = input({ type: "search", placeholder: "Words" });
  words.addEventListener("input", () => ((asked.q = words.value), typed()));
  const person = input({ placeholder: "The user's id" });
  person.addEventListener("input", () => ((asked.person = person.value.trim()), typed()));
  const history = checkbox("What was replaced, too", false, (on) => ((asked.history = on), again()));
  const mine = checkbox("Only mine", !asked.all, (on) => ((asked.all = !on), again()));
  if (may("chat")) acts.append(button("Remember something…", () => rememberDialog(changed), { tone: "primary" }));
  room.append(
    how,
    el(
      "div",
      { class: "row filters" },
      field("Search", words),
      admin && field("About", person),
      admin && history.label,
      admin && mine.label,
    ),
    list,
  );
}

function sent(asked) {
  const own = { q: asked.q, limit: asked.limit };
  return asked.all ? { ...own, person: asked.person, history: asked.history || null, all: true } : own;
}

async function overview(admin) {
  const [pause, report] = await Promise.all([api.get(`${HERE}/pause`), admin ? api.get(`${HERE}/report`) : null]);
  return { pause, report };
}

function overall({ pause, report }, admin, again) {
  const toggle = button(pause.paused ? "Learn from me again" : "Do not learn from me", async () => {
    await api.put(`${HERE}/pause`, { paused: !pause.paused, person: null });
    again();
  });
  const index = report?.index;
  const behind = index && (index.behind || index.vectors_missing);
  return [
    pause.paused && notice("warn", el("p", {}, "It learns nothing from what you say until you let it again.")),
    behind ? notice("warn", el("p", {}, `The index is ${count(index.behind + index.vectors_missing, "memory", "memories")} behind: recall may miss the newest.`)) : "",
    el(
      "p",
      { class: "row spread" },
      el("span", { class: "muted small" }, report ? summed(report) : "What it remembers of you."),
      el("span", { class: "row" }, may("chat") && toggle, admin && button("Rebuild the index", async () => {
        await api.post(`${HERE}/rebuild`);
        toast("The index is made anew; the bot goes on talking meanwhile.");
      })),
    ),
  ];
}

function summed(report) {
  const types = Object.entries(report.types).filter(([, many]) => many);
  const kinds = types.map(([type, many]) => (many === 1 ? `1 ${KINDS[type][0].toLowerCase()}` : count(many, "", KINDS[type][1])));
  const paused = report.paused.length ? ` ${count(report.paused.length, "person", "people")} paused it.` : "";
  if (!report.memories) return `No memories yet.${paused}`;
  const several = types.length > 1 ? ` (${kinds.join(", ")})` : "";
  return `${count(report.memories, "memory", "memories")}${several}; ${Math.round(report.share * 100)}% recalled at least once.${paused}`;
}

function listed(found, asked, again, changed) {
  if (!found.items.length) return empty(asked.q || asked.person ? "Nothing remembered matches this." : "Nothing is remembered yet.");
  const various = new Set(found.items.map((each) => each.type)).size > 1;
  return [
    el("ul", { class: "stack plain-list" }, ...found.items.map((each) => one(each, various, changed))),
    found.more &&
      el("p", { class: "row centre" }, button("Show more", () => {
        asked.limit = Math.min(1000, asked.limit * 2);
        return again();
      })),
  ];
}

function one(memory, various, changed) {
  const own = `${HERE}/${encodeURIComponent(memory.id)}`;
  const holds = may("chat") && !memory.superseded_by;
  const source = memory.source;
  return el(
    "li",
    { class: `card ${memory.superseded_by ? "past" : ""}` },
    el("p", { class: "words", dir: "auto" }, memory.text),
    el(
      "div",
      { class: "row" },
      various && badge(KINDS[memory.type][0]),
      badge(`told to ${memory.audience_name || memory.audience}`, memory.audience === "bot" ? "warn" : "plain"),
      el("span", { class: "muted small", dir: "auto" }, `about ${memory.subject_name || memory.subject}`),
      el("span", { class: "muted small" }, when(memory.at)),
      source && el("a", { href: `${at("chat", source.session_id)}${source.message_id ? `?at=${encodeURIComponent(source.message_id)}` : ""}` }, "Where from"),
      memory.recalled ? el("span", { class: "muted small" }, `recalled ${count(memory.recalled, "time")}`) : el("span", { class: "muted small" }, "never recalled"),
      memory.superseded_by && badge("Replaced", "warn"),
    ),
    el(
      "div",
      { class: "row" },
      holds && button("Correct…", () => correctDialog(memory, own, changed), { label: `Correct: ${memory.text}` }),
      holds && button("Forget", async () => {
        if (!(await confirm("Forget this for good?", memory.text, { yes: "Forget", danger: true }))) return;
        await api.del(own);
        toast("Forgotten.");
        changed();
      }, { label: `Forget: ${memory.text}` }),
      may("chat") && memory.undoable && button("Undo the last correction", async () => {
        const { items } = await api.post(`${own}/undo`);
        toast(items.length ? `Holds again: ${items.map((each) => each.text).join("; ")}` : "Undone.");
        changed();
      }, { label: `Undo the last correction: ${memory.text}` }),
    ),
  );
}

function correctDialog(memory, own, changed) {
  const words = el("textarea", { class: "input", rows: "4", required: true, maxlength: "4000" });
  words.value = memory.text;
  asking("Correct a memory", [field("What is true", words, "What it said before is kept as history: “Undo the last correction” brings it back.")], "Correct", async () => {
    await api.put(own, { text: words.value });
    changed();
  });
}

function rememberDialog(changed) {
  const words = el("textarea", { class: "input", rows: "4", required: true, maxlength: "4000" });
  const channel = input({ placeholder: "discord:123456789012345678", maxlength: 200 });
  const where = field("Which channel", channel, "Its key, as Storage lists it by channel.");
  const scope = select(SCOPES.filter(([, , admin]) => !admin || may("admin")), "here", show);
  function show() {
    where.hidden = !["channel", "guild"].includes(scope.value);
    channel.required = !where.hidden;
  }
  show();
  asking("Remember something", [field("What is true", words), field("It may be told", scope), where], "Remember", async () => {
    const given = { text: words.value, scope: scope.value };
    await api.post(HERE, where.hidden ? given : { ...given, channel: channel.value.trim() });
    changed();
  });
}
