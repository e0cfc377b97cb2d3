// Rendering of the running session.

import { $, clock, number, percent, say, show, t } from "./dom.js";
import { partsOf } from "./score.js";

export const title = document.title;

// Show the counters, the parts of the score and the ring. `state` is the kind of the current
// second, `now` its label.
export function showCounters(counters, { targetMinutes, state, now }) {
  const { elapsedSeconds, activeSeconds, idleSeconds, tabSwitches } = counters;
  const target = Math.round(targetMinutes * 60);
  const past = elapsedSeconds > target;
  const left = clock(Math.abs(target - elapsedSeconds));
  const shown = past ? `+${left}` : left;
  say($("#left"), shown);
  say($("#of"), t(past ? "study.past" : "study.of", { time: clock(target) }));
  say($("#now"), now);
  $("#now").className = `dot is-${state}`;
  say($("#active-time"), clock(activeSeconds));
  say($("#idle-time"), clock(idleSeconds));
  say($("#tab-switches"), number(tabSwitches));
  const { completion, activityRatio, penalty } = partsOf(counters, targetMinutes);
  say(
    $("#parts"),
    t("study.partsNow", {
      done: percent(completion),
      active: percent(activityRatio),
      penalty: number(penalty, 1),
    }),
  );
  const whole = Math.max(target, elapsedSeconds);
  arc($("#ring .active"), 0, activeSeconds / whole);
  arc($("#ring .idle"), activeSeconds / whole, idleSeconds / whole);
  say(
    $("#ring-label"),
    t(past ? "study.ringPast" : "study.ring", {
      time: left,
      active: clock(activeSeconds),
      idle: clock(idleSeconds),
    }),
  );
  document.title = `${shown} · ${title}`;
}

// Clear the values of the previous session.
export function blank() {
  say($("#running-title"), t("study.session"));
  for (const id of ["score", "left", "active-time", "idle-time", "tab-switches"])
    say($(`#${id}`), "–");
  for (const id of ["of", "now", "moved", "told", "parts", "warning", "connection", "ring-label"])
    say($(`#${id}`), "");
  for (const id of ["warning", "connection"]) show($(`#${id}`), false);
  $("#now").className = "";
  for (const kind of ["active", "idle"]) arc($(`#ring .${kind}`), 0, 0);
  say($("#pause"), t("study.pause"));
}

// Draw a part of the ring; `begin` and `length` are ratios of the whole.
function arc(circle, begin, length) {
  circle.setAttribute("stroke-dasharray", `${1000 * length} ${1000 - 1000 * length}`);
  circle.setAttribute("stroke-dashoffset", -1000 * begin);
}

// Announce on the page, and as a desktop notification if the user allowed it.
export function announce(text) {
  say($("#told"), text);
  if (globalThis.Notification?.permission !== "granted" || !$("#notify").checked) return;
  try {
    new Notification("FocusUp", { body: text, icon: $("link[rel=icon]").href, tag: "focusup" });
  } catch {
    // Mobile browsers throw: they support notifications in service workers only.
  }
}
