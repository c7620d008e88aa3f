// What a session holds beside words: its files as tiles, each opened as what it is.

import { api } from "./api.js";
import { el, fill } from "./ui.js";
import { download, fileShown, kindOf } from "./files_shown.js";
import { at, badge, bytes, button, count, empty, loaded, opened, page, paged, placeOf, titleOf, table, when } from "./pages.js";

const PAGE = 200;
const SIGNS = { image: "Picture", audio: "Sound", video: "Film", pdf: "PDF", text: "Text", other: "File" };

/** `#/files`: the sessions that hold files. `#/files/<session>`: the files of one. */
export function mount(root, { rest: [id] }) {
  if (id) ofSession(root, id);
  else everywhere(root);
}

function everywhere(root) {
  const room = page(root, { title: "Files", lead: "Sessions that hold pictures, sound, documents or other files." });
  paged(
    room,
    (cursor) => api.get(`/api/chat/sessions`, { files: true, limit: 50, cursor }),
    (sessions) =>
      table(
        "Sessions with files",
        [
          { head: "Session", broad: true, cell: (each) => el("a", { href: at("files", each.id), dir: "auto" }, titleOf(each)) },
          { head: "Where", cell: (each) => el("span", { dir: "auto" }, placeOf(each)) },
          { head: "Last", cell: (each) => when(each.last_at) },
        ],
        sessions,
        "No session holds a file yet. Drop one into a chat, and it is here.",
      ),
  );
}

function ofSession(root, id) {
  const room = page(root, {
    title: "Files",
    back: { href: at("sessions", id), text: "The session" },
    actions: [el("a", { class: "btn", href: at("chat", id) }, "Open the chat")],
  });
  const tiles = el("ul", { class: "tiles" });
  const told = el("p", { class: "muted", role: "status" });
  const files = [];
  let older = null;
  async function read() {
    const found = await api.get(`/api/chat/sessions/${encodeURIComponent(id)}/messages`, { limit: PAGE, cursor: older });
    older = found.older ?? null;
    const fresh = found.items.reverse().flatMap(filesOf);
    files.push(...fresh);
    tiles.append(...fresh.map((file) => tile(file, files)));
    told.textContent = files.length ? `${count(files.length, "file")}${older ? " so far" : ""}` : "";
    // A page of talk without a file is no page to a reader: go on until there is one, or the end.
    if (!fresh.length && older) await read();
  }
  loaded(
    room,
    async () => {
      files.length = 0;
      older = null;
      fill(tiles);
      await read();
    },
    () => {
      if (!files.length) return empty("This session holds no files.");
      const more = el("p", { class: "row centre" });
      const another = button("Look further back", async () => {
        await read();
        if (!older) more.remove();
      });
      more.append(another);
      return [told, tiles, older && more];
    },
  );
}

function filesOf(message) {
  return (message.parts ?? [])
    .filter((part) => ["image", "audio", "video", "file"].includes(part.type))
    .map((part) => ({ ...part, by: message.sender?.name, at: message.at, message: message.id }));
}

function tile(file, all) {
  const kind = kindOf(file);
  const seen =
    kind === "image" && file.url
      ? el("img", { src: file.url, alt: "", loading: "lazy" })
      : el("span", { class: "tile-sign", "aria-hidden": "true" }, SIGNS[kind]);
  const made = el(
    "button",
    { type: "button", class: "tile" },
    el("span", { class: "tile-seen" }, seen),
    el("span", { class: "tile-name", dir: "auto" }, file.name || "file"),
    el("small", { class: "muted" }, `${SIGNS[kind]} · ${bytes(file.size)}`),
    !file.url && badge("not held", "warn"),
  );
  made.addEventListener("click", () => view(all.indexOf(file), all));
  return el("li", {}, made);
}

/** One file large, with ways to the next and the one before. */
function view(place, all) {
  const file = all[place];
  const { seen, stop } = fileShown(file);
  const to = (next) => () => {
    shown.close();
    view(next, all);
  };
  const body = el(
    "div",
    { class: "file-view" },
    el("div", { class: "file-room" }, seen),
    file.description && el("p", { dir: "auto" }, file.description),
    el("p", { class: "muted" }, `${bytes(file.size)} · ${file.media_type || "unknown kind"} · from `, el("span", { dir: "auto" }, file.by || "somebody"), " ", when(file.at)),
    el(
      "div",
      { class: "row" },
      place > 0 && button("← Before", to(place - 1)),
      place < all.length - 1 && button("Next →", to(place + 1)),
      file.url && download(file),
    ),
  );
  const shown = opened(file.name || "File", body, { big: true, closed: stop });
}
