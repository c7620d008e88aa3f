// How the bots are: first what is wrong and what to do about it, then everything else.

import { api } from "./api.js";
import { el, toast } from "./ui.js";
import { fleet } from "./operate_fleet.js";
import { at, badge, button, bytes, coded, count, facts, loaded, notice, number, renewed, table, when } from "./pages.js";
import { follow } from "./works.js";

const EVERY = 15_000;
const TONES = { ok: "good", ready: "good", note: "warn", starting: "warn", connecting: "warn", resting: "warn", off: "plain", wrong: "bad", failing: "bad" };
const WORDS = { ok: "All right", note: "Worth a look", off: "Off", wrong: "Wrong", ready: "Ready", failing: "Failing", resting: "Resting" };
/** Where to go for what a check speaks of. */
const PAGES = [
  [/backup/i, "backups", "Go to backups"],
  [/cleanup|disk/i, "storage", "Go to storage"],
  [/config|embedder/i, "config", "Go to configuration"],
];

export function draw(room) {
  const [first, orders, checkup, all, mine] = Array.from({ length: 5 }, () => el("section", {}));
  const look = button("Check everything", () => examine(checkup));
  const read = button("Read the configuration again", () => reread(bot));
  orders.append(el("div", { class: "row wrap" }, look, read));
  room.append(first, orders, checkup, all, mine);
  const known = (told) => {
    const wanting = urgent(told);
    look.classList.toggle("primary", wanting.length > 0);
    renewed(first, wanting.length ? el("div", { class: "stack" }, wanting.map(one)) : well(told));
    return about(told);
  };
  const bot = loaded(mine, () => api.get("/api/bot"), known, renewed);
  const bots = fleet(all, room, stop);
  const clock = setInterval(() => document.hidden || (bot(), bots()), EVERY);
  function stop() {
    clearInterval(clock);
  }
  return stop;
}

/** What needs somebody, the worst first. */
function urgent(bot) {
  const wrong = bot.checks.filter((each) => each.state === "wrong");
  const notes = bot.checks.filter((each) => each.state === "note");
  const models = bot.models.filter((each) => each.state === "failing").map((each) => ({
    state: "wrong",
    model: true,
    what: each.name,
    sentence: each.why,
    remedy: "Put it right, then change the configuration or wait: it is asked again by itself. Until then the next model answers.",
  }));
  return [...wrong, ...models, ...notes.filter((each) => !models.some((model) => each.sentence.includes(model.what)))];
}

const well = (bot) => notice("good", el("p", { role: "status" }, el("b", {}, `${bot.display} is ${bot.state}.`), " Nothing needs you."));

async function reread(again) {
  const { changed, waiting } = await api.post("/api/bot/reload");
  const later = waiting.length ? ` After a restart: ${waiting.join(", ")}.` : "";
  toast(`${changed.length ? `Taken over: ${changed.join(", ")}.` : "Nothing has changed."}${later}`);
  again();
}

function one(check) {
  const to = PAGES.find(([words]) => words.test(`${check.what} ${check.sentence}`));
  return notice(
    check.state === "wrong" ? "bad" : "warn",
    el("p", {}, el("b", {}, `${check.model ? check.what : capital(check.what)}${check.where ? ` · ${check.where}` : ""}: `), el("span", { dir: "auto" }, coded(check.sentence))),
    check.remedy && el("p", { dir: "auto" }, coded(check.remedy)),
    to && el("p", {}, el("a", { href: at("operate", to[1]) }, `${to[2]} →`)),
  );
}

/** What `troupe doctor` looks at. */
async function examine(where) {
  const told = await follow(where, () => api.post("/api/bot/checkup"));
  if (!told) return;
  const worst = { wrong: 0, note: 1, ok: 2, off: 3 };
  const checks = [...told.checks].sort((a, b) => worst[a.state] - worst[b.state]);
  const said = told.healthy
    ? notice("good", el("p", { role: "status" }, "Everything was looked at, and nothing is wrong."))
    : notice("bad", el("p", { role: "alert" }, "Not all is well: see below."));
  where.replaceChildren(el("h2", {}, "The check-up"), said, checksTable(checks), button("Close", () => where.replaceChildren()));
}

function checksTable(checks) {
  return table(
    "What was looked at",
    [
      { head: "State", cell: (each) => state(each.state) },
      { head: "What", cell: (each) => `${capital(each.what)}${each.where ? ` · ${each.where}` : ""}` },
      { head: "Found", broad: true, cell: (each) => [el("span", { dir: "auto" }, coded(each.sentence)), each.remedy && el("small", { class: "remedy", dir: "auto" }, coded(each.remedy))].filter(Boolean) },
    ],
    checks,
  );
}

function about(bot) {
  const known = [
    ["Here since", when(bot.started)],
    ["Discord", bot.discord || "off"],
    ["Storage", `${bot.storage.type}, in ${bot.storage.root}`],
    ["Kept", `${count(bot.storage.messages, "message")} in ${count(bot.storage.sessions, "session")}, ${number(bot.storage.open_sessions)} open`],
    ["Memory", bot.memory || "–"],
    ["Finds by", bot.embedder || "–"],
    ["Newest backup", when(bot.last_backup)],
    ["Process", `${bot.pid ?? "–"}, ${bytes(bot.memory_bytes)}, ${count(bot.restarts, "restart")}`],
    ["Version", bot.version || "–"],
  ];
  return [
    el("h2", { dir: "auto" }, bot.display),
    facts(known),
    el("h2", {}, "Models, in the order they are asked"),
    table(
      "Models",
      [
        { head: "Model", cell: (each) => el("code", {}, each.name) },
        { head: "State", cell: (each) => state(each.state) },
        { head: "Why", broad: true, cell: (each) => each.why || (each.variable && `Set ${each.variable} to use it.`) || "" },
      ],
      bot.models,
    ),
    el("h2", {}, "Looked at all the time"),
    checksTable(bot.checks),
  ];
}

function state(name) {
  return badge(WORDS[name] ?? name, TONES[name] ?? "plain");
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
