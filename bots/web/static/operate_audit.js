// Who did what to what, in words, the newest first; the request or command that it came by stands in its details.

import { api } from "./api.js";
import { at, badge, checkbox, empty, facts, folded, input, paged, soon, table, when } from "./pages.js";
import { el, field, when as exactly } from "./ui.js";

/** What was done, and whether that is talk: of those there are many. */
const [TALK, ACT] = [true, false];
const WORDS = {
  "POST /api/chat/sessions": ["Began a conversation", TALK],
  "POST /api/chat/sessions/{id}/messages": ["Said something", TALK],
  "POST /api/chat/sessions/{id}/stop": ["Stopped an answer", TALK],
  "POST /api/chat/sessions/{id}/command": ["Gave a command", TALK],
  "POST /api/chat/sessions/{id}/summary": ["Had a conversation summed up", TALK],
  "POST /api/chat/messages/{id}/regenerate": ["Asked for another answer", TALK],
  "POST /api/chat/messages/{id}/continue": ["Had an answer go on", TALK],
  "POST /api/chat/messages/{id}/edit-and-branch": ["Reworded a line, in a branch", TALK],
  "PUT /api/chat/messages/{id}": ["Reworded a message", TALK],
  "PUT /api/chat/messages/{id}/reactions/{emoji}": ["Reacted to a message", TALK],
  "DELETE /api/chat/messages/{id}/reactions/{emoji}": ["Took a reaction back", TALK],
  "POST /api/chat/messages/{id}/annotations": ["Noted something on a message", TALK],
  "DELETE /api/chat/messages/{id}/annotations/{annotation_id}": ["Took a note off a message", TALK],
  "POST /api/chat/attachments": ["Sent a file", TALK],
  "POST /v1/responses": ["Asked by the API for other programs", TALK],
  "POST /v1/chat/completions": ["Asked by the API for other programs", TALK],
  "POST /api/graphql beginSession": ["Began a conversation", TALK],
  "POST /api/graphql say": ["Said something", TALK],
  "POST /api/graphql stop": ["Stopped an answer", TALK],
  "POST /api/graphql rewordMessage": ["Reworded a message", TALK],
  "POST /api/graphql react": ["Reacted to a message", TALK],
  "POST /api/graphql changeSession": ["Changed a conversation", ACT],
  "POST /api/graphql deleteSession": ["Deleted a conversation", ACT],
  "POST /api/graphql restoreSession": ["Brought a conversation back", ACT],
  "POST /api/graphql deleteMessage": ["Deleted a message", ACT],
  "POST /api/graphql remember": ["Had something remembered", ACT],
  "POST /api/graphql correctMemory": ["Corrected a memory", ACT],
  "POST /api/graphql forgetMemory": ["Had a memory forgotten", ACT],
  "PUT /api/chat/sessions/{id}": ["Changed a conversation", ACT],
  "DELETE /api/chat/sessions/{id}": ["Deleted a conversation", ACT],
  "POST /api/chat/sessions/{id}/restore": ["Brought a conversation back", ACT],
  "POST /api/chat/sessions/{id}/branch": ["Branched a conversation", ACT],
  "POST /api/chat/sessions/{id}/duplicate": ["Copied a conversation", ACT],
  "POST /api/chat/sessions/{id}/merge": ["Merged two conversations", ACT],
  "POST /api/chat/sessions/{id}/export": ["Exported a conversation", ACT],
  "POST /api/chat/export/bulk": ["Exported conversations", ACT],
  "POST /api/chat/templates": ["Saved a template", ACT],
  "DELETE /api/chat/templates/{id}": ["Deleted a template", ACT],
  "DELETE /api/chat/messages/{id}": ["Deleted a message", ACT],
  "POST /api/live/channels/{key}/quiet": ["Took a channel over", ACT],
  "DELETE /api/live/channels/{key}/quiet": ["Handed a channel back", ACT],
  "POST /api/live/channels/{key}/messages": ["Spoke as the bot", ACT],
  "POST /api/live/channels/{key}/stop": ["Stopped the answers in a channel", ACT],
  "POST /api/login": ["Signed in", ACT],
  "POST /api/logout": ["Signed out", ACT],
  "GET /api/login/discord/return": ["Signed in by Discord", ACT],
  "POST /api/backups": ["Made a backup", ACT],
  "POST /api/backups/{name}/verify": ["Checked a backup", ACT],
  "POST /api/backups/{name}/restore": ["Restored a backup into a new folder", ACT],
  "PUT /api/config/{path}": ["Wrote a file", ACT],
  "POST /api/cleanup": ["Asked for a cleanup, or a preview of one", ACT],
  "POST /api/memories": ["Had something remembered", ACT],
  "PUT /api/memories/pause": ["Paused or resumed learning", ACT],
  "POST /api/memories/rebuild": ["Rebuilt the index of memories", ACT],
  "PUT /api/memories/{memory_id}": ["Corrected a memory", ACT],
  "DELETE /api/memories/{memory_id}": ["Had a memory forgotten", ACT],
  "POST /api/memories/{memory_id}/undo": ["Undid a change of a memory", ACT],
  "POST /api/works/{work_id}/stop": ["Stopped work under way", ACT],
  "POST /api/bot/checkup": ["Checked everything", ACT],
  "POST /api/bots/{name}/{act}": ["Was to stop or start a bot", ACT],
  "POST /api/bots/{name}/{act} stop": ["Stopped a bot", ACT],
  "POST /api/bots/{name}/{act} start": ["Started a bot", ACT],
  "POST /api/bots/{name}/{act} restart": ["Restarted a bot", ACT],
  "POST /api/bot/reload": ["Read the configuration again", ACT],
  "POST /api/jobs/{name}/run": ["Ran a job", ACT],
  quiet: ["Took a channel over", ACT],
  "quiet ended": ["Handed a channel back", ACT],
  cleanup: ["Cleaned up", ACT],
  forget: ["Forgot a person", ACT],
  backup: ["Made a backup", ACT],
  reload: ["Read the configuration again", ACT],
  "persona chosen": ["Chose a persona", ACT],
  "session policy": ["Set when a conversation ends", ACT],
  "channel.deleted": ["Lost a channel", ACT],
  "config set": ["Changed a setting of a server", ACT],
  "config undo": ["Undid a setting of a server", ACT],
  "session stop": ["Stopped an answer", ACT],
  "session archive": ["Archived a conversation", ACT],
  "token create": ["Made a token", ACT],
  "token revoke": ["Revoked a token", ACT],
};
/** What leaves an entry of its own beside that of the request, which follows it or goes before. */
const TWICE = {
  "POST /api/live/channels/{key}/quiet": ["quiet"],
  "DELETE /api/live/channels/{key}/quiet": ["quiet ended"],
  "POST /api/cleanup": ["cleanup"],
  "POST /api/chat/sessions/{id}/command": ["persona chosen", "session policy"],
};
const TOGETHER = 10_000;

