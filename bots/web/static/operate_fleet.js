// The bots that run together: how each is, and stopping, starting and restarting one.

import { api } from "./api.js";
import { badge, button, bytes, coded, count, loaded, notice, renewed } from "./pages.js";
import { confirm, el, fill, toast } from "./ui.js";
import { follow } from "./works.js";

const LOOK = 1_000;
const TONES = { ready: "good", starting: "warn", stopped: "warn" };
const ACTS = { stop: "Stop", start: "Start", restart: "Restart" };
const DONE = { stop: "is stopped.", start: "is ready.", restart: "is ready again." };

/** Shows all bots in `where`; returns what does it again. When this console's own bot goes, `leaving` is called and the
 *  whole `room` says goodbye. */
export function fleet(where, room, leaving) {
  const [told, list] = [el("div", {}), el("div", {})];
  where.append(el("h2", {}, "Bots"), told, list);
  const act = async (each, what) => {
    const { title, words } = meant(each, what);
    if (what !== "start" && !(await confirm(title, words, { yes: ACTS[what], danger: what === "stop" }))) return;
    const begin = () => api.post(`/api/bots/${encodeURIComponent(each.name)}/${what}`);
    if (each.here) await farewell(room, leaving, each, what, begin);
    else if (await follow(told, begin, { stoppable: false })) toast(`${each.display} ${DONE[what]}`);
    again();
  };
  const again = loaded(list, () => api.get("/api/bots"), ({ items }) => el("ul", { class: "cards" }, items.map((each) => card(each, act))), renewed);
  return again;
}

function card(each, act) {
  const down = !each.answers && each.state === "stopped";
  const tone = down ? "warn" : !each.answers || each.troubles.length ? "bad" : TONES[each.state] ?? "warn";
  const name = each.here || !each.url ? el("b", { dir: "auto" }, each.display) : el("a", { href: each.url, dir: "auto" }, each.display);
  const lost = !each.answers && !down && !each.possible.length;
  return el(
    "li",
    { class: `card ${tone}` },
    el("div", { class: "row spread" }, name, badge(down || each.answers || each.possible.length ? each.state || "answers" : "does not answer", tone)),
    el("p", { class: "muted" }, each.here ? "this one" : each.url),
    each.answers && el("p", {}, [each.discord && `Discord ${each.discord}`, count(each.live_sessions, "live session"), bytes(each.memory_bytes), each.restarts && count(each.restarts, "restart")].filter(Boolean).join(" · ")),
    ...each.troubles.map((trouble) => el("p", { class: "remedy", dir: "auto" }, coded(trouble))),
    lost && el("p", { class: "remedy" }, coded("Look on its machine: `troupe status`, and `troupe up` where it is down.")),
    each.possible.length > 0 && el("div", { class: "row wrap" }, each.possible.map((what) => button(ACTS[what], () => act(each, what), { little: true, label: `${ACTS[what]} ${each.display}` }))),
  );
}

/** What is about to happen, in words. */
function meant(each, what) {
  const first = each.answers ? "Answers under way are given first, for half a minute at most. " : "";
  if (what === "restart") {
    const words = `Then people see ${each.display} offline for a few seconds; what they say meanwhile is taken up afterwards. Changes of its configuration that wait for a restart come into force.`;
    return { title: `Restart ${each.display}?`, words: `${first}${words}${each.here ? " This page comes back by itself." : ""}` };
  }
  const until = each.alone ? "and it runs alone: only its own machine can start it again" : "until somebody starts it again";
  const words = `${first ? "Then people" : "People"} see ${each.display} offline, ${until}. Nobody is answered meanwhile, and its backups and other jobs rest.`;
  return { title: `Stop ${each.display}?`, words: `${first}${words}${each.here ? " This console goes with it." : ""}` };
}

/** Sees this console's own bot off, and reads the page anew once it is there again. */
async function farewell(room, leaving, each, what, begin) {
  const { started } = await api.get("/api/bot");
  const { id } = await begin();
  leaving();
  const said = el("div", { role: "status" });
  fill(room, said);
  fill(said, notice("plain", el("p", {}, `${each.display} gives the answers under way…`)));
  const others = await api.get("/api/bots").then(({ items }) => items.filter((one) => !one.here && one.answers), () => []);
  for (let gone = false; said.isConnected; ) {
    await new Promise((done) => setTimeout(done, LOOK));
    try {
      if ((await api.get("/api/bot")).started !== started) return location.reload();
      const work = await api.get(`/api/works/${encodeURIComponent(id)}`);
      if (work.state === "failed") return fill(said, notice("bad", el("p", {}, coded(work.trouble))));
    } catch {
      if (!gone) fill(said, notice(what === "stop" ? "warn" : "plain", el("p", {}, goodbye(each, what, others))));
      gone = true;
    }
  }
}

function goodbye(each, what, others) {
  if (what === "restart") return `${each.display} is starting again: this page comes back by itself.`;
  const where = others.flatMap((one) => ["in the console of ", el("a", { href: `${one.url}/#/operate/health` }, one.display), ", or "]);
  const again = !each.alone ? ["Start it again ", where, coded(`with \`troupe start ${each.name}\`.`)] : [];
  return [el("b", {}, `${each.display} has stopped, and its console with it. `), again, " This page comes back when it does."];
}
