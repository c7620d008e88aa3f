// What conversations are called.

import { made } from "./chat_message.js";

const UNNAMED = "(no words yet)";

/** What a session is called; the bot itself names one by its first words. */
export const named = (session) => (session.title && session.title !== UNNAMED ? session.title : "New conversation");

/** A session as it is now with what it is called: events do not name one that is called by its first words. */
export function called(session, known, message = null) {
  if (session.title && session.title !== UNNAMED) return session;
  const words = message?.role === "user" ? firstWords(message) : "";
  const before = known?.title && known.title !== UNNAMED ? known.title : "";
  return { ...session, title: before || (words.length > 60 ? `${words.slice(0, 59)}…` : words) };
}

/** The plain words of a message up to a table, a formula, or code; all of it where it begins with one. */
function firstWords(message) {
  const told = [...made(message).children],
    stop = told.findIndex((each) => each.matches("pre, .wide") || each.querySelector("math[display=block]"));
  const words = (stop < 0 ? told : told.slice(0, stop)).map((each) => each.textContent).join(" ");
  return (words.trim() || message.text).trim().replace(/\s+/g, " ");
}
