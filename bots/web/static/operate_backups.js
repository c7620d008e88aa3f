// Backups: made, proved, and brought back beside the bot, never over it; and the jobs that make them by themselves.

import { api } from "./api.js";
import { badge, button, bytes, capital, coded, count, input, loaded, moment, notice, opened, recently, select, table, trouble, when } from "./pages.js";
import { el, field, fill, toast } from "./ui.js";
import { follow } from "./works.js";

export function draw(room) {
  const [now, kept, jobs] = [el("div", { class: "part" }), el("section", {}), el("section", {})];
  room.append(now, kept, el("h2", {}, "Jobs"), jobs);
  const backups = loaded(kept, () => api.get("/api/backups"), (told) => list(told, now, () => backups()));
  const due = loaded(jobs, () => api.get("/api/jobs"), (told) => jobsTable(told.items, now, () => (due(), backups())));
}

function list(told, now, again) {
  const run = button("Back up now", async () => {
    const made = await follow(now, () => api.post("/api/backups"));
    if (made) toast(`Backed up and proved: ${made.name}, ${bytes(made.packed_size)}.`);
    again();
  }, { tone: "primary" });
  return [
    told.alarm && notice("bad", el("p", {}, el("b", {}, "Backups need you. "), coded(hereabouts(told.alarm)))),
    el("p", { class: "row spread" }, el("span", { class: "muted" }, "Kept in ", el("code", {}, told.place)), run),
    table(
      "Backups",
      [
        { head: "Made", cell: made },
        { head: "Holds", cell: (each) => `${count(each.messages, "message")} in ${count(each.sessions, "session")}` },
        { head: "Size", number: true, cell: (each) => bytes(each.packed_size) },
        { head: "State", broad: true, cell: (each) => stateOf(each) },
        { head: "Do", unseen: true, cell: (each) => actions(each, now, again) },
      ],
      told.items,
      "There is no backup yet. Make one now: it takes seconds, and the bot goes on talking.",
    ),
    told.strays.length > 0 && notice("warn", el("p", {}, `Beside them lie files that are no backups: ${told.strays.join(", ")}.`)),
  ];
}

