// The parts that every page is built of: elements, icons, dialogs, menus, toasts, and times as people say them.

const SVG = "http://www.w3.org/2000/svg";

const ATTRIBUTES = new Set(["role", "for", "list", "form", "width", "height"]);

/** An element. `props` are properties (`className`, `value`, …), `on…` listeners, and attributes (`aria-…`, `data-…`,
 *  `role`, or whatever stands in `attrs`). Children are nodes, words, or lists of them; null and false are nothing.
 *  Words are always text: there is no way to pass markup here. */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined) continue;
    if (name === "class") made.className = value;
    else if (name === "attrs") for (const [key, told] of Object.entries(value)) made.setAttribute(key, told);
    else if (name === "style") for (const [key, told] of Object.entries(value)) made.style.setProperty(key, told);
    else if (name.startsWith("on")) made.addEventListener(name.slice(2).toLowerCase(), value);
    else if (name in made && !ATTRIBUTES.has(name)) made[name] = value;
    else if (value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  add(made, children);
  return made;
}

function add(parent, children) {
  for (const child of children.flat(Infinity))
    if (child !== null && child !== undefined && child !== false && child !== "") parent.append(child);
}

/** Puts other children into an element. */
export function fill(parent, ...children) {
  parent.replaceChildren();
  add(parent, children);
  return parent;
}

const ICONS = {
  chat: "M20 11.5a8 8 0 0 1-11.7 7L4 20l1.4-4.2A8 8 0 1 1 20 11.5z",
  plus: "M12 5v14M5 12h14",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4",
  star: "M12 4l2.4 5 5.6.7-4.1 3.8 1.1 5.5-5-2.8-5 2.8 1.1-5.5L4 9.7 9.6 9z",
  archive: "M4 5h16v4H4zM6 9v10h12V9M10 13h4",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  more: "M5.2 12a.8.8 0 1 0 1.6 0 .8.8 0 1 0-1.6 0M11.2 12a.8.8 0 1 0 1.6 0 .8.8 0 1 0-1.6 0M17.2 12a.8.8 0 1 0 1.6 0 .8.8 0 1 0-1.6 0",
  close: "M6 6l12 12M18 6L6 18",
  menu: "M4 7h16M4 12h16M4 17h16",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  clip: "M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.3 3.3 0 0 1 4.7 4.7L9.4 17a1.7 1.7 0 0 1-2.4-2.400L14.5 7",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "M5 12.500l4.5 4.500L19 7",
  again: "M20 11a8 8 0 1 0-2.3 6.300M20 5v6h-6",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  branch: "M6 4v16M6 14c0-5 12-2 12-8M18 6a2 2 0 1 0 0-.01M6 4.010V4",
  reply: "M9 7L4 12l5 5M4 12h9c4 0 7 2 7 6",
  smile: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8.5 14.500c2 2.5 5 2.5 7 0M9 9.500h.01M15 9.500h.01",
  note: "M5 4h14v11l-5 5H5zM14 20v-5h5M8.5 9h7M8.5 12.500h4",
  why: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM9.5 9.500a2.5 2.5 0 1 1 3.5 2.300c-.7.3-1 .9-1 1.700M12 16.500h.01",
  sessions: "M5 5h6v6H5zM13 13h6v6h-6zM8 11v5h5",
  live: "M12 13a1 1 0 1 0 0-2 1 1 0 0 0 0 2zM8 16a5.5 5.5 0 0 1 0-8M16 8a5.5 5.5 0 0 1 0 8M5 19a10 10 0 0 1 0-14M19 5a10 10 0 0 1 0 14",
  operate: "M4 8h9M17 8h3M4 16h3M11 16h9M15 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM9 18a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  files: "M4 6h6l2 2h8v11H4z",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.400M17.6 17.600L19 19M5 19l1.4-1.400M17.6 6.400L19 5",
  moon: "M20 14.500A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.500z",
  down: "M6 9l6 6 6-6",
  left: "M14 6l-6 6 6 6",
  warn: "M12 4l9 16H3zM12 10v4M12 17h.01",
  play: "M8 5l11 7-11 7z",
  pause: "M8 5v14M16 5v14",
  tag: "M4 4h8l8 8-8 8-8-8zM8 8h.01",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  out: "M10 5H5v14h5M14 8l4 4-4 4M18 12H9",
  side: "M4 5h16v14H4zM9.5 5v14",
  on: "M6 5l8 7-8 7zM18 5v14",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20c1-4 4-5.5 7.5-5.500s6.5 1.5 7.5 5.5",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
  memory:
    "M12 4c4 0 7 1.3 7 3s-3 3-7 3-7-1.3-7-3 3-3 7-3zM5 7v10c0 1.7 3 3 7 3s7-1.3 7-3V7M5 12c0 1.7 3 3 7 3s7-1.3 7-3",
};

