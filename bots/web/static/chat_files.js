// Files that are to be sent with a line: they go at once, and are only named when the line does.

import { bytes, el, icon, iconButton } from "./ui.js";

/** A file on its way: `hash` once it is there, `sent` resolves then. */
export const entry = (file) => ({
  name: file.name || "pasted",
  size: file.size,
  gone: 0,
  hash: null,
  stop: new AbortController(),
  picture: /^image\/(png|jpeg|gif|webp|avif)$/.test(file.type) ? URL.createObjectURL(file) : null,
});

/** Lets go of the preview of a file. */
export const free = (each) => each.picture && URL.revokeObjectURL(each.picture);

/** What is kept of a file in a draft. */
export const told = ({ name, size, hash }) => ({ name, size, hash });

/** A file as it stands beside the words; `away` takes it away. */
export function shown(each, away) {
  each.bar = each.hash ? null : el("span", { class: "part", style: { "--part": each.gone } });
  return el(
    "li",
    { class: each.hash ? "" : "going" },
    each.picture ? el("img", { src: each.picture, alt: "" }) : icon("file"),
    el("bdi", { class: "clip" }, each.name),
    el("small", {}, each.hash ? bytes(each.size) : "sending…"),
    each.bar,
    iconButton("close", `Take away ${each.name}`, away, { class: "icon-btn little" }),
  );
}
