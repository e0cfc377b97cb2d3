// Charts of the last 30, 90 or 365 days: focused time, scores, hours of the week, subjects, tags.

import { focusup } from "./account.js";
import { bars, line } from "./charts.js";
import { daysAfter } from "./dates.js";
import { $, $$, day, duration, el, notice, number, percent, t } from "./dom.js";
import { hourGrid } from "./grids.js";
import { weekday } from "./figure.js";

const HOUR_S = 3600;
const MINUTE_S = 60;
const MOST_DAYS_SINGLE = 90; // mean scores of more days than these are told by week
const SHARES_SHOWN = 8;
const LEAST_S = 5 * MINUTE_S; // the height of the chart: a few seconds are no high bar
let stats = null;
let asked = 0;

export async function trends(newest) {
  if (!stats) {
    for (const chip of $$("#trends [name=range]"))
      chip.addEventListener("change", () => draw().catch(notice));
  }
  stats = newest;
  await draw();
}

async function draw() {
  const turn = (asked += 1);
  const range = Number($("#trends [name=range]:checked").value);
  const to = daysAfter(stats.today.date, 1);
  const read = async (by) => {
    const query = new URLSearchParams({ by, from: daysAfter(to, -range), to });
    return (await focusup.request("GET", `/api/stats/me/series?${query}`)).series;
  };
  const single = range <= MOST_DAYS_SINGLE;
  const kinds = ["day", ...(single ? [] : ["week"]), "hourOfWeek", "content", "tag"];
  const series = Object.fromEntries(
    await Promise.all(kinds.map(async (by) => [by, await read(by)])),
  );
  if (turn !== asked) return; // another range was chosen meanwhile
  focusedTime(series.day);
  scores(series[single ? "day" : "week"], single);
  bestHours(series.hourOfWeek);
  shares($("#by-content"), series.content);
  shares($("#by-tag"), series.tag);
}

/** @type {Intl.DateTimeFormatOptions} */
const short = { day: "numeric", month: "short" };
/** @type {Intl.DateTimeFormatOptions} */
const full = { weekday: "short", day: "numeric", month: "short", year: "numeric" };

function focusedTime({ points, total }) {
  const goal = stats.goals.dailyMinutes === null ? null : stats.goals.dailyMinutes * MINUTE_S;
  const most = Math.max(goal ?? 0, ...points.map(({ focusedSeconds }) => focusedSeconds));
  const inHours = most > HOUR_S / 2;
  const mean = duration(Math.floor(total.focusedSeconds / points.length));
  const sum = t("progress.perDaySum", { total: duration(total.focusedSeconds), mean });
  bars($("#days"), {
    title: t("progress.perDay"),
    summary: goal === null ? sum : `${sum} ${t("progress.goalOf", { goal: duration(goal) })}`,
    points: points.map(({ date, focusedSeconds }) => ({
      label: day(date, short),
      name: day(date, full),
      values: [focusedSeconds],
    })),
    series: [{ name: t("progress.focused"), colour: "--active" }],
    format: duration,
    unit: inHours ? HOUR_S : MINUTE_S,
    axisFormat: (seconds) =>
      inHours
        ? t("all.hours", { hours: number(seconds / HOUR_S, 2) })
        : t("all.minutes", { minutes: number(seconds / MINUTE_S, 1) }),
    goal,
    atLeast: LEAST_S,
  });
}

function scores({ points, total }, single) {
  const named = ({ date }) => (single ? day(date, full) : t("progress.weekOf", { day: day(date) }));
  line($("#scores"), {
    title: t(single ? "progress.scoresByDay" : "progress.scoresByWeek"),
    summary: total.endedSessions
      ? `${t(single ? "progress.scoresByDay" : "progress.scoresByWeek")} ${t("progress.scoresSum", { mean: number(total.meanFocusScore, 1), best: total.bestFocusScore, count: total.endedSessions })}`
      : "",
    points: points.map((point) => ({
      label: day(point.date, short),
      name: named(point),
      value: point.meanFocusScore,
    })),
    format: (value) => number(value, 1),
    column: t("progress.meanScore"),
  });
}

function bestHours({ hours }) {
  const best = hours.reduce((most, each) =>
    each.focusedSeconds > most.focusedSeconds ? each : most,
  );
  hourGrid($("#hours"), {
    title: t("progress.hours"),
    summary: t("progress.hoursBest", {
      weekday: weekday(best.weekday - 1, "long"),
      hour: `${best.hour}:00`,
      time: duration(best.focusedSeconds),
    }),
    hours: hours.map(({ weekday: which, hour, focusedSeconds }) => ({
      weekday: which,
      hour,
      value: focusedSeconds,
    })),
    format: duration,
    columns: [t("progress.hour"), t("progress.focused")],
  });
}

// Longest first, each with its share of all focused time. A session with two tags counts in both.
function shares(place, { shares: all, total }) {
  const row = ({ name, focusedSeconds, endedSessions }) => {
    const share = total.focusedSeconds ? focusedSeconds / total.focusedSeconds : 0;
    const bar = el("i");
    bar.style.width = `${100 * share}%`;
    return el(
      "li",
      {},
      el(
        "div",
        { class: "row between" },
        el("strong", {}, name ?? t("progress.noContent")),
        el("span", { class: "numbers" }, duration(focusedSeconds)),
      ),
      el("div", { class: "share", "aria-hidden": "true" }, bar),
      el(
        "p",
        { class: "soft small numbers" },
        t("progress.shareOf", { share: percent(share), count: endedSessions }),
      ),
    );
  };
  const [shown, rest] = [all.slice(0, SHARES_SHOWN), all.slice(SHARES_SHOWN)];
  place.replaceChildren(
    ...(all.length
      ? [el("ul", { class: "plain shares" }, shown.map(row))]
      : [el("p", { class: "empty" }, t("progress.noShares"))]),
    ...(rest.length
      ? [
          el(
            "details",
            {},
            el("summary", {}, t("progress.others", { count: rest.length })),
            el("ul", { class: "plain shares" }, rest.map(row)),
          ),
        ]
      : []),
  );
}