/** An icon, hidden from screen readers: what it stands for is said by the button. */
export function icon(name, { full = false } = {}) {
  const drawn = document.createElementNS(SVG, "svg");
  drawn.setAttribute("viewBox", "0 0 24 24");
  drawn.setAttribute("class", full ? "icon full" : "icon");
  drawn.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name] ?? ICONS.file);
  drawn.append(path);
  return drawn;
}

/** A button that is only an icon; `label` is its name and its tip. */
export const iconButton = (name, label, onclick, props = {}) =>
  el(
    "button",
    { type: "button", class: "icon-btn", title: label, "aria-label": label, onclick, ...props },
    icon(name, { full: props["data-full"] === "1" }),
  );

export const button = (label, onclick, props = {}) =>
  el("button", { type: "button", class: "btn", onclick, ...props }, props.icon ? icon(props.icon) : null, label);

let numbers = 0;
/** A label and its field; `hint` stands below. */
export function field(label, input, hint = "") {
  input.id ||= `field-${++numbers}`;
  if (!input.className) input.className = "input";
  if (hint) input.setAttribute("aria-describedby", `${input.id}-hint`);
  return el(
    "div",
    { class: "field" },
    el("label", { for: input.id }, label),
    input,
    hint && el("small", { id: `${input.id}-hint` }, hint),
  );
}

/** Says something briefly; `bad` (or "bad" itself) stays longer. `action` is {label, run}. */
export function toast(words, how = {}) {
  const { bad = how === "bad", action = null } = how ?? {};
  const told = el(
    "div",
    { class: bad ? "toast bad" : "toast", role: bad ? "alert" : "status" },
    el("span", { class: "grow" }, words),
  );
  const gone = () => told.remove();
  if (action)
    told.append(
      el(
        "button",
        {
          type: "button",
          onclick: () => {
            gone();
            action.run();
          },
        },
        action.label,
      ),
    );
  if (bad) told.append(el("button", { type: "button", onclick: gone }, "OK"));
  const open = document.querySelector("dialog[open]");
  (open ?? document.body).append(document.getElementById("toasts"));
  document.getElementById("toasts").append(told);
  setTimeout(gone, bad ? 12_000 : 5_000);
  return gone;
}

/** Does something and says honestly if it fails; returns undefined then. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message || "Something went wrong.", { bad: true });
    return undefined;
  }
}

/** Opens a dialog and returns it; `build(close)` gives what is inside, `actions(close)` the buttons at its foot.
 *  `closed` resolves to what it was closed with. Escape and a click beside it close it with undefined. */
export function dialog(title, build, { actions = null, big = false } = {}) {
  const before = document.activeElement;
  const titled = `dialog-${++numbers}`;
  const shown = el("dialog", { class: big ? "dialog big" : "dialog", "aria-labelledby": titled });
  let given;
  const close = (value) => {
    given = value;
    shown.close();
  };
  shown.append(
    el(
      "header",
      {},
      el("h2", { id: titled }, title),
      iconButton("close", "Close", () => close()),
    ),
    el("div", { class: "inside" }, build(close)),
  );
  const feet = actions?.(close);
  if (feet) shown.append(el("footer", {}, feet));
  shown.addEventListener("mousedown", (event) => {
    if (event.target === shown) close();
  });
  const closed = new Promise((resolve) =>
    shown.addEventListener("close", () => {
      document.body.append(document.getElementById("toasts"));
      shown.remove();
      before?.focus?.();
      resolve(given);
    }),
  );
  document.body.append(shown);
  shown.showModal();
  (
    shown.querySelector("[autofocus], .inside :is(input, textarea, select)") ??
    shown.querySelector("footer .btn:last-child")
  )?.focus();
  return { closed, close, element: shown };
}

/** Asks yes or no; resolves to true only for yes. */
export function confirm(title, words, { yes = "Yes", danger = false } = {}) {
  return dialog(title, () => el("p", {}, words), {
    actions: (close) => [
      button("Cancel", () => close(false)),
      button(yes, () => close(true), { class: danger ? "btn danger" : "btn primary", autofocus: true }),
    ],
  }).closed.then((told) => told === true);
}

