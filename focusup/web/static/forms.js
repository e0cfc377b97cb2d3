// Submitting forms, in the page or in a dialog.
//
// Invariants: one submission at a time; errors are shown in the form, at their fields if it has
// them.

import { $, has, say, sentence, t, wrong } from "./dom.js";

const SAID_MS = 8_000;
let quiet = 0;

// Clear the errors at the fields. `fields` maps the API's names to the ids of inputs.
export function allow(fields) {
  for (const id of new Set(Object.values(fields))) wrong(id, "");
}

// Show the server's errors at their fields; returns the message for the rest, if any.
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

// Call `act` on submit, and show its error in the form if it rejects.
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

// Show a dialog with a form. Resolves with the result of `act`, or with null if the dialog was
// closed, which is not possible while `act` runs.
export function ask(dialog, act, fields = {}) {
  const [form, submit] = [$("form", dialog), $("[type=submit]", dialog)];
  return new Promise((resolve) => {
    let result = null;
    say($("[data-wrong]", form), "");
    allow(fields);
    onSubmit(
      form,
      async () => {
        result = await act();
        dialog.close();
      },
      fields,
    );
    $("[data-close]", dialog).onclick = () => submit.disabled || dialog.close();
    dialog.oncancel = (event) => {
      if (submit.disabled) event.preventDefault();
    };
    dialog.onclose = () => resolve(result);
    dialog.showModal();
  });
}

// Show a confirmation for some seconds.
export function said(text) {
  clearTimeout(quiet);
  say($("#said"), text);
  quiet = setTimeout(() => say($("#said"), ""), SAID_MS);
}
