// What can be done with a conversation as a whole: naming, tagging, keeping it out of the way, removing it.

import { api, may } from "./api.js";
import { renaming, tagging } from "./chat_naming.js";
import { named } from "./chat_titles.js";
import { attempt, confirm, menu, toast } from "./ui.js";

/** What can be done with a session of the sidebar, in a menu. */
export function sessionMenu(side, session, anchor) {
  const path = `/api/chat/sessions/${encodeURIComponent(session.id)}`;
  const changed = (now) => {
    side.change(now);
    side.does.changed(now);
  };
  const put = (changes, told) =>
    attempt(async () => {
      changed(await api.put(path, changes));
      if (told) toast(told);
    });
  const only = session.tags.slice(0, 6).map((tag) => ({
    label: `Only “${tag}”`,
    icon: "tag",
    run: () => side.only(tag),
  }));
  const open = [
    { label: "Export…", icon: "download", run: () => side.does.exported(session) },
    {
      label: "Branches and comparison",
      icon: "branch",
      run: () => {
        location.hash = `#/sessions/${encodeURIComponent(session.id)}`;
      },
    },
  ];
  const archived = session.archived ? "It is among your conversations again." : "It is in the archive now.";
  const ours = () => [
    {
      label: session.starred ? "Take the star away" : "Star",
      icon: "star",
      run: () => put({ starred: !session.starred }),
    },
    { label: "Rename…", icon: "edit", run: () => renaming(session, changed) },
    { label: "Tags…", icon: "tag", run: () => tagging(session, changed) },
    ...only,
    null,
    {
      label: "Duplicate",
      icon: "copy",
      run: () => attempt(async () => side.does.open((await api.post(`${path}/duplicate`)).id)),
    },
    ...open,
    null,
    {
      label: session.archived ? "Back from the archive" : "Archive",
      icon: "archive",
      run: () => put({ archived: !session.archived }, archived),
    },
    { label: "Delete", icon: "trash", danger: true, run: () => remove(side, session) },
  ];
  menu(anchor, may("chat") ? ours() : [...only, ...open], { label: `More for ${named(session)}` });
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
