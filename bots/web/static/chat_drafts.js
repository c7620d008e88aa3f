// What was written and not sent yet: kept in this browser, by the session it belongs to.

/** Says by `changed`, with the session, that a draft was changed by somebody else than who writes there. */
export const drafts = new EventTarget();

/** What the lines are known by that are on their way from this page. */
export const flying = new Set();

/** What a line is known by: sent again with the same, it is the same line. */
export const fresh = () => [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16)).join("-");

/** `kind` is "draft", or "sending" for what nobody knows yet to have been taken. Null where there is none. */
export function stored(kind, session) {
  try {
    return JSON.parse(localStorage.getItem(`${kind}:${session}`));
  } catch {
    return null;
  }
}

export function store(kind, session, draft, tell = false) {
  try {
    if (draft) localStorage.setItem(`${kind}:${session}`, JSON.stringify(draft));
    else localStorage.removeItem(`${kind}:${session}`);
  } catch {
    /* storage is full: the draft lives as long as the page */
  }
  if (tell) drafts.dispatchEvent(new CustomEvent("changed", { detail: session }));
}

/** A file that came once nobody wrote there any more joins the draft. */
export function late(session, file) {
  const draft = stored("draft", session) ?? { text: "" };
  store("draft", session, { ...draft, files: [...(draft.files ?? []), file] }, true);
}
