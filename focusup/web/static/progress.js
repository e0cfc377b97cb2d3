// The progress page: today, statistics, the session list, goals and settings.

import { begin, focusup, track } from "./account.js";
import { calendar } from "./calendar.js";
import { data } from "./data.js";
import { days, refillDays } from "./days.js";
import { $, $$, notice, show } from "./dom.js";
import { goals, refill } from "./goals.js";
import { history } from "./history.js";
import { pill } from "./pill.js";
import { today } from "./today.js";
import { trends } from "./trends.js";

const AGAIN_MS = 5_000;
const EVERY_MS = 60_000; // days begin, and other windows and devices study and set goals
let newest = null; // the statistics that were read last
let lists = null;

// Reload everything. Open sessions stay open unless the list changed.
async function refresh() {
  const before = newest;
  try {
    newest = (await focusup.request("GET", "/api/stats/me")).stats;
    notice(null);
  } catch (error) {
    notice(error);
    if (!newest) setTimeout(refresh, AGAIN_MS); // there is nothing to look at yet
    return;
  }
  if (before) refill(newest);
  else goals(newest, refresh);
  (before ? refillDays() : days(refresh)).catch(notice);
  const count = sessions(newest);
  for (const part of $$("[data-begun]")) show(part, count > 0);
  show($("#invite"), !count);
  show($("#progress"));
  if (!count) return;
  today(newest);
  if (!lists) lists = history(() => newest.timeZone, refresh);
  else if (count !== sessions(before)) lists();
  if (!before || !sameDays(before, newest))
    await Promise.all([calendar(newest), trends(newest)]).catch(notice);
}

// Whether the totals are unchanged, so that charts need not be redrawn.
const sameDays = (some, others) =>
  ["today", "week", "goals", "focusedSeconds", "endedSessions", "timeZone"].every(
    (name) => JSON.stringify(some[name]) === JSON.stringify(others[name]),
  );

const sessions = (stats) => Object.values(stats.sessions).reduce((sum, count) => sum + count, 0);

function main() {
  if (!begin()) return;
  track();
  data();
  pill(refresh);
  const look = () => {
    if (newest && document.visibilityState === "visible") refresh();
  };
  document.addEventListener("visibilitychange", look);
  setInterval(look, EVERY_MS);
  refresh();
}

main();
