// Signing in: with a token, or with Discord where that is set up.

import { api, me } from "./api.js";
import { button, el, field, fill, icon } from "./ui.js";

export function mount(root, { query }) {
  if (me.by) {
    location.hash = "#/";
    return;
  }
  const token = el("input", {
    type: "password",
    class: "input",
    autocomplete: "current-password",
    required: true,
    spellcheck: false,
    maxLength: 200,
  });
  const said = el("p", { class: "notice bad", role: "alert", hidden: true });
  const sure = el("button", { type: "submit", class: "btn primary" }, "Sign in");
  const signIn = async (event) => {
    event.preventDefault();
    sure.disabled = true;
    said.hidden = true;
    try {
      await api.post("/api/login", { token: token.value.trim() });
      const next = query.get("next") ?? "";
      location.hash = `#/${next.startsWith("signin") ? "" : next}`;
      location.reload();
    } catch (error) {
      fill(said, icon("warn"), el("span", {}, error.message));
      said.hidden = false;
      sure.disabled = false;
      token.select();
    }
  };
  fill(
    root,
    el(
      "div",
      { class: "page signin" },
      el(
        "form",
        { class: "card stack", onsubmit: signIn },
        el("img", { src: "/static/icon.svg", alt: "", width: 44, height: 44 }),
        el("h1", {}, `Sign in to ${me.bot.display || "the console"}`),
        el(
          "p",
          { class: "muted" },
          "Whoever runs this bot can make you a token: ",
          el("code", {}, "troupe token create NAME --scope chat"),
        ),
        said,
        field("Token", token),
        sure,
        me.sign_in?.discord && [
          el("p", { class: "or" }, el("span", {}, "or")),
          button("Sign in with Discord", () => {
            location.href = me.sign_in.discord;
          }),
        ],
      ),
    ),
  );
  token.focus();
}
