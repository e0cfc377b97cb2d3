// The progress page: how the day stands, what the days come to, each session, and what is set.

import { begin, focusup, track } from "./account.js";
import { calendar } from "./calendar.js";
import { data } from "./data.js";
import { $, $$, notice, show } from "./dom.js";
import { goals } from "./goals.js";
import { history } from "./history.js";
import { today } from "./today.js";
import { trends } from "./trends.js";

// What there is of statistics; `null` where they can't be had, and the page says why.
async function overview() {
  try {
    const { stats } = await focusup.request("GET", "/api/stats/me");
    notice(null);
    const any = Object.values(stats.sessions).some((count) => count > 0);
    for (const part of $$("[data-begun]")) show(part, any);
    show($("#invite"), !any);
    show($("#progress"));
    if (any) today(stats);
    return { stats, any };
  } catch (error) {
    notice(error);
    return null;
  }
}

// After something was changed: every number may be another.
async function refresh() {
  const found = await overview();
  if (found?.any) await Promise.all([calendar(found.stats), trends(found.stats)]).catch(notice);
}

async function main() {
  if (!begin()) return;
  track();
  data();
  const found = await overview();
  if (!found) return;
  goals(found.stats, refresh);
  if (!found.any) return;
  history(found.stats.timeZone, refresh);
  await Promise.all([calendar(found.stats), trends(found.stats)]).catch(notice);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") overview();
  });
}

main();
