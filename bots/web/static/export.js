// Taking talk along: one dialog for one session or many, with what each format can do, and how far it is.

import { api } from "./api.js";
import { bytes, checkbox, count, input, notice, opened, select, sentence } from "./pages.js";
import { el, field, toast } from "./ui.js";

const FORMS = [
  ["md", "Markdown", "For notes and documentation"],
  ["html", "Web page", "To read and print; needs nothing else"],
  ["pdf", "PDF", "To send and to print"],
  ["docx", "Word", "To go on working on it"],
  ["txt", "Plain text", "Words alone"],
  ["json", "JSON", "For programs"],
  ["v3", "Portable files", "To take to another Troupe"],
];
const CAN = {
  header_level: ["md"],
  code_language: ["md"],
  images: ["html", "md"],
  complete: ["json"],
  timestamps: ["md", "html", "pdf", "docx", "txt"],
  metadata: ["md", "html", "pdf", "docx", "txt", "json"],
  zone: ["md", "html", "pdf", "docx", "txt"],
  files: ["md", "html", "pdf", "docx", "txt", "json"],
};
const KEPT = "troupe.export";

/** Asks how, and downloads. `sessions` are one or more; none is everything that the caller may see. */
export function exportDialog(sessions) {
  const chosen = remembered();
  const many = sessions.length !== 1;
  const options = el("div", { class: "grid" });
  const progress = el("div", { class: "export-progress", role: "status" });
  const go = el("button", { type: "submit", class: "btn primary" }, "Export");
  const stop = el("button", { type: "button", class: "btn" }, "Cancel");
  const form = el("form", { class: "export" }, formats(chosen, drawOptions), options, progress, el("div", { class: "row end" }, stop, go));
  let controls = {};
  let cut = null;

  function drawOptions() {
    controls = optionsOf(chosen, many);
    options.replaceChildren(...Object.values(controls).map((each) => each.shown));
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    for (const [name, control] of Object.entries(controls)) chosen[name] = control.read();
    keep(chosen);
    cut = new AbortController();
    go.disabled = true;
    progress.replaceChildren(bar(), el("p", {}, "Making it…"));
    try {
      const told = await fetched(sessions, chosen, cut.signal, (done, of) => tellProgress(progress, done, of));
      save(told.file, told.name);
      shown.close();
      toast(`Exported ${many ? told.name : "the session"}: ${bytes(told.file.size)}.`);
    } catch (error) {
      if (cut.signal.aborted) progress.replaceChildren(el("p", {}, "Stopped. Nothing was saved."));
      else progress.replaceChildren(notice("bad", el("p", { role: "alert" }, sentence(error))));
    } finally {
      go.disabled = false;
      cut = null;
    }
  });
  stop.addEventListener("click", () => (cut ? cut.abort() : shown.close()));
  drawOptions();
  const title = many ? (sessions.length ? `Export ${count(sessions.length, "session")}` : "Export everything") : "Export this session";
  const shown = opened(title, form, { closed: () => cut?.abort() });
  return shown;
}

function formats(chosen, changed) {
  return el(
    "fieldset",
    { class: "choices" },
    el("legend", {}, "Format"),
    ...FORMS.map(([value, name, what]) => {
      const radio = el("input", { type: "radio", name: "form", value });
      radio.checked = chosen.form === value;
      radio.addEventListener("change", () => ((chosen.form = value), changed()));
      return el("label", { class: "choice" }, radio, el("span", {}, el("b", {}, name), el("small", { class: "muted" }, what)));
    }),
  );
}

