// What a newcomer finds: who is here, what each is for, and lines to begin with.

import { api, may, me } from "./api.js";
import { el, face, fill } from "./ui.js";

let known = null;

/** The personas with lines that suit them; a click puts one where one writes. */
export function welcome(composer) {
  const cards = el("div", { class: "cast" });
  const draw = (personas) =>
    fill(
      cards,
      personas.slice(0, 12).map((each) => card(each, composer)),
    );
  draw(known ?? me.personas);
  if (!known)
    api
      .get("/api/personas")
      .then((told) => {
        known = told.items ?? told.personas ?? told;
        if (Array.isArray(known)) draw(known);
        else known = null;
      })
      .catch(() => {});
  const name = me.bot.display || "this bot";
  return el(
    "div",
    { class: "welcome" },
    el("h2", {}, greeting()),
    el(
      "p",
      { class: "muted" },
      me.bot.description || `Write to ${name} below.`,
      may("chat") && me.personas.length > 1 ? " Just write: whoever fits will answer. Or begin with one of these." : "",
    ),
    cards,
  );
}

function greeting() {
  const hour = new Date().getHours();
  if (hour >= 12 && hour < 18) return "What would you like to talk about?";
  return `${hour < 5 || hour > 21 ? "Hello" : hour < 12 ? "Good morning" : "Good evening"}. What is on your mind?`;
}

function card(persona, composer) {
  const lines = (persona.examples ?? []).filter((each) => each.length < 90).slice(0, 2);
  return el(
    "div",
    { class: "card persona-card" },
    el(
      "button",
      {
        type: "button",
        class: "pick",
        disabled: !may("chat"),
        title: `Ask ${persona.display}`,
        onclick: () => composer.choose(persona.name),
      },
      face(persona.display, { persona: true }),
      el("span", {}, el("strong", {}, persona.display), el("span", { class: "small muted" }, persona.description)),
    ),
    (may("chat") ? lines : []).map((line) =>
      el(
        "button",
        {
          type: "button",
          class: "example",
          dir: "auto",
          onclick: () => {
            composer.choose(me.personas.length > 1 ? persona.name : null);
            composer.say(line);
          },
        },
        line,
      ),
    ),
  );
}
