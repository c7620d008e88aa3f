// Whom one asks: what the personas are called, and a menu of them.

import { me } from "./api.js";
import { face, menu } from "./ui.js";

/** What a persona is called to people; null where there is none. */
export const displayed = (name) => me.personas.find((each) => each.name === name)?.display ?? name;

/** `choose` is called with the name of a persona, or null for whoever fits. */
export function whom(anchor, chosen, choose) {
  const items = [
    {
      label: "Whoever fits",
      hint: "The bot picks by what you write",
      checked: chosen === null,
      run: () => choose(null),
    },
    ...me.personas.map((each) => ({
      label: each.display,
      hint: each.description,
      face: face(each.display, { persona: true, little: true }),
      checked: chosen === each.name,
      run: () => choose(each.name),
    })),
  ];
  menu(anchor, items, { label: "Who should answer" });
}
