// What answers took: bars over time, sums by whom and what, and how far each budget is used up.

import { api } from "./api.js";
import { bars, meter } from "./charts.js";
import { badge, coded, cost, count, empty, facts, folded, loaded, money, notice, number, select, table, when } from "./pages.js";
import { el, field, fill } from "./ui.js";

const SPANS = [["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["365", "A year"]];
const OF = {
  cost: { text: "Cost", value: (each) => each.cost_micros, told: money, said: cost },
  tokens: { text: "Tokens", value: (each) => each.tokens_in + each.tokens_out, told: brief, said: (each) => brief(each.tokens_in + each.tokens_out) },
  answers: { text: "Answers", value: (each) => each.answers, told: brief, said: (each) => brief(each.answers) },
};
const BY = [["model", "Model"], ["user", "Person"], ["channel", "Channel"], ["persona", "Persona"]];
const DAY = 86_400_000;

export function draw(room) {
  const asked = { days: "30", of: "", by: "model" };
  const [sums, over, by, left] = [el("section", {}), el("section", {}), el("section", {}), el("section", {})];
  const since = () => new Date(Math.floor(Date.now() / DAY) * DAY - (Number(asked.days) - 1) * DAY).toISOString();
  const days = loaded(over, () => api.get(`/api/usage`, { by: "day", since: since() }), (told) => {
    // Where nothing costs anything, how often it answered says more.
    if (!asked.of) of.value = asked.of = told.total.cost_micros ? "cost" : "answers";
    fill(sums, summed(told.total));
    return overTime(told, asked);
  });
  const parts = loaded(by, () => api.get(`/api/usage`, { by: asked.by, since: since() }), (told) => byWhat(told, asked));
  const span = select(SPANS, asked.days, (value) => ((asked.days = value), days(), parts()));
  const of = select(Object.entries(OF).map(([name, { text }]) => [name, text]), "cost", (value) => ((asked.of = value), days(), parts()));
  const whose = select(BY, asked.by, (value) => ((asked.by = value), parts()));
  room.append(
    el("h2", {}, "Budgets"),
    left,
    el("h2", {}, "Used"),
    el("div", { class: "row filters" }, field("Span", span), field("Show", of)),
    sums,
    over,
    el("h2", {}, "By whom and what"),
    el("div", { class: "row filters" }, field("Group by", whose)),
    by,
  );
  loaded(left, () => api.get("/api/budgets"), (told) => budgets(told.items));
}

function summed(total) {
  const known = [
    ["Cost", cost(total)],
    ["Answers", number(total.answers)],
    ["Tokens in", number(total.tokens_in)],
    ["Tokens out", number(total.tokens_out)],
    ["Out of the cache", number(total.cache_read)],
  ];
  return [
    facts(known, "figures"),
    total.unpriced
      ? notice("warn", el("p", {}, `${count(total.unpriced, "answer")} ${total.unpriced === 1 ? "is" : "are"} not in the cost: the price of the model is not known.`))
      : "",
  ];
}

function overTime(told, asked) {
  if (!told.items.length) return empty("No answers in this time.");
  const { text, value, told: say, said } = OF[asked.of];
  const points = everyDay(told, Number(asked.days)).map((each) => ({ key: each.key, value: value(each) }));
  const label = `${text} a day, from ${points[0].key} to ${points.at(-1).key}: ${said(told.total)} in all. The table below has the numbers.`;
  return [bars(label, points, say), folded("The numbers", () => numbers("Usage by day", "Day", [...told.items].reverse()))];
}

/** Days without answers are days as well. */
function everyDay(told, days) {
  const known = new Map(told.items.map((each) => [each.key, each]));
  const none = { answers: 0, tokens_in: 0, tokens_out: 0, cost_micros: 0 };
  const today = Math.floor(Date.now() / DAY) * DAY;
  return Array.from({ length: days }, (_, back) => {
    const key = new Date(today - (days - 1 - back) * DAY).toISOString().slice(0, 10);
    return known.get(key) ?? { ...none, key };
  });
}

function byWhat(told, asked) {
  const { value, said } = OF[asked.of || "answers"];
  const items = [...told.items].sort((a, b) => value(b) - value(a));
  if (!items.length) return empty("No answers in this time.");
  const most = Math.max(1, ...items.map(value));
  const rows = items.slice(0, 10).map((each) =>
    el(
      "li",
      {},
      el("div", { class: "row spread" }, el("span", { dir: "auto" }, each.name || each.key || "unknown"), el("b", {}, said(each))),
      plain(value(each) / most),
    ),
  );
  const head = BY.find(([name]) => name === asked.by)[1];
  return [el("ol", { class: "ranked" }, ...rows), folded("The numbers", () => numbers(`Usage by ${head}`, head, items))];
}

function plain(share) {
  const drawn = meter("", share);
  drawn.setAttribute("class", "meter plain");
  drawn.removeAttribute("role");
  drawn.removeAttribute("aria-label");
  drawn.setAttribute("aria-hidden", "true");
  return drawn;
}

function numbers(caption, head, items) {
  return table(
    caption,
    [
      { head, broad: true, cell: (each) => el("span", { dir: "auto" }, each.name || each.key || "unknown") },
      { head: "Answers", number: true, cell: (each) => number(each.answers) },
      { head: "Tokens in", number: true, cell: (each) => number(each.tokens_in) },
      { head: "Tokens out", number: true, cell: (each) => number(each.tokens_out) },
      { head: "Cost", number: true, cell: cost },
    ],
    items,
  );
}

const WHOSE = { user: "Person", channel: "Channel", guild: "Server", bot: "Everybody together" };

/** How far each budget is used up, the fullest first. */
export function budgets(meters) {
  if (!meters.length) return empty(coded("No budgets are set, or nobody has used one yet. `budgets:` in the bot's file sets them."));
  return el(
    "ul",
    { class: "cards" },
    ...meters.map((each) => {
      const tone = each.share >= 1 ? "bad" : each.share >= 0.8 ? "warn" : "plain";
      return el(
        "li",
        { class: `card ${tone}` },
        el(
          "div",
          { class: "row spread" },
          el("b", { dir: "auto" }, each.per === "bot" ? WHOSE.bot : `${WHOSE[each.per]} ${each.name || each.holder}`),
          badge(each.share >= 1 ? "Used up" : `${Math.round(each.share * 100)}%`, tone),
        ),
        ...each.limits.map((limit) => {
          const said = `${amount(limit, limit.used)} of ${amount(limit, limit.most)} this ${each.window}`;
          return el("div", {}, meter(said, limit.share), el("small", {}, said));
        }),
        el("p", { class: "muted" }, "Begins anew ", when(each.until), each.cheaper ? ` · then ${each.cheaper} answers` : ""),
      );
    }),
  );
}

function amount(limit, value) {
  return limit.of === "usd" ? `$${value ? Number(value).toFixed(2) : 0}` : `${number(value)} ${limit.of}`;
}

function brief(value) {
  return value < 10_000 ? number(value) : Intl.NumberFormat(undefined, { notation: "compact" }).format(value);
}
