// The progress page: how the day stands, what the days come to, each session, and what is set.

import { begin, focusup, track } from "./account.js";
import { calendar } from "./calendar.js";
import { data } from "./data.js";
import { $, $$, notice, show } from "./dom.js";
import { goals } from "./goals.js";
import { history } from "./history.js";
import { today } from "./today.js";
import { trends } from "./trends.js";

const AGAIN_MS = 5_000;
let newest = null; // the statistics that were read last
let lists = null;

// Everything, as it is now. What was opened in the history stays open unless sessions came or went.
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
  if (!before) goals(newest, refresh);
  const count = sessions(newest);
  for (const part of $$("[data-begun]")) show(part, count > 0);
  show($("#invite"), !count);
  show($("#progress"));
  if (!count) return;
  today(newest);
  if (!lists) lists = history(() => newest.timeZone, refresh);
  else if (count !== sessions(before)) lists();
  await Promise.all([calendar(newest), trends(newest)]).catch(notice);
}

const sessions = (stats) => Object.values(stats.sessions).reduce((sum, count) => sum + count, 0);

function main() {
  if (!begin()) return;
  track();
  data();
  document.addEventListener("visibilitychange", () => {
    if (newest && document.visibilityState === "visible") refresh();
  });
  refresh();
}

main();
