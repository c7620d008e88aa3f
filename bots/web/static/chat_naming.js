// Naming and tagging a session: a dialog each, which stays open where what was written is not taken.

import { api } from "./api.js";
import { asking, input } from "./pages.js";
import { field } from "./ui.js";

const LONGEST = 40,
  MOST = 20;

const put = (session, changes) => api.put(`/api/chat/sessions/${encodeURIComponent(session.id)}`, changes);

/** `changed` is called with the session as it is then. */
export function renaming(session, changed) {
  const title = input({ value: session.title, maxLength: 100, dir: "auto" });
  asking("Rename", field("Title", title, "Left empty, it is called by its first words."), "Save", async () =>
    changed(await put(session, { title: title.value.trim() })),
  );
  title.select();
}

/** `changed` is called with the session as it is then. */
export function tagging(session, changed) {
  const tags = input({ value: session.tags.join(", "), maxLength: MOST * (LONGEST + 2), dir: "auto" });
  const hint = `With commas between them; ${MOST} at most, each of ${LONGEST} letters at most.`;
  asking("Tags", field("Tags", tags, hint), "Save", async () => {
    const given = tags.value
      .split(",")
      .map((each) => each.trim())
      .filter(Boolean);
    const long = given.find((each) => [...each].length > LONGEST);
    if (long) throw new Error(`“${long}” is too long for a tag: ${LONGEST} letters at most.`);
    if (given.length > MOST) throw new Error(`These are ${given.length} tags: ${MOST} at most.`);
    changed(await put(session, { tags: given }));
  });
  tags.select();
}
