// What can be done with a conversation as a whole: naming, tagging, keeping it out of the way, removing it.

import { api } from "./api.js";
import { named } from "./chat_titles.js";
import { ask, attempt, confirm, menu, toast } from "./ui.js";

/** What can be done with a session of the sidebar, in a menu. */
export function sessionMenu(side, session, anchor) {
  const put = (changes, told) =>
    attempt(async () => {
      const now = await api.put(`/api/chat/sessions/${encodeURIComponent(session.id)}`, changes);
      side.change(now);
      side.does.changed(now);
      if (told) toast(told);
    });
  menu(
    anchor,
    [
      {
        label: session.starred ? "Take the star away" : "Star",
        icon: "star",
        run: () => put({ starred: !session.starred }),
      },
      {
        label: "Rename…",
        icon: "edit",
        run: async () => {
          const title = await ask("Rename", "Name of the conversation", session.title);
          if (title !== null) put({ title: title.trim() });
        },
      },
      {
        label: "Tags…",
        icon: "tag",
        run: async () => {
          const tags = await ask("Tags", "Tags, with commas between", session.tags.join(", "));
          if (tags !== null)
            put({
              tags: tags
                .split(",")
                .map((each) => each.trim())
                .filter(Boolean),
            });
        },
      },
      ...session.tags.slice(0, 6).map((tag) => ({
        label: `Only “${tag}”`,
        icon: "tag",
        run: () => {
          side.only(tag);
        },
      })),
      null,
      {
        label: "Duplicate",
        icon: "copy",
        run: () =>
          attempt(async () =>
            side.does.open((await api.post(`/api/chat/sessions/${encodeURIComponent(session.id)}/duplicate`)).id),
          ),
      },
      { label: "Export…", icon: "download", run: () => side.does.exported(session) },
      {
        label: "Branches and comparison",
        icon: "branch",
        run: () => {
          location.hash = `#/sessions/${encodeURIComponent(session.id)}`;
        },
      },
      null,
      {
        label: session.archived ? "Back from the archive" : "Archive",
        icon: "archive",
        run: () =>
          put(
            { archived: !session.archived },
            session.archived ? "It is among your conversations again." : "It is in the archive now.",
          ),
      },
      { label: "Delete", icon: "trash", danger: true, run: () => remove(side, session) },
    ],
    { label: `More for ${named(session)}` },
  );
}

async function remove(side, session) {
  if (
    !(await confirm(
      "Delete this conversation?",
      `“${named(session)}” leaves your list. You can bring it back at once, or later from the sessions page.`,
      { yes: "Delete", danger: true },
    ))
  )
    return;
  const path = `/api/chat/sessions/${encodeURIComponent(session.id)}`;
  await attempt(async () => {
    await api.del(path);
    side.change(session, true);
    side.does.gone(session.id);
    toast("The conversation is deleted.", {
      action: {
        label: "Undo",
        run: () =>
          attempt(async () => {
            await api.post(`${path}/restore`);
            await side.load();
            side.does.open(session.id);
          }),
      },
    });
  });
}