/** The options of the chosen format: what is shown of each, and how it is read. */
function optionsOf(chosen, many) {
  const can = (name) => CAN[name].includes(chosen.form);
  const found = {};
  const tick = (name, text) => {
    const { box, label } = checkbox(text, Boolean(chosen[name]));
    found[name] = { shown: label, read: () => box.checked };
  };
  const put = (name, text, control, hint, read = () => control.value) => {
    found[name] = { shown: field(text, control, hint), read };
  };
  if (can("metadata")) tick("metadata", "People, places, models and tools");
  if (can("timestamps")) tick("timestamps", "When each thing was said");
  if (can("complete")) tick("complete", "Everything, deleted and edited lines too");
  if (can("files")) tick("files", "The files beside it, in a zip");
  if (many && can("files")) tick("zipped", "One document for each session, in a zip");
  if (can("images")) put("images", "Pictures", select([["embed", "In the document"], ["link", "As links"]], chosen.images));
  if (can("header_level")) {
    const level = select([1, 2, 3, 4, 5].map((each) => [String(each), "#".repeat(each)]), String(chosen.header_level));
    put("header_level", "Headings begin at", level, "", () => Number(level.value));
  }
  if (can("code_language"))
    put("code_language", "Code without a language is", input({ value: chosen.code_language, maxlength: 40, pattern: "[\\w.+#\\-]{0,40}", placeholder: "text" }));
  if (can("zone")) put("zone", "Time zone", input({ value: chosen.zone, maxlength: 60, required: true }), "Europe/Berlin, say, or UTC");
  return found;
}

function remembered() {
  const usual = {
    form: "md",
    metadata: true,
    timestamps: true,
    complete: false,
    files: false,
    zipped: false,
    images: "embed",
    header_level: 1,
    code_language: "",
    zone: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC",
  };
  try {
    return { ...usual, ...JSON.parse(localStorage.getItem(KEPT) ?? "{}") };
  } catch {
    return usual;
  }
}

function keep(chosen) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(chosen));
  } catch {
    // A browser that keeps nothing exports as well.
  }
}

/** Only what the format can do is asked for. */
function asked(chosen) {
  const told = { form: chosen.form };
  for (const [name, forms] of Object.entries(CAN)) if (forms.includes(chosen.form)) told[name] = chosen[name];
  if (chosen.zipped && CAN.files.includes(chosen.form)) told.zipped = true;
  return told;
}

async function fetched(sessions, chosen, signal, tell) {
  const one = sessions.length === 1;
  const address = one ? `/api/chat/sessions/${encodeURIComponent(sessions[0].id)}/export` : "/api/chat/export/bulk";
  const named = one || !sessions.length ? {} : { sessions: sessions.map((each) => each.id) };
  const body = { ...asked(chosen), ...named };
  const told = await api.raw("POST", address, { body, signal });
  const of = Number(told.headers.get("Content-Length")) || 0;
  const pieces = [];
  let done = 0;
  for (const reader = told.body.getReader(); ; ) {
    const { done: ended, value } = await reader.read();
    if (ended) break;
    pieces.push(value);
    done += value.length;
    tell(done, of);
  }
  const type = told.headers.get("Content-Type") || "application/octet-stream";
  return { file: new Blob(pieces, { type }), name: nameOf(told.headers.get("Content-Disposition"), chosen) };
}

function nameOf(said, chosen) {
  const coded = /filename\*=UTF-8''([^;]+)/i.exec(said ?? "")?.[1];
  const plain = /filename="?([^";]+)"?/i.exec(said ?? "")?.[1];
  try {
    return coded ? decodeURIComponent(coded) : plain || `export.${chosen.form}`;
  } catch {
    return plain || `export.${chosen.form}`;
  }
}

function bar() {
  return el("progress", { "aria-label": "Progress of the export" });
}

function tellProgress(where, done, of) {
  const shown = where.querySelector("progress") ?? where.appendChild(bar());
  if (of) [shown.max, shown.value] = [of, done];
  where.querySelector("p").textContent = of ? `${bytes(done)} of ${bytes(of)}` : `${bytes(done)} so far…`;
}

export function save(file, name) {
  const link = el("a", { href: URL.createObjectURL(file), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
