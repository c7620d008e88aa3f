// What is kept where, and what is due to go: a preview first, and only then the cleaning.

import { api } from "./api.js";
import { confirm, el } from "./ui.js";
import { badge, button, bytes, channelName, count, empty, facts, folded, loaded, notice, number, paged, table, when } from "./pages.js";
import { follow } from "./works.js";

const TIGHT = 0.1;
const FILES = [
  { head: "File", broad: true, cell: (each) => el("code", {}, each.name) },
  { head: "Size", number: true, cell: (each) => bytes(each.bytes) },
];

export function draw(room) {
  const [kept, clean, channels] = [el("section", {}), el("section", {}), el("section", {})];
  room.append(kept, el("h2", {}, "Cleanup"), clean, el("h2", {}, "By channel"), channels);
  const again = loaded(kept, () => api.get("/api/storage"), about);
  const listed = byChannel(channels);
  cleanup(clean, () => (again(), listed()));
}

function about(told) {
  const tight = told.free < (told.free + told.size) * TIGHT;
  const records = Object.entries(told.counts.records).map(([kind, many]) => `${number(many)} ${kind}`);
  const known = [
    ["Type", told.type],
    ["Where", told.root],
    ["Takes", bytes(told.size)],
    ["Free", bytes(told.free)],
    ["Messages", number(told.counts.messages)],
    ["Sessions", `${number(told.counts.sessions)}, ${number(told.counts.open_sessions)} open`],
    ["Channels", number(told.counts.channels)],
    ["Records", records.join(", ") || "none"],
  ];
  return [
    tight && notice("warn", el("p", {}, `Only ${bytes(told.free)} are free: preview a cleanup, or give it more room.`)),
    facts(known),
    told.files.length > 0 && folded(count(told.files.length, "file"), () => table("Files of the storage", FILES, told.files)),
  ];
}

/** Nothing is removed before it was shown. */
function cleanup(where, changed) {
  const told = el("div", { class: "part" });
  const look = button("Preview", async () => {
    const found = await follow(told, () => api.post("/api/cleanup", { dry_run: true }));
    if (found) told.replaceChildren(...preview(found, clean));
  }, { tone: "primary" });
  async function clean(found) {
    const sum = totals(found);
    const yes = await confirm(
      "Clean up now?",
      `${sum} will go for good, as your retention settings say.` +
        (found.archives.length ? " They are archived first." : " A backup from before still has them."),
      { yes: "Clean up", danger: true },
    );
    if (!yes) return;
    const done = await follow(told, () => api.post("/api/cleanup", { dry_run: false }));
    if (done) told.replaceChildren(notice("good", el("p", { role: "status" }, `Cleaned up: ${totals(done)}.`)), ...archives(done));
    changed();
  }
  const words = "A preview shows what your retention settings would remove, and why. It removes nothing.";
  where.append(el("p", { class: "row spread wrap" }, el("span", { class: "muted" }, words), look), told);
}

function preview(found, clean) {
  if (!found.items.length) {
    const held = found.kept ? ` ${count(found.kept, "thing")} that would be due stay, because somebody starred or pinned them.` : "";
    return [notice("good", el("p", { role: "status" }, `Nothing is due to go.${held}`))];
  }
  const more = found.more ? " There is more: not everything was looked at." : "";
  return [
    notice("warn", el("p", { role: "status" }, `Would go: ${totals(found)}.${more}`)),
    el("p", {}, button("Clean up now…", () => clean(found), { tone: "danger" })),
    table(
      "What would go",
      [
        { head: "Kind", cell: (each) => badge(each.kind) },
        { head: "What", broad: true, cell: (each) => [el("code", {}, each.id), each.channel && el("small", { class: "muted", dir: "auto" }, ` ${each.channel}`)].filter(Boolean) },
        { head: "Why", broad: true, cell: (each) => each.why },
        { head: "Messages", number: true, cell: (each) => number(each.messages) },
        { head: "Size", number: true, cell: (each) => bytes(each.bytes) },
      ],
      found.items,
    ),
    found.unlisted > 0 && el("p", { class: "muted" }, `and ${number(found.unlisted)} more`),
  ].filter(Boolean);
}

function totals(found) {
  const parts = Object.entries(found.total)
    .filter(([, sum]) => sum.items)
    .map(([kind, sum]) => `${number(sum.items)} × ${kind}${sum.bytes ? ` (${bytes(sum.bytes)})` : ""}`);
  return parts.join(", ") || "nothing";
}

function archives(done) {
  return done.archives.map((path) => el("p", { class: "muted" }, "Archived in ", el("code", {}, path)));
}

function byChannel(where) {
  return paged(
    where,
    async (after) => {
      const told = await api.get(`/api/storage/channels`, { after, limit: 50 });
      return { items: told.items, older: told.next };
    },
    (channels) => {
      const most = Math.max(1, ...channels.map((each) => each.bytes));
      return channels.length
        ? table(
           "Storage by channel",
           [
             { head: "Channel", broad: true, cell: (each) => el("span", { dir: "auto" }, channelName(each)) },
             { head: "Sessions", number: true, cell: (each) => number(each.sessions) },
             { head: "Messages", number: true, cell: (each) => number(each.messages) },
             { head: "Size", number: true, cell: (each) => [part(each.bytes / most), bytes(each.bytes)] },
             { head: "Last", cell: (each) => when(each.last_at) },
           ],
           channels,
         )
        : empty("Nobody has talked to this bot yet.");
    },
  );
}

function part(share) {
  const bar = el("span", { class: "part", "aria-hidden": "true" });
  bar.style.inlineSize = `${Math.max(1, share * 60)}px`;
  return bar;
}
