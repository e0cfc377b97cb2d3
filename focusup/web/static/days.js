// When the user's weeks and days begin.

import { focusup } from "./account.js";
import { $, el, t } from "./dom.js";
import { onSubmit, said } from "./forms.js";

const SETTINGS = ["weekStartsOn", "dayStartsAt"];
let known = null; // what the form was filled with

// `changed` is called after a change was saved.
export async function days(changed) {
  const form = $("#days-form");
  onSubmit(
    form,
    async () => {
      // Send only changed fields: others may have changed on another device.
      const body = Object.fromEntries(
        SETTINGS.filter((name) => form[name].value !== known[name]).map((name) => [
          name,
          form[name].value,
        ]),
      );
      if (Object.keys(body).length)
        show(form, (await focusup.request("PUT", "/api/me/settings", body)).settings);
      said(t("progress.daysSaved"));
      await changed();
    },
    Object.fromEntries(SETTINGS.map((name) => [name, name])),
  );
  await refillDays();
}

// Show changes from other devices, except in fields that the user is editing.
export async function refillDays() {
  show($("#days-form"), (await focusup.request("GET", "/api/me/settings")).settings);
}

function show(form, settings) {
  for (const name of SETTINGS) {
    const [field, value] = [form[name], settings[name]];
    if (known && field.value !== known[name] && field.value !== value) continue;
    if (![...field.options].some((option) => option.value === value))
      field.append(el("option", { value }, value));
    field.value = value;
  }
  known = settings;
  $("[type=submit]", form).disabled = false;
}
