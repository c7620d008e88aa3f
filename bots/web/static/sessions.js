// Sessions: all of them to find, choose and take along; one of them with its family; two side by side; templates.

import { api, may, me } from "./api.js";
import { displayed } from "./chat_cast.js";
import { exportDialog } from "./export.js";
import { at, badge, button, checkbox, count, empty, input, page, paged, placeOf, select, soon, table, titleOf, when } from "./pages.js";
import { el, field, fill, toast } from "./ui.js";

const STATES = [["", "In use"], ["starred", "Starred"], ["archived", "Archived"], ["deleted", "Deleted"]];
const ANY = ["", "Anybody"];

/** `#/sessions`, `#/sessions/<id>`, `#/sessions/compare/<one>/<other>`, `#/sessions/templates`. */
export async function mount(root, { rest: [first, ...more] }) {
  if (first === "compare") return (await import("./sessions_compare.js")).mount(root, more);
  if (first === "templates") return (await import("./sessions_templates.js")).mount(root);
  if (first) return (await import("./sessions_one.js")).mount(root, first);
  return all(root);
}

function all(root) {
  const templates = el("a", { class: "btn", href: "#/sessions/templates" }, "Templates");
  const everything = button("Export everything…", () => exportDialog([]));
  const room = page(root, {
    title: "Sessions",
    lead: may("admin") ? "Everybody's talk with this bot, in every place." : "Your talk with this bot, here in the console.",
    actions: [templates, everything],
  });
  const chosen = new Map();
  const bar = el("div", { class: "chosen", attrs: { role: "region", "aria-label": "What is chosen" }, hidden: true });
  const list = el("section", {});
  const asked = { q: "", state: "", persona: "", tag: "", files: false };
  const again = paged(list, (cursor) => api.get("/api/chat/sessions", { ...sent(asked), cursor, limit: 50 }), drawn);
  room.append(filters(asked, again), bar, list);

  function drawn(sessions) {
    if (!sessions.length) return nothing(asked);
    return table("Sessions", [tick, ...COLUMNS], sessions);
  }
  const tick = {
    head: "Choose",
    unseen: true,
    corner: true,
    cell: (each) => {
      const { box, label } = checkbox("", chosen.has(each.id), (on) => {
        if (on) chosen.set(each.id, each);
        else chosen.delete(each.id);
        drawBar();
      });
      box.setAttribute("aria-label", `Choose ${titleOf(each)}`);
      return label;
    },
  };
  function clear() {
    chosen.clear();
    for (const box of list.querySelectorAll("td input:checked")) box.checked = false;
    drawBar();
  }
  function drawBar() {
    const sessions = [...chosen.values()];
    const two = sessions.length === 2;
    bar.hidden = !sessions.length;
    fill(
      bar,
      el("b", { role: "status" }, `${count(sessions.length, "session")} chosen`),
      el("span", { class: "grow" }),
      two && el("a", { class: "btn", href: at("sessions", "compare", ...chosen.keys()) }, "Compare"),
      two && may("chat") && button("Merge…", async () => (await import("./sessions_merge.js")).mergeDialog(...sessions)),
      button("Export…", () => exportDialog(sessions)),
      may("chat") && asked.state !== "deleted" && button(asked.state === "archived" ? "Take out of the archive" : "Archive", () => archive(sessions)),
      button("Choose none", clear),
    );
  }
  async function archive(sessions) {
    const archived = asked.state !== "archived";
    for (const each of sessions) await api.put(`/api/chat/sessions/${encodeURIComponent(each.id)}`, { archived });
    toast(archived ? `Archived: ${count(sessions.length, "session")}.` : "Back among the others.");
    clear();
    again();
  }
}

function nothing(asked) {
  if (asked.q || asked.tag || asked.persona || asked.files || asked.state) return empty("No session is like this. Take a filter away to see more.");
  return empty("There are no sessions yet.", el("a", { class: "btn primary", href: "#/chat" }, "Begin to talk"));
}

const COLUMNS = [
  {
    head: "Session",
    broad: true,
    cell: (each) => [
      el("a", { href: at("sessions", each.id), dir: "auto" }, titleOf(each)),
      each.starred && el("span", { class: "star", title: "Starred", attrs: { role: "img", "aria-label": "starred" } }, " ★"),
      each.parent_id && badge("branch"),
      each.tags.map((tag) => el("span", { class: "tag", dir: "auto" }, tag)),
    ],
  },
  { head: "Where", cell: (each) => el("span", { dir: "auto" }, placeOf(each)) },
  { head: "Persona", cell: (each) => displayed(each.persona) ?? el("span", { class: "muted" }, "whoever fits") },
  { head: "Messages", number: true, cell: (each) => each.message_count },
  { head: "Last", cell: (each) => when(each.last_at) },
];

function filters(asked, again) {
  const words = input({ type: "search", placeholder: "Title or id", maxLength: 200 });
  const tag = input({ placeholder: "Any", maxLength: 50 });
  const typed = soon(again);
  words.addEventListener("input", () => { asked.q = words.value.trim(); typed(); });
  tag.addEventListener("input", () => { asked.tag = tag.value.trim(); typed(); });
  const personas = [ANY, ...me.personas.map((each) => [each.name ?? each, each.display ?? each.name ?? each])];
  const put = (name) => (value) => { asked[name] = value; again(); };
  return el(
    "div",
    { class: "row filters", attrs: { role: "search" } },
    field("Search", words),
    field("Show", select(STATES, "", put("state"))),
    field("Persona", select(personas, "", put("persona"))),
    field("Tag", tag),
    checkbox("With files", false, put("files")).label,
  );
}

function sent({ q, state, persona, tag, files }) {
  return { q, persona, tag, files, starred: state === "starred", archived: state === "archived", deleted: state === "deleted" };
}
