// What the bot keeps of whoever is here: to see, to take along, to have forgotten, and what they used.

import { api, may } from "./api.js";
import { save } from "./export.js";
import { budgets } from "./operate_usage.js";
import { button, bytes, cost, count, date, facts, loaded, notice, number } from "./pages.js";
import { confirm, el, toast } from "./ui.js";

export function draw(room) {
  const [kept, used] = [el("section", {}), el("section", {})];
  room.append(kept, el("h2", {}, "What your answers took"), used);
  const again = loaded(kept, () => api.get("/api/privacy"), (told) => about(told, () => again()));
  loaded(used, () => api.get("/api/usage/mine"), usage);
}

function about(told, again) {
  const pairs = [
    ["You are", `${told.person.name} (${told.person.id})`],
    ["Known as", told.names.join(", ") || "–"],
    ["You said", `${count(told.messages, "message")}, and got ${count(told.answers, "answer")}`],
    ["In", count(told.sessions, "session")],
    ["Remembered of you", count(told.memories, "memory", "memories")],
    ["Files", `${number(told.files)}, ${bytes(told.file_bytes)}`],
    ["From, to", told.first ? `${date(told.first)} – ${date(told.last)}` : "–"],
  ];
  return [
    facts(told.nothing ? [pairs[0], ["Kept of you", "nothing"]] : pairs),
    el("p", { class: "words", dir: "auto" }, told.policy),
    el(
      "p",
      { class: "row wrap" },
      button("Take everything along", takeAlong, { disabled: told.nothing }),
      may("chat") && button("Forget me…", () => forget(again), { tone: "danger", disabled: told.nothing }),
    ),
  ];
}

async function takeAlong() {
  const told = await api.raw("GET", "/api/privacy/export?files=true");
  save(await told.blob(), "my-data.zip");
}

/** In two steps: the bot gives a code, and takes it back once they are sure. */
async function forget(again) {
  const first = await api.post("/api/privacy/forget", {});
  const words = "All that you said, what was answered, and what is remembered of you goes for good, at once, here and in Discord. Nobody can bring it back.";
  if (!(await confirm("Forget everything of you?", words, { yes: "Forget me", danger: true }))) return;
  const { forgotten } = await api.post("/api/privacy/forget", { confirm: first.confirm });
  toast(`Forgotten: ${count(forgotten?.messages ?? 0, "message")}.`);
  again();
}

function usage(told) {
  const windows = Object.entries(told.windows).map(([window, sum]) => [
    `This ${window}`,
    `${count(sum.answers, "answer")}, ${count(sum.tokens, "token")}, ${sum.unpriced && !sum.cost_micros ? "cost not known" : cost(sum)}`,
  ]);
  return [
    facts(windows),
    told.budgets.some((each) => each.share >= 1) && notice("warn", el("p", {}, "A budget of yours is used up: answers come again when it begins anew.")),
    told.budgets.length > 0 && budgets(told.budgets),
  ];
}
