// Running the bot: its parts side by side, each a module of its own that is read when it is opened.

import { may } from "./api.js";
import { at, empty, page } from "./pages.js";
import { el, fill } from "./ui.js";

const PARTS = [
  { name: "health", text: "Health", load: () => import("./operate_health.js"), lead: "What needs you now, and how every bot is." },
  { name: "backups", text: "Backups and jobs", load: () => import("./operate_backups.js"), lead: "What is safe, and when it is made so." },
  { name: "storage", text: "Storage", load: () => import("./operate_storage.js"), lead: "What is kept where, and what is due to go." },
  { name: "usage", text: "Usage", load: () => import("./operate_usage.js"), lead: "What answers took, and what is left of the budgets." },
  { name: "memories", text: "Memories", load: () => import("./operate_memories.js"), lead: "What is remembered, who may be told, and where it comes from.", all: true },
  { name: "config", text: "Configuration", load: () => import("./operate_config.js"), lead: "The bot's files: checked before they are written." },
  { name: "audit", text: "Audit", load: () => import("./operate_audit.js"), lead: "Who did what, the newest first." },
  { name: "you", text: "Your data", load: () => import("./operate_you.js"), lead: "What the bot keeps of you, to see, take along or have forgotten.", all: true },
];

/** `#/operate/<part>`. Whoever is no admin sees the parts that are about themselves. */
export async function mount(root, { rest: [name] }) {
  const open = PARTS.filter((each) => each.all || may("admin"));
  const here = open.find((each) => each.name === name) ?? (name ? null : open[0]);
  const acts = el("div", { class: "row wrap" });
  const room = page(root, { title: here?.text ?? "Operate", lead: here?.lead ?? "", actions: [acts] });
  room.before(parts(open, here));
  if (here) return (await here.load()).draw(room, acts);
  fill(room, empty(PARTS.some((each) => each.name === name) ? "This part is for those who run the bot." : "There is no such part."));
}

const parts = (open, here) =>
  el(
    "nav",
    { class: "tabs", "aria-label": "Parts of Operate" },
    open.map((each) => el("a", { href: at("operate", each.name), "aria-current": each === here ? "page" : null }, each.text)),
  );
