// One file as what it is: a picture, sound, film, a PDF, text; anything else can be downloaded.

import { api } from "./api.js";
import { el } from "./ui.js";
import { bytes, notice, trouble, waiting } from "./pages.js";

const TEXT = /^(text\/(?!html|xml)|application\/(json|x-ndjson|yaml|toml|x-sh))/;
const ENDS = /\.(txt|md|csv|tsv|log|json|jsonl|ya?ml|toml|ini|py|js|ts|rs|go|java|c|h|cpp|sh|sql)$/i;
const MOST = 256 * 1024;

export function kindOf(file) {
  const type = (file.media_type || "").split(";")[0].trim().toLowerCase();
  if (type === "image/svg+xml") return "other";
  if (file.type === "image" || type.startsWith("image/")) return "image";
  if (file.type === "audio" || type.startsWith("audio/")) return "audio";
  if (file.type === "video" || type.startsWith("video/")) return "video";
  if (type === "application/pdf") return "pdf";
  if (TEXT.test(type) || (ENDS.test(file.name) && !type.includes("html") && !type.includes("xml"))) return "text";
  return "other";
}

/** The file at full size, with what it is called and a way to keep it. `stop` is called when it is no longer seen. */
export function fileShown(file) {
  if (!file.url) return { seen: notice("warn", el("p", {}, lost(file))), stop() {} };
  const make = { image, audio, video, pdf, text }[kindOf(file)];
  return make ? make(file) : { seen: notice("plain", el("p", {}, unseen(file))), stop() {} };
}

function lost(file) {
  return `The bot does not hold the bytes of ${file.name}: it was not fetched, or cleanup has removed it.`;
}

function unseen(file) {
  return `A file of this kind (${file.media_type || "unknown"}, ${bytes(file.size)}) is not opened here: download it.`;
}

export function download(file) {
  return el("a", { class: "btn", href: file.url, download: file.name || "file" }, "Download");
}

function image(file) {
  const shown = el("img", { src: file.url, alt: file.description || file.name, class: "file-image" });
  return { seen: shown, stop() {} };
}

function audio(file) {
  const shown = el("audio", { controls: true, preload: "metadata", src: file.url, "aria-label": file.name });
  return { seen: shown, stop: () => shown.pause() };
}

function video(file) {
  const shown = el("video", { controls: true, preload: "metadata", src: file.url, "aria-label": file.name });
  return { seen: shown, stop: () => shown.pause() };
}

function pdf(file) {
  const seen = el("div", { class: "file-pdf" }, waiting());
  const cut = new AbortController();
  let address = "";
  (async () => {
    try {
      const told = await api.raw("GET", file.url, { signal: cut.signal });
      // The type is said here, not by whoever sent the file: as anything else it would be a page of this console.
      address = URL.createObjectURL(new Blob([await told.arrayBuffer()], { type: "application/pdf" }));
      if (cut.signal.aborted) return URL.revokeObjectURL(address);
      seen.replaceChildren(el("iframe", { src: address, title: file.name }));
    } catch (error) {
      if (!cut.signal.aborted) seen.replaceChildren(trouble(error));
    }
  })();
  return {
    seen,
    stop() {
      cut.abort();
      if (address) URL.revokeObjectURL(address);
    },
  };
}

function text(file) {
  const seen = el("div", {}, waiting());
  const cut = new AbortController();
  (async () => {
    try {
      const headers = { Range: `bytes=0-${MOST - 1}` };
      const told = await api.raw("GET", file.url, { signal: cut.signal, headers }).catch((error) => {
        if (error.status === 416) return new Response(); // An empty file has no first part.
        throw error;
      });
      const words = new TextDecoder().decode((await told.arrayBuffer()).slice(0, MOST));
      const more = file.size > MOST && el("p", { class: "muted" }, `The first ${bytes(MOST)} of ${bytes(file.size)}.`);
      const page = el("pre", { class: "file-text", tabindex: "0", dir: "auto", "aria-label": file.name });
      page.textContent = words || "(empty)";
      seen.replaceChildren(...[more, page].filter(Boolean));
    } catch (error) {
      if (!cut.signal.aborted) seen.replaceChildren(trouble(error));
    }
  })();
  return { seen, stop: () => cut.abort() };
}
