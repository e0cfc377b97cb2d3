// Goals and the time zone.

import { focusup } from "./account.js";
import { $, el, say, show, t } from "./dom.js";
import { onSubmit, said } from "./forms.js";

const GOALS = ["dailyMinutes", "weeklyMinutes", "sessionsPerDay"];
const here = Intl.DateTimeFormat().resolvedOptions().timeZone;

// `changed` is called when something was stored.
export function goals(stats, changed) {
  const form = $("#goals-form");
  for (const name of GOALS) form[name].value = stats.goals[name] ?? "";
  onSubmit(form, async () => {
    await focusup.request("PUT", "/api/goals", Object.fromEntries(GOALS.map((name) => [name, form[name].value === "" ? null : Number(form[name].value)])));
    said(t("progress.goalsSaved"));
    await changed();
  });
  zones(stats.timeZone, changed);
}

const spaced = (zone) => zone.replaceAll("_", " ");

function zones(current, changed) {
  const [form, picker] = [$("#zone-form"), $("#zone")];
  const all = new Set([current, here, "UTC", ...Intl.supportedValuesOf("timeZone")]);
  picker.replaceChildren(...[...all].sort().map((zone) => el("option", { value: zone }, spaced(zone))));
  picker.value = current;
  suggest(current);
  const store = async () => {
    const { settings } = await focusup.request("PUT", "/api/me/settings", { timeZone: picker.value });
    suggest(settings.timeZone);
    said(t("progress.zoneSaved", { zone: spaced(settings.timeZone) }));
    await changed();
  };
  onSubmit(form, store);
  $("#use-zone").addEventListener("click", () => {
    picker.value = here;
    form.requestSubmit();
  });
}

// One zone may have several names.
const canonical = (zone) => new Intl.DateTimeFormat("en", { timeZone: zone }).resolvedOptions().timeZone;

function suggest(current) {
  const differs = canonical(current) !== canonical(here);
  if (differs) say($("#elsewhere-zone"), t("progress.elsewhere", { here: spaced(here), zone: spaced(current) }));
  show($("#elsewhere"), differs);
}
