// Making one session of two: first what would come of it, then the doing.

import { api } from "./api.js";
import { at, badge, button, count, loaded, notice, opened, titleOf } from "./pages.js";
import { el, toast } from "./ui.js";

/** Shows what a merge of two sessions would hold, and merges them when told to. */
export function mergeDialog(first, second) {
  const own = `/api/chat/sessions/${encodeURIComponent(first.id)}/merge`;
  const body = el("div", { class: "stack" });
  const shown = opened("Merge two sessions", body);
  loaded(body, () => api.post(own, { other: second.id, dry_run: true }), (told) => [
    el("ul", { class: "plain-list stack" }, [first, second].map((each) => el("li", { class: "row spread" }, el("b", { class: "clip", dir: "auto" }, titleOf(each)), badge(count(each.message_count, "message"))))),
    notice("plain", el("p", { role: "status" }, `One session of ${count(told.lines, "line")} would come of it, in the order of time, each line once; ${count(told.came, "line")} of them only the second has.`)),
    el("p", { class: "muted" }, "The two are archived, not deleted: nothing is lost."),
    el("div", { class: "row end" }, button("Cancel", () => shown.close()), button("Merge", merge, { tone: "primary" })),
  ]);
  async function merge() {
    const { session, lines } = await api.post(own, { other: second.id });
    shown.close();
    toast(`Merged: ${count(lines, "line")} in one session.`);
    location.hash = at("sessions", session.id);
  }
}
