// The bot's files: read, changed, checked with the lines that are wrong, compared, and only then written.

import { api } from "./api.js";
import { badge, button, empty, folded, input, loaded, notice, soon, table, trouble } from "./pages.js";
import { confirm, el, fill, icon, toast } from "./ui.js";

const [LEAST, MOST] = [8, 26];
const KINDS = { bot: "This bot", persona: "Personas", fleet: "The fleet" };

export function draw(room) {
  const shown = el("div", { class: "part" });
  room.append(shown);
  let editor = null;
  loaded(shown, () => api.get("/api/config"), (told) => {
    if (!told.folder) return empty("The bot does not know where its configuration is: it was not started from files.");
    editor = edited(told.files);
    return [
      told.trouble && notice("bad", el("p", {}, el("b", {}, "The last change was refused, and the bot goes on as before: "), told.trouble)),
      el("p", { class: "muted" }, "In ", el("code", {}, told.folder), ". The bot takes a change over by itself, within a few seconds."),
      editor.shown,
      variables(told.variables),
    ];
  });
  const unsaved = (event) => editor?.changed() && event.preventDefault();
  addEventListener("beforeunload", unsaved);
  return () => removeEventListener("beforeunload", unsaved);
}

function edited(files) {
  let file = null;
  const words = el("textarea", { class: "input code", spellcheck: false, rows: 24, wrap: "off" });
  const lines = el("pre", { class: "lines", "aria-hidden": "true" });
  const found = el("div", { role: "status" });
  const save = button("Write it", write, { tone: "primary", disabled: true });
  const undo = button("Undo my changes", () => open(file), { disabled: true });
  const label = el("label", { for: "config-text" });
  words.id = "config-text";
  const list = el("ul", { class: "file-list" });
  const picker = el("select", { class: "input narrow", "aria-label": "File" });
  picker.addEventListener("change", () => choose(files.find((each) => each.path === picker.value)));
  const changed = () => file !== null && words.value !== file.text;
  let turn = 0;

  async function check() {
    const mine = ++turn;
    if (!changed()) return fill(found);
    try {
      const told = await api.post("/api/config/check", { path: file.path, text: words.value });
      if (mine !== turn) return;
      save.disabled = !told.ok || !file.writable;
      fill(found, checked(told, file, toLine));
    } catch (error) {
      if (mine === turn) fill(found, trouble(error, check));
    }
  }
  const typed = soon(check);
  words.addEventListener("input", () => {
    numberLines();
    save.disabled = true;
    undo.disabled = !changed();
    typed();
  });
  words.addEventListener("scroll", () => { lines.scrollTop = words.scrollTop; });

  function numberLines() {
    const many = words.value.split("\n").length;
    words.rows = Math.max(LEAST, Math.min(MOST, many + 1));
    lines.textContent = Array.from({ length: many }, (_, line) => line + 1).join("\n");
  }
  function toLine(line) {
    const before = words.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    const end = words.value.indexOf("\n", before);
    words.focus();
    words.setSelectionRange(before, end < 0 ? words.value.length : end);
    words.scrollTop = Math.max(0, (line - 6) * Number.parseFloat(getComputedStyle(words).lineHeight));
  }
  function open(next) {
    file = next;
    words.value = file.text;
    words.readOnly = !file.writable;
    undo.disabled = save.disabled = true;
    fill(found, !file.writable && notice("plain", el("p", {}, "This file is shown, and cannot be written from here.")));
    for (const each of list.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each.value === file.path));
    label.textContent = picker.value = file.path;
    numberLines();
    turn++;
  }
  async function choose(next) {
    if (next === file) return;
    const words = "What you changed in this file is not written yet, and would be lost.";
    if (changed() && !(await confirm("Leave this file?", words, { yes: "Leave it", danger: true }))) picker.value = file.path;
    else open(next);
  }
  async function write() {
    const told = await api.put(`/api/config/${file.path.split("/").map(encodeURIComponent).join("/")}`, { text: words.value, version: file.version });
    Object.assign(file, told.file);
    open(file);
    const later = told.waiting.length ? ` After a restart: ${told.waiting.join(", ")}.` : "";
    toast(`Written; what was there before is beside it as .bak.${told.changed.length ? ` Changed: ${told.changed.join(", ")}.` : ""}${later}`);
  }
  function added() {
    const name = input({ required: true, pattern: "[a-z][a-z0-9_\\-]*", maxLength: 60, placeholder: "name", "aria-label": "Name of the new persona" });
    const form = el("form", { class: "row", onsubmit: (event) => {
      event.preventDefault();
      const path = `personas/${name.value}.yaml`;
      const there = files.find((each) => each.path === path);
      const fresh = there ?? { path, kind: "persona", writable: true, text: "", version: null };
      if (!there) files.push(fresh);
      drawList();
      choose(fresh);
    } }, name, el("button", { type: "submit", class: "btn little" }, "Add"));
    return folded("New persona", () => form);
  }
  /** As a list, and in one line where there is no room for that. */
  function drawList() {
    fill(picker, files.map((each) => el("option", { value: each.path }, each.writable ? each.path : `${each.path}, read only`)));
    if (file) picker.value = file.path;
    fill(
      list,
      Object.entries(KINDS).map(([kind, head]) => {
        const mine = files.filter((each) => each.kind === kind);
        return mine.length > 0 && el("li", {}, el("h3", {}, head), mine.map(choice));
      }),
    );
  }
  function choice(each) {
    const name = el("span", { class: "clip" }, each.path.split("/").pop());
    const props = { type: "button", class: "file-choice", value: each.path, "aria-pressed": String(each === file) };
    return el("button", { ...props, onclick: () => choose(each) }, icon("file"), name, !each.writable && badge("read only"));
  }
  drawList();
  if (files.length) open(files.find((each) => each.kind === "bot") ?? files[0]);
  const side = el("div", { class: "stack" }, picker, list, added());
  const text = el(
    "div",
    { class: "stack" },
    el("div", { class: "row spread" }, label, el("span", { class: "row" }, undo, save)),
    el("div", { class: "editor" }, lines, words),
    found,
  );
  return { changed, shown: el("div", { class: "config" }, side, text) };
}

