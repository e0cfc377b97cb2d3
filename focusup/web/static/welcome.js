// Signing up and in, on the first page.

import { signIn, signUp } from "./account.js";
import { $, $$, say, sentence, show, t, wrong } from "./dom.js";

const tabs = $$("#welcome [role=tab]");
const form = $("#sign");
const button = $("#sign-button");
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
  if (new URLSearchParams(location.search).has("next")) choose(tabs[1]);
  form.addEventListener("submit", submit);
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
  for (const field of ["email", "password"]) wrong(form, field, "");
  say($("#sign-wrong"), "");
}

async function submit(event) {
  event.preventDefault();
  const { email, password } = form;
  wrong(form, "email", email.validity.valid ? "" : t("study.emailWrong"));
  const missing = isNew() ? "study.passwordWrong" : "study.passwordMissing";
  const least = isNew() ? password.minLength : 1;
  wrong(form, "password", password.value.length < least ? t(missing) : "");
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
    say($("#sign-wrong"), sentence(error));
    button.disabled = false;
  }
}

// Back to where one came from, if that is a page of ours.
function onwards() {
  const next = new URLSearchParams(location.search).get("next") ?? "/";
  return /^\/[a-z]*$/.test(next) ? next : "/";
}
