// Sign-up and sign-in on the first page.

import { HOME, canStore, signIn, signUp, wasEnded } from "./account.js";
import { $, $$, say, show, t, wrong } from "./dom.js";
import { allow, refuse } from "./forms.js";

const tabs = $$("#welcome [role=tab]");
const form = $("#sign");
const button = $("#sign-button");
const FIELDS = { email: "email", password: "password" };
const isNew = () => tabs[0].getAttribute("aria-selected") === "true";

export function welcome() {
  show($("#welcome"));
  for (const tab of tabs) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", ({ key }) => {
      if (key !== "ArrowLeft" && key !== "ArrowRight") return;
      const other = tabs[1 - tabs.indexOf(tab)];
      choose(other);
      other.focus();
    });
  }
  if (wasEnded() || new URLSearchParams(location.search).has("next")) choose(tabs[1]);
  if (wasEnded()) told("study.signedOut");
  form.addEventListener("submit", submit);
  if (canStore()) return;
  told("study.noStorage"); // before an account is made that could not be used
  button.disabled = true;
}

function told(key) {
  say($("#welcome-told"), t(key));
  show($("#welcome-told"));
}

function choose(chosen) {
  for (const tab of tabs) {
    tab.setAttribute("aria-selected", String(tab === chosen));
    tab.tabIndex = tab === chosen ? 0 : -1;
  }
  form.setAttribute("aria-labelledby", chosen.id);
  say(button, chosen.textContent);
  form.password.autocomplete = isNew() ? "new-password" : "current-password";
  show($("#password-hint"), isNew());
  allow(FIELDS);
  say($("#sign-wrong"), "");
}

async function submit(event) {
  event.preventDefault();
  const { email, password } = form;
  say($("#sign-wrong"), "");
  wrong("email", email.validity.valid ? "" : t("all.field.email"));
  const missing = isNew() ? "study.passwordWrong" : "study.passwordMissing";
  const least = isNew() ? password.minLength : 1;
  wrong("password", password.value.length < least ? t(missing) : "");
  const first = [email, password].find((field) => field.getAttribute("aria-invalid") === "true");
  if (first) {
    first.focus();
    return;
  }
  button.disabled = true;
  try {
    await (isNew() ? signUp : signIn)(email.value, password.value);
    location.replace(onwards());
  } catch (error) {
    say($("#sign-wrong"), refuse(error, FIELDS));
    button.disabled = false;
  }
}

// The page to return to after sign-in, if it is one of ours.
function onwards() {
  const next = new URLSearchParams(location.search).get("next") ?? "";
  return next.startsWith(HOME) && /^[a-z]*$/.test(next.slice(HOME.length)) ? next : HOME;
}
