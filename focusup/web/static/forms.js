// Forms that send something, in the page or in a dialog.
//
// Invariants: a form is sent once at a time, and what was refused is said in it, at its fields
// where it has them.

import { $, has, say, sentence, t, wrong } from "./dom.js";

const SAID_MS = 8_000;
let quiet = 0;

// Takes back what was said at the fields. `fields` are the ids of inputs by the names that the
// server has for what they hold.
export function allow(fields) {
  for (const id of new Set(Object.values(fields))) wrong(id, "");
}

// Says at each field why the server refused it; returns what there is to say beside that.
export function refuse(error, fields) {
  let rest = !error.errors?.length;
  let first = null;
  for (const { field, message } of error.errors ?? []) {
    const name = field.split(".")[0];
    const id = fields[name];
    if (!id) rest = true;
    else wrong(id, has(`all.field.${name}`) ? t(`all.field.${name}`) : message);
    first ??= id;
  }
  if (first) $(`#${first}`).focus();
  return rest ? sentence(error) : "";
}

// Calls `act` when the form is sent. `act` may reject; then the reason stands in the form.
export function onSubmit(form, act, fields = {}) {
  const [place, button] = [$("[data-wrong]", form), $("[type=submit]", form)];
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    say(place, "");
    allow(fields);
    button.disabled = true;
    try {
      await act();
    } catch (error) {
      say(place, refuse(error, fields));
    } finally {
      button.disabled = false;
    }
  };
}

// Shows a dialog with a form. Resolves with what `act` came to, or with null when the dialog was
// closed; what is sent already can't be closed away.
export function ask(dialog, act, fields = {}) {
  const [form, submit] = [$("form", dialog), $("[type=submit]", dialog)];
  return new Promise((resolve) => {
    let result = null;
    say($("[data-wrong]", form), "");
    allow(fields);
    onSubmit(form, async () => {
      result = await act();
      dialog.close();
    }, fields);
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
