// Templates: what new sessions can begin with, written in the configuration or saved from a session.

import { api, may } from "./api.js";
import { at, badge, button, empty, facts, folded, loaded, page, when } from "./pages.js";
import { confirm, el, toast } from "./ui.js";

export function mount(root) {
  const room = page(root, {
    title: "Templates",
    lead: "What a new session can begin with: who speaks, what it is for, and its first lines.",
    back: { href: "#/sessions", text: "All sessions" },
  });
  const again = loaded(room, () => api.get("/api/chat/templates"), (found) => {
    if (!found.length) return empty("There are no templates yet. Open a session and choose “Save as template”, or write some under templates: in the bot's file.");
    return el("ul", { class: "cards plain-list" }, found.map((each) => one(each, () => again())));
  });
}

function one(template, again) {
  const told = [
    ["Persona", template.persona ?? "whoever fits"],
    template.goals.length && ["Goals", template.goals.join("; ")],
    template.constraints.length && ["To keep to", template.constraints.join("; ")],
    template.shared_knowledge.length && ["Known", template.shared_knowledge.join("; ")],
    ["From", template.written ? "the configuration" : [`${template.by}, `, when(template.at)]],
  ].filter(Boolean);
  const tags = template.tags.map((tag) => el("span", { class: "tag", dir: "auto" }, tag));
  const opening = template.opening.map((line) => el("li", { dir: "auto" }, el("b", {}, line.role === "user" ? "You: " : "Bot: "), line.text || el("i", {}, "a line that is no more")));
  const gone = button("Remove", () => remove(template, again), { label: `Remove ${template.name}`, tone: "danger" });
  return el(
    "li",
    { class: "card stack" },
    el("div", { class: "row spread" }, el("h2", { dir: "auto" }, template.name), template.everywhere && badge("everywhere")),
    template.title && template.title !== template.name && el("p", { class: "muted", dir: "auto" }, template.title),
    facts(told),
    tags.length > 0 && el("p", { class: "row wrap" }, tags),
    opening.length > 0 && folded("Its first lines", () => el("ol", { class: "first-lines" }, opening)),
    may("chat") && el("div", { class: "row wrap" }, button("Begin with it", () => begin(template), { tone: "primary" }), template.mine && gone),
  );
}

async function begin(template) {
  const session = await api.post("/api/chat/sessions", { template: template.id });
  location.hash = at("chat", session.id);
}

async function remove(template, again) {
  if (!(await confirm(`Remove “${template.name}”?`, "Sessions that began with it stay as they are.", { yes: "Remove", danger: true }))) return;
  await api.del(`/api/chat/templates/${encodeURIComponent(template.id)}`);
  toast("Removed.");
  again();
}
