// Whom one asks: a menu of the personas.

import { me } from "./api.js";
import { face, menu } from "./ui.js";

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
