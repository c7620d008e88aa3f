// Who did what to what, the newest first.

import { api } from "./api.js";
import { empty, input, paged, soon, table, when } from "./pages.js";
import { el, field, when as exactly } from "./ui.js";

export function draw(room) {
  const about = input({ type: "search", placeholder: "storage, a person's id, a session's id", maxLength: 200 });
  const list = el("section", {});
  const again = paged(list, (cursor) => api.get("/api/audit", { cursor, limit: 50, about: about.value.trim() }), drawn);
  about.addEventListener("input", soon(again));
  room.append(el("div", { class: "row filters" }, field("About", about)), list);

  function drawn(entries) {
    if (!entries.length && about.value) return empty("Nothing was done about exactly this.");
    return table("Audit", COLUMNS, entries, "Nothing was done yet: every change to sessions, memories and storage stands here.");
  }
}

const COLUMNS = [
  { head: "When", cell: (each) => [when(each.at), el("small", { class: "muted block" }, exactly(each.at))] },
  { head: "Who", cell: (each) => el("span", { dir: "auto", title: each.actor.id }, each.actor.name || each.actor.id) },
  { head: "Did", cell: (each) => each.action },
  { head: "To", cell: (each) => el("code", {}, each.target || "–") },
  { head: "Details", broad: true, cell: details },
];

function details(entry) {
  const told = Object.entries(entry.details).filter(([, value]) => value !== null && value !== "");
  return told.map(([name, value]) => el("span", { class: "detail", dir: "auto" }, el("span", { class: "muted" }, `${name} `), typeof value === "object" ? JSON.stringify(value) : String(value)));
}
