// The top of the dashboard: live counters, focus sessions and logins of the last days.

import { focusup } from "./account.js";
import { bars, line } from "./charts.js";
import { $, day, number, percent, say, show, t } from "./dom.js";
import { fillTable } from "./rows.js";

const OF_METRICS = [
  "activeUsersNow",
  "visitorsNow",
  "activeVisits",
  "visitorsToday",
  "totalVisits",
];
const OF_HEALTH = ["viewedPages", "sockets"];
const ENDED = { completed: "--active", abandoned: "--idle", cancelled: "--paused" };

export function overview(refresher) {
  const get = (path) => () => focusup.request("GET", path);
  refresher.add(get("/api/health"), health);
  refresher.add(get("/api/admin/metrics"), metrics);
  refresher.add(get("/api/admin/metrics/sessions"), focus);
}

const count = (name, value) => say($(`#count-${name}`), number(value));
const sum = (items, name) => items.reduce((all, item) => all + item[name], 0);
const hours = (value) => t("all.hours", { hours: number(value, 1) });
const dated = ({ date }) => ({ label: day(date, { weekday: "short" }), name: day(date) });

function health(found) {
  for (const name of OF_HEALTH) count(name, found[name]);
  const { kind, latencyMs } = found.database;
  say(
    $("#server"),
    t(latencyMs === null ? "admin.serverAlone" : "admin.server", {
      version: found.version,
      database: t(`admin.database.${kind}`),
      latency: number(latencyMs, 1),
    }),
  );
  show($("#degraded"), found.status === "degraded");
}

// A chart of counters per day.
function counted(id, days, colours, title) {
  const names = Object.keys(colours);
  const sums = Object.fromEntries(names.map((name) => [name, sum(days, name)]));
  bars($(`#${id}`), {
    title,
    summary: t(`admin.${id}More`, sums),
    points: days.map((each) => ({ ...dated(each), values: names.map((name) => each[name]) })),
    series: names.map((name) => ({ name: t(`admin.series.${name}`), colour: colours[name] })),
  });
}

function metrics(found) {
  for (const name of OF_METRICS) count(name, found[name]);
  counted(
    "by-day",
    found.activityByDay,
    { logins: "--accent", signups: "--active" },
    t("admin.byDay"),
  );
  counted(
    "daily",
    found.dailyActivity,
    { logins: "--accent", appOpens: "--idle", actions: "--active" },
    t("admin.daily"),
  );
  bars($("#monthly"), {
    title: t("admin.monthly"),
    summary: t("admin.monthlyMore", { logins: sum(found.monthlyLogins, "logins") }),
    points: found.monthlyLogins.map(({ month, logins }) => ({
      label: day(`${month}-01`, { month: "short" }),
      name: day(`${month}-01`, { month: "long", year: "numeric" }),
      values: [logins],
    })),
    series: [{ name: t("admin.series.logins"), colour: "--accent" }],
  });
}

function focus({ trackedNow, byDay, completionRate, meanFocusScore, topContent }) {
  count("trackedNow", trackedNow);
  bars($("#ended"), {
    title: t("admin.ended"),
    summary: t("admin.endedMore", {
      ended: sum(byDay, "ended"),
      completed: sum(byDay, "completed"),
    }),
    points: byDay.map((each) => ({
      ...dated(each),
      values: Object.keys(ENDED).map((status) => each[status]),
    })),
    series: Object.entries(ENDED).map(([status, colour]) => ({
      name: t(`all.status.${status}`),
      colour,
    })),
  });
  bars($("#hours"), {
    title: t("admin.hours"),
    summary: t("admin.hoursMore", { hours: number(sum(byDay, "focusedHours"), 1) }),
    points: byDay.map((each) => ({ ...dated(each), values: [each.focusedHours] })),
    series: [{ name: t("admin.hours"), colour: "--active" }],
    format: hours,
  });
  line($("#rate"), {
    title: t("admin.rate"),
    summary: completionRate === null ? "" : t("admin.rateMore", { rate: percent(completionRate) }),
    points: byDay.map((each) => ({ ...dated(each), value: each.completionRate })),
    format: percent,
    most: 1,
  });
  line($("#score"), {
    title: t("admin.score"),
    summary:
      meanFocusScore === null ? "" : t("admin.scoreMore", { score: number(meanFocusScore, 1) }),
    points: byDay.map((each) => ({ ...dated(each), value: each.meanFocusScore })),
    format: (value) => number(value, 1),
    most: 100,
  });
  const most = Math.max(...topContent.map(({ focusedHours }) => focusedHours)) || 1;
  fillTable("contents", topContent, {
    key: ({ contentId }) => contentId,
    columns: [
      { text: ({ contentId }) => contentId },
      { text: ({ sessions }) => number(sessions), number: true },
      {
        text: ({ focusedHours }) => number(focusedHours, 2),
        number: true,
        share: ({ focusedHours }) => focusedHours / most,
      },
    ],
  });
}
