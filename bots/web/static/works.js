// What takes a while on the bot's side: begun, followed as it goes, stopped, and told how it ended.

import { api } from "./api.js";
import { el } from "./ui.js";
import { button, notice, number, sentence } from "./pages.js";

const WAIT = 20;

/** Begins something long with `begin()` (which answers with a work), shows how far it is in `where`, and resolves with
* its result; with null where it was stopped or failed, which is shown. */
export async function follow(where, begin, { stoppable = true } = {}) {
  where.replaceChildren(notice("plain", el("p", { role: "status" }, "Beginning…")));
  let work;
  try {
    work = await begin();
    const shown = under(work, stoppable);
    where.replaceChildren(shown.box);
    while (work.state === "running" && where.isConnected) {
      shown.tell(work);
      work = await api.get(`/api/works/${encodeURIComponent(work.id)}?wait=${WAIT}&seen=${work.changes}`);
    }
  } catch (error) {
    where.replaceChildren(notice("bad", el("p", { role: "alert" }, sentence(error))));
    return null;
  }
  if (work.state === "done") {
    where.replaceChildren();
    return work.result;
  }
  if (work.state === "stopped") where.replaceChildren(notice("warn", el("p", { role: "status" }, `${work.title}: stopped.`)));
  if (work.state === "failed") where.replaceChildren(notice("bad", el("p", { role: "alert" }, `${work.title} failed. ${work.trouble}`)));
  return null;
}

function under(work, stoppable) {
  const step = el("p", { role: "status" });
  const bar = el("progress", { "aria-label": work.title });
  const stop = button("Stop", () => api.post(`/api/works/${encodeURIComponent(work.id)}/stop`));
  return {
    box: notice("plain", el("div", { class: "row spread" }, el("b", {}, work.title), stoppable && stop), bar, step),
    tell(now) {
      if (now.of) [bar.max, bar.value] = [now.of, now.done];
      else bar.removeAttribute("value");
      const far = now.of ? ` ${number(now.done)} of ${number(now.of)}` : "";
      step.textContent = `${now.step || "working"}${far}`;
    },
  };
}