/** What the bot tells whoever sits at its machine, for whoever has a button. */
const hereabouts = (alarm) => capital(alarm.replace(/`troupe backup [^`]*`/, "“Back up now”"));

function made(backup) {
  const far = backup.made_at && recently(backup.made_at);
  const at = backup.made_at && el("b", {}, el("time", { attrs: { datetime: backup.made_at } }, moment(backup.made_at)));
  return [at, far && ` ${far}`, el("small", { class: "remedy" }, backup.name)].filter(Boolean);
}

function stateOf(backup) {
  const lost = backup.attachments_lost ? el("small", { class: "remedy" }, `${count(backup.attachments_lost, "file")} could not be taken along.`) : null;
  if (backup.trouble) return [badge("Damaged", "bad"), el("small", { class: "remedy", dir: "auto" }, backup.trouble)];
  return [backup.proven_at ? badge("Proved", "good") : badge("Not proved", "warn"), lost].filter(Boolean);
}

function actions(backup, now, again) {
  return el(
    "div",
    { class: "row" },
    button("Verify", async () => {
      const told = await follow(now, () => api.post(`/api/backups/${encodeURIComponent(backup.name)}/verify`));
      if (told) fill(now, told.trouble ? notice("bad", el("p", { role: "alert" }, told.trouble)) : notice("good", el("p", { role: "status" }, `${told.name} is whole: every message was read and compared.`)));
      again();
    }, { label: `Verify ${backup.name}` }),
    button("Restore as…", () => restoreDialog(backup, now), { label: `Restore as… ${backup.name}` }),
  );
}

/** First the plan, which does nothing; then, where it is possible, the restoring. */
function restoreDialog(backup, now) {
  const name = input({ value: `${backup.bot || "bot"}-restored`, required: true, pattern: "[a-z][a-z0-9_\\-]*", maxlength: 60 });
  const type = select([["sqlite", "sqlite"], ["file", "file"]], backup.backend === "file" ? "file" : "sqlite");
  const plan = el("div", { role: "status" });
  const look = el("button", { type: "submit", class: "btn primary" }, "See what would happen");
  const form = el(
    "form",
    { class: "stack" },
    el("p", {}, "It goes into a new folder beside the bot's own. Nothing that is there is touched, and the bot goes on talking."),
    field("Name of the new folder", name, "Small letters, digits, - and _"),
    field("Type of storage", type),
    el("div", { class: "row end" }, look),
    plan,
  );
  const at = `/api/backups/${encodeURIComponent(backup.name)}/restore`;
  for (const each of [name, type]) each.addEventListener("input", () => fill(plan));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    look.disabled = true;
    try {
      fill(plan, planned(await api.get(`${at}?as=${encodeURIComponent(name.value)}&type=${type.value}`)));
    } catch (error) {
      fill(plan, trouble(error));
    } finally {
      look.disabled = false;
    }
  });
  function planned(told) {
    const room = el("p", { class: "muted" }, `Takes ${bytes(told.needed)}; ${bytes(told.free)} are free.`);
    if (!told.possible) return [notice("bad", el("p", {}, told.trouble || "This cannot be done."), room)];
    const go = button("Restore", async () => {
      shown.close();
      const made = await follow(now, () => api.post(at, { as: name.value, type: type.value }));
      if (made) fill(now, restored(made));
    }, { tone: "primary" });
    return [notice("good", el("p", {}, `${count(told.backup.messages, "message")} would go into `, el("code", {}, told.root), "."), room), el("div", { class: "row end" }, go)];
  }
  const shown = opened("Restore into a new folder", form);
}

function restored(made) {
  const lost = made.lost ? ` ${count(made.lost, "file")} had been lost before.` : "";
  const forgotten = made.forgotten ? ` ${count(made.forgotten, "person", "people")} who asked to be forgotten stayed forgotten.` : "";
  return notice(
    "good",
    el("p", { role: "status" }, `Restored ${count(made.messages, "message")} in ${count(made.sessions, "session")} into `, el("code", {}, made.root), `.${lost}${forgotten}`),
    made.yaml && el("p", {}, "To run a bot on it, write this into its file:"),
    made.yaml && el("pre", { tabindex: "0" }, made.yaml),
  );
}

/** A schedule as people say it, where it is one of every day. */
function scheduled(text) {
  const daily = /^(\d{1,2}) (\d{1,2}) \* \* \*$/.exec(text);
  return daily ? `every day at ${daily[2].padStart(2, "0")}:${daily[1].padStart(2, "0")} UTC` : text;
}

function jobsTable(jobs, now, again) {
  return table(
    "Jobs",
    [
      { head: "Job", cell: (each) => el("b", {}, each.name) },
      { head: "When", cell: (each) => el("span", { title: each.schedule }, scheduled(each.schedule)) },
      { head: "Last", cell: (each) => when(each.last_at) },
      { head: "Next", cell: (each) => (each.running ? badge("Running", "warn") : when(each.next_at, "not planned")) },
      { head: "State", broad: true, cell: (each) => (each.trouble ? [badge("Failed", "bad"), el("small", { class: "remedy", dir: "auto" }, each.trouble)] : badge("All right", "good")) },
      {
        head: "Do",
        unseen: true,
        cell: (each) => button("Run now", async () => {
          const done = await follow(now, () => api.post(`/api/jobs/${encodeURIComponent(each.name)}/run`));
          if (done) toast(`Done: ${each.name}.`);
          again();
        }, { label: `Run ${each.name} now`, disabled: each.running }),
      },
    ],
    jobs,
    "Nothing is planned: storage.backup and storage.retention in the bot's file plan it.",
  );
}