export function draw(room) {
  const about = input({ type: "search", placeholder: "storage, or session: and its id", maxLength: 200 });
  const list = el("section", {});
  const talk = checkbox("Talk too", false, () => again());
  const again = paged(list, read, drawn);
  about.addEventListener("input", soon(again));
  room.append(el("div", { class: "row filters" }, field("About", about), talk.label), list);

  async function read(cursor) {
    const told = await api.get("/api/audit", { cursor, limit: 100, about: about.value.trim() });
    return { ...told, items: once(told.items).filter((each) => talk.box.checked || !isTalk(each)) };
  }
  function drawn(entries) {
    if (!entries.length && about.value) return empty("Nothing was done about exactly this.");
    return table("Audit", COLUMNS, entries, "Nothing was done yet: every change to settings, memories and storage stands here.");
  }
}

const named = (action) => action.replace(/:path\}/g, "}");
const isTalk = (entry) => WORDS[named(entry.action)]?.[1] === TALK;

/** Entries with each thing told once: the bot's own entry has what came of it, that of the request who wanted it. */
function once(entries) {
  const left = new Set(entries);
  const apart = (one, other) => Math.abs(new Date(one.at) - new Date(other.at));
  for (const asked of entries.filter((each) => named(each.action) in TWICE && each.details.status < 400)) {
    const of = (each) => TWICE[named(asked.action)].includes(each.action) && [asked.actor.id, "cleanup"].includes(each.actor.id);
    const own = [...left].filter((each) => of(each) && !each.request && apart(each, asked) < TOGETHER);
    if (!own.length) continue;
    const nearest = own.reduce((one, other) => (apart(other, asked) < apart(one, asked) ? other : one));
    left.delete(asked);
    nearest.actor = asked.actor;
    nearest.request = asked;
  }
  return [...left];
}

const COLUMNS = [
  { head: "When", cell: (each) => [when(each.at), el("small", { class: "muted block" }, exactly(each.at))] },
  { head: "Who", cell: (each) => el("span", { dir: "auto", title: each.actor.id }, each.actor.name || each.actor.id) },
  { head: "Did", broad: true, cell: (each) => [WORDS[named(each.action)]?.[0] ?? each.action, each.details.status >= 400 && badge("refused", "warn")].filter(Boolean) },
  { head: "To", cell: target },
  { head: "Details", broad: true, unseen: true, cell: (each) => folded("Details", () => facts(details(each))) },
];

/** What it was done to: a session leads there, of others the name is shown. */
function target({ target: whole, details: told }) {
  const [noun, ...rest] = whole.split(":");
  const name = rest.join(":");
  if (noun === "session" && name) return el("a", { href: at("sessions", name) }, "a conversation");
  if (told.path) return el("code", {}, told.path);
  if (noun === "message") return "a message";
  return whole === "web" ? "–" : el("span", { dir: "auto" }, name ? `${noun} ${name}` : noun);
}

function details(entry) {
  const { request = null, ...own } = entry;
  const told = Object.entries({ ...own.details, ...request?.details }).filter(([, value]) => value !== null && value !== "");
  const pairs = told.map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : String(value)]);
  return [["noted as", [own.action, request?.action].filter(Boolean).join(", ")], ["to", own.target], ...pairs];
}
