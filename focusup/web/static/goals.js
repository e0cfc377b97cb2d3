// Goals and the time zone.

import { focusup } from "./account.js";
import { knownZone, zoneHere } from "./dates.js";
import { $, el, say, show, t } from "./dom.js";
import { onSubmit, said } from "./forms.js";

const GOALS = ["dailyMinutes", "weeklyMinutes", "sessionsPerDay"];
const here = zoneHere();

let known = null; // the goals that the form was filled with
/** @type {(zone: string) => void} */
let fill = () => {};

// `changed` is called after a change was saved.
export function goals(stats, changed) {
  const form = $("#goals-form");
  onSubmit(
    form,
    async () => {
      const now = Object.fromEntries(
        GOALS.map((name) => [name, form[name].value === "" ? null : Number(form[name].value)]),
      );
      // Send only changed fields: others may have changed on another device.
      const body = Object.fromEntries(
        GOALS.filter((name) => now[name] !== known[name]).map((name) => [name, now[name]]),
      );
      if (Object.keys(body).length) {
        await focusup.request("PUT", "/api/goals", body);
        known = { ...known, ...body };
      }
      said(t("progress.goalsSaved"));
      await changed();
    },
    Object.fromEntries(GOALS.map((name) => [name, name])),
  );
  fill = zones(stats.timeZone, changed);
  refill(stats);
}

// Show changes from other devices, except in fields that the user is editing.
export function refill(stats) {
  const form = $("#goals-form");
  for (const name of GOALS) {
    const untouched = known === null || form[name].value === String(known[name] ?? "");
    if (untouched) form[name].value = stats.goals[name] ?? "";
  }
  known = { ...stats.goals };
  fill(stats.timeZone);
}

const spaced = (zone) => zone.replaceAll("_", " ");

function zones(current, changed) {
  const [form, picker] = [$("#zone-form"), $("#zone")];
  const all = new Set([current, here, "UTC", ...(Intl.supportedValuesOf?.("timeZone") ?? [])]);
  picker.replaceChildren(
    ...[...all].sort().map((zone) => el("option", { value: zone }, spaced(zone))),
  );
  const refilled = (zone) => {
    if (picker.value !== current && picker.value !== "") return; // another one is about to be chosen
    if (![...picker.options].some(({ value }) => value === zone))
      picker.append(el("option", { value: zone }, spaced(zone)));
    current = picker.value = zone;
    suggest(zone);
  };
  picker.value = current;
  const store = async () => {
    const { settings } = await focusup.request("PUT", "/api/me/settings", {
      timeZone: picker.value,
    });
    current = settings.timeZone;
    suggest(current);
    said(t("progress.zoneSaved", { zone: spaced(settings.timeZone) }));
    await changed();
  };
  onSubmit(form, store);
  $("#use-zone").addEventListener("click", () => {
    picker.value = here;
    form.requestSubmit();
  });
  return refilled;
}

// A zone may have aliases.
const canonical = (zone) =>
  new Intl.DateTimeFormat("en", { timeZone: knownZone(zone) }).resolvedOptions().timeZone;

function suggest(current) {
  const differs = canonical(current) !== canonical(here);
  if (differs)
    say(
      $("#elsewhere-zone"),
      t("progress.elsewhere", { here: spaced(here), zone: spaced(current) }),
    );
  show($("#elsewhere"), differs);
}
