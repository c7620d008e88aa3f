// The frame around every page: who is here, the rail, the theme, and which page an address names.

import { api, live, may, me, signedOut } from "./api.js";
import { el, fill, icon, menu, toast } from "./ui.js";

/** Pages by the first word of the address after `#/`: a module with `mount(root, params)`, which may return what is to
 *  be called when the page is left. `params` is {rest: [words after the first], query: URLSearchParams}. */
const PAGES = {
  chat: { label: "Chat", icon: "chat", load: () => import("./chat.js") },
  sessions: { label: "Sessions", icon: "sessions", load: () => import("./sessions.js") },
  files: { label: "Files", icon: "files", load: () => import("./files.js") },
  live: { label: "Live", icon: "live", scope: "admin", load: () => import("./live.js") },
  operate: { label: "Operate", icon: "operate", load: () => import("./operate.js") },
  signin: { label: "Sign in", hidden: true, load: () => import("./signin.js") },
};

const page = document.getElementById("page");
const rail = document.getElementById("rail");
let leave = null,
  shown = "",
  turn = 0;

/** Goes to an address such as `chat/abc`. */
export const go = (address) => {
  location.hash = `#/${address}`;
};

/** The title of the window: what the page shows, then the bot. */
export const titled = (words) => {
  document.title = [words, me.bot.display ?? me.bot.name ?? "Troupe"].filter(Boolean).join(" · ");
};

function where() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").map((word) => {
    try {
      return decodeURIComponent(word);
    } catch {
      return word;
    }
  });
  return { name: Object.hasOwn(PAGES, name) ? name : "chat", rest, query: new URLSearchParams(query) };
}

async function show() {
  if (location.hash === "#page") {
    page.focus();
    return;
  }
  const { name, rest, query } = where();
  const own = ++turn;
  for (const link of rail.querySelectorAll("a[data-page]")) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const params = { rest, query },
    { label, scope, load } = PAGES[name];
  if (shown === name && leave?.moved) {
    leave.moved(params);
    return;
  }
  try {
    const { mount } = await load();
    if (own !== turn) return;
    left();
    titled(name === "chat" ? "" : label);
    if (me.by && !may(scope ?? "read")) {
      instead("This page is for those who run the bot", "What is yours is on the other pages.");
      return;
    }
    const room = el("div", { class: "turn" });
    fill(page, room);
    const late = (await mount(room, params)) ?? (() => {});
    if (own !== turn) late();
    else [leave, shown] = [late, name];
  } catch (error) {
    console.error(error);
    if (own === turn) failed(error);
  }
}

/** Has the page that stands here end what it does. */
function left() {
  leave?.();
  leave = null;
  shown = "";
}

const failed = (error, again = show) => {
  left();
  instead(
    "This page did not open",
    error.message,
    el("button", { class: "btn", type: "button", onclick: again }, "Try again"),
  );
};

function instead(title, words, ...more) {
  fill(
    page,
    el("div", { class: "empty page", role: "alert" }, icon("warn"), el("h2", {}, title), el("p", {}, words), more),
  );
}

function drawRail() {
  const links = Object.entries(PAGES).filter(([, about]) => !about.hidden && may(about.scope ?? "read"));
  fill(
    rail,
    el(
      "button",
      {
        type: "button",
        class: "mark",
        "aria-haspopup": "menu",
        "aria-label": `${me.bot.display ?? "Bots"}: other bots`,
        title: "Other bots",
        onclick: (event) => neighbours(event.currentTarget),
      },
      el("img", { src: "/static/icon.svg", alt: "" }),
    ),
    links.map(([name, { label, icon: drawn }]) =>
      el("a", { href: `#/${name}`, "data-page": name }, icon(drawn), label),
    ),
    el("span", { class: "gap" }),
    el("button", { type: "button", id: "theme", onclick: otherTheme }),
    me.by !== "cookie" ? null : el("button", { type: "button", onclick: signOut }, icon("out"), "Sign out"),
  );
  theme();
}

/** A menu of the consoles of the bots beside this one. */
export function neighbours(anchor) {
  const others = me.neighbours.filter((each) => each.url);
  menu(
    anchor,
    [
      {
        label: me.bot.display ?? me.bot.name ?? "This bot",
        hint: "this console",
        icon: "chat",
        checked: true,
        run: () => go("chat"),
      },
      ...others.map((each) => ({
        label: each.display ?? each.name,
        hint: each.url.replace(/^https?:\/\//, ""),
        icon: "on",
        run: () => {
          location.href = each.url;
        },
      })),
    ],
    { label: "Bots" },
  );
}

const dark = matchMedia("(prefers-color-scheme: dark)");

function theme() {
  const chosen = localStorage.getItem("theme");
  const now = chosen ?? (dark.matches ? "dark" : "light");
  document.documentElement.dataset.theme = now;
  const switched = document.getElementById("theme");
  if (switched) fill(switched, icon(now === "dark" ? "sun" : "moon"), now === "dark" ? "Light" : "Dark");
}

function otherTheme() {
  localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  theme();
}

async function signOut() {
  await api.post("/api/logout").catch(() => null);
  location.hash = "#/signin";
  location.reload();
}

async function start() {
  theme();
  dark.addEventListener("change", theme);
  addEventListener("storage", theme);
  addEventListener("hashchange", show);
  signedOut.addEventListener("out", () => {
    if (where().name !== "signin") go(`signin?next=${encodeURIComponent(location.hash.slice(2))}`);
  });
  try {
    Object.assign(me, await api.get("/api/me"));
  } catch (error) {
    if (error.status !== 401) {
      failed(error, () => location.reload());
      return;
    }
  }
  const stranger = !me.person;
  if (stranger) {
    me.person = { id: "", name: "" };
    rail.hidden = true;
    document.body.classList.add("stranger");
  } else drawRail();
  if (stranger && where().name !== "signin") {
    history.replaceState(null, "", `#/signin?next=${encodeURIComponent(location.hash.replace(/^#\/?/, ""))}`);
  }
  live.addEventListener("state", ({ detail }) => detail.again && toast("Connected again."));
  show();
}

start();