/** Asks for a line of words; resolves to null when nothing was given. */
export function ask(title, label, value = "", { yes = "Save", hint = "", long = false } = {}) {
  const input = long
    ? el("textarea", { rows: 6, value, maxLength: 8_000 })
    : el("input", { type: "text", value, maxLength: 500, autocomplete: "off" });
  const said = dialog(
    title,
    (close) =>
      el(
        "form",
        {
          id: `ask-${numbers}`,
          onsubmit: (event) => {
            event.preventDefault();
            close(input.value);
          },
        },
        field(label, input, hint),
      ),
    {
      actions: (close) => [
        button("Cancel", () => close(null)),
        button(yes, () => close(input.value), { class: "btn primary" }),
      ],
    },
  );
  input.select?.();
  return said.closed.then((told) => told ?? null);
}

/** A menu below a button. `items` are {label, hint?, icon?, run, danger?, checked?} or null for a line; `kind` is a
 *  class of its own look. */
export function menu(anchor, items, { label = "Menu", kind = "" } = {}) {
  const listed = el("div", { class: `menu ${kind}`, role: "menu", popover: "auto", "aria-label": label });
  for (const item of items) {
    if (item === null) {
      listed.append(el("hr", {}));
      continue;
    }
    const role = item.checked === undefined ? "menuitem" : "menuitemradio";
    listed.append(
      el(
        "button",
        {
          type: "button",
          role,
          class: item.danger ? "danger" : "",
          tabIndex: -1,
          ...(item.checked === undefined ? {} : { "aria-checked": String(item.checked) }),
          onclick: () => {
            listed.hidePopover();
            item.run();
          },
        },
        item.face ?? (item.icon ? icon(item.icon) : null),
        el("span", { class: "grow" }, item.label, item.hint && el("small", {}, item.hint)),
        item.checked ? icon("check") : null,
      ),
    );
  }
  listed.addEventListener("keydown", (event) => {
    const all = [...listed.querySelectorAll("button")],
      at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      all.at(to % all.length)?.focus();
    } else if (event.key === "Tab") listed.hidePopover();
  });
  listed.addEventListener("toggle", (event) => {
    if (event.newState !== "closed") return;
    anchor.setAttribute("aria-expanded", "false");
    if (listed.contains(document.activeElement) || document.activeElement === document.body) anchor.focus();
    listed.remove();
  });
  anchor.setAttribute("aria-expanded", "true");
  (anchor.closest("dialog") ?? document.body).append(listed);
  listed.showPopover();
  const at = anchor.getBoundingClientRect(),
    own = listed.getBoundingClientRect();
  const below = at.bottom + own.height + 8 < innerHeight;
  listed.style.top = `${Math.max(4, below ? at.bottom + 4 : at.top - own.height - 4)}px`;
  listed.style.left = `${Math.max(4, Math.min(at.left, innerWidth - own.width - 8))}px`;
  (listed.querySelector('[aria-checked="true"]') ?? listed.querySelector("button"))?.focus();
  return listed;
}

/** A round face with initials, of a colour that belongs to the name. */
export function face(name, { persona = false, little = false } = {}) {
  const words = [...(name || "?").trim()];
  const initial = String.fromCodePoint((words[0] ?? "?").codePointAt(0)).toUpperCase();
  let hue = 7;
  for (const each of name || "?") hue = (hue * 31 + each.codePointAt(0)) % 360;
  return el(
    "span",
    {
      class: `face${persona ? " persona" : ""}${little ? " little" : ""}`,
      "aria-hidden": "true",
      style: { "--hue": hue },
    },
    initial,
  );
}

const DAY = 86_400_000;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });

/** "Today", "Yesterday", a weekday within the week, or a date. */
export function day(at) {
  const then = new Date(at),
    now = new Date();
  const days = Math.round((new Date(now).setHours(0, 0, 0, 0) - new Date(then).setHours(0, 0, 0, 0)) / DAY);
  return days === 0
    ? "Today"
    : days === 1
      ? "Yesterday"
      : days > 1 && days < 7
        ? weekday.format(then)
        : date.format(then);
}
export const time = (at) => clock.format(new Date(at));
export const when = (at) => `${day(at)}, ${time(at)}`;
export const bytes = (count) =>
  count < 1_000
    ? `${count} B`
    : count < 1e6
      ? `${(count / 1e3).toFixed(0)} kB`
      : count < 1e9
        ? `${(count / 1e6).toFixed(1)} MB`
        : `${(count / 1e9).toFixed(1)} GB`;
export const number = (value) => new Intl.NumberFormat().format(value);
export const money = (micros) =>
  micros === null || micros === undefined ? "no price known" : `$${(micros / 1e6).toFixed(micros < 1e4 ? 4 : 2)}`;
