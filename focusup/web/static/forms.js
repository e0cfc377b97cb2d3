// Forms that send something, in the page or in a dialog.
//
// What must always hold: a form is sent once at a time, and what was refused is said in it.

import { $, say, sentence } from "./dom.js";

const SAID_MS = 8_000;
let quiet = 0;

// Calls `act` when the form is sent. `act` may reject; then the reason stands in the form.
export function onSubmit(form, act) {
  const [wrong, button] = [$("[data-wrong]", form), $("[type=submit]", form)];
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    say(wrong, "");
    button.disabled = true;
    try {
      await act();
    } catch (error) {
      say(wrong, sentence(error));
    } finally {
      button.disabled = false;
    }
  };
}

// Shows a dialog with a form. Resolves with what `act` came to, or with null when the dialog was
// closed; what is sent already can't be closed away.
export function ask(dialog, act) {
  const [form, submit] = [$("form", dialog), $("[type=submit]", dialog)];
  return new Promise((resolve) => {
    let result = null;
    say($("[data-wrong]", form), "");
    onSubmit(form, async () => {
      result = await act();
      dialog.close();
    });
    $("[data-close]", dialog).onclick = () => submit.disabled || dialog.close();
    dialog.oncancel = (event) => { if (submit.disabled) event.preventDefault(); };
    dialog.onclose = () => resolve(result);
    dialog.showModal();
  });
}

// Says what was done, for a while.
export function said(text) {
  clearTimeout(quiet);
  say($("#said"), text);
  quiet = setTimeout(() => say($("#said"), ""), SAID_MS);
}