/** What a check found: lines to go to, or what would change. */
function checked(told, file, toLine) {
  const findings = told.findings.map((each) => {
    const here = each.line && (!each.path || each.path === file.path);
    const go = here && button(`Line ${each.line}`, () => toLine(each.line), { little: true });
    const elsewhere = !here && each.path && el("code", {}, `${each.path}${each.line ? `:${each.line}` : ""} `);
    const words = here ? each.text.replace(/^\S+\.ya?ml:\d+: /, "") : each.text;
    return el("li", {}, go, " ", elsewhere, el("span", { dir: "auto" }, words));
  });
  return [
    !told.ok && notice("bad", el("p", { role: "alert" }, "This cannot be written yet:"), el("ul", {}, findings)),
    told.ok && findings.length > 0 && notice("warn", el("p", {}, "This can be written. Worth a look:"), el("ul", {}, findings)),
    told.ok && !findings.length && notice("good", el("p", {}, told.diff ? "This is right, and can be written." : "Nothing is different.")),
    told.waiting.length > 0 && notice("warn", el("p", {}, `Takes a restart: ${told.waiting.join(", ")}.`)),
    told.diff && folded("What changes", () => diff(told.diff), { open: true }),
  ];
}

function diff(text) {
  const kinds = { "+": "added", "-": "removed", "@": "where" };
  const lines = text.split("\n").filter((line) => !/^(---|\+\+\+) /.test(line));
  return el("pre", { class: "diff", attrs: { tabindex: 0, role: "region", "aria-label": "What changes" } }, lines.map((line) => el("span", { class: kinds[line[0]] ?? "" }, `${line}\n`)));
}

function variables(known) {
  if (!known.length) return null;
  const columns = [
    { head: "Name", cell: (each) => el("code", {}, each.name) },
    { head: "State", cell: variableState },
    { head: "Used in", broad: true, cell: (each) => each.used_in.join(", ") },
  ];
  const words = "Their values are never shown here. They are set in the environment of the bot, or in .env.";
  return [el("h2", {}, "Variables"), el("p", { class: "muted" }, words), table("Variables of the environment", columns, known)];
}

/** Only what fails without it wants somebody. */
function variableState({ set, default: instead }) {
  if (set) return badge("Set", "good");
  if (instead === null) return badge("Not set", "warn");
  return instead ? Object.assign(badge("Default"), { title: instead }) : badge("Off");
}
