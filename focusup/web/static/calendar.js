// The calendar of a year.

import { focusup } from "./account.js";
import { yearOf } from "./dates.js";
import { $, duration, el, notice, t } from "./dom.js";
import { heatMap } from "./grids.js";

const picker = $("#year");
let asked = 0;
let today = "";

export async function calendar(stats) {
  today = stats.today.date;
  const now = Number(today.slice(0, 4));
  if (!picker.options.length) {
    offer([now]);
    picker.addEventListener("change", () => show(Number(picker.value)).catch(notice));
    yearsBefore(now)
      .then((years) => offer([now, ...years]))
      .catch(notice);
  }
  await show(Number(picker.value));
}

function offer(years) {
  const chosen = picker.value || years[0];
  picker.replaceChildren(...years.map((year) => el("option", { value: year }, String(year))));
  picker.value = chosen;
}

// Earlier years with sessions, latest first. One request per year: the newest session before a
// year gives the next one.
async function yearsBefore(now) {
  const found = new Set();
  for (let to = now + 1; ;) {
    const {
      sessions: [session],
    } = await focusup.request("GET", `/api/sessions?limit=1&to=${to}-01-01T00:00:00Z`);
    if (!session) return [...found].filter((year) => year < now).sort((a, b) => b - a);
    for (const instant of [session.endedAt ?? session.createdAt, session.createdAt])
      found.add(yearOf(instant, session.timeZone));
    to = new Date(session.createdAt).getUTCFullYear();
  }
}

async function show(year) {
  const turn = (asked += 1);
  const {
    calendar: { days },
  } = await focusup.request("GET", `/api/stats/me/calendar?year=${year}`);
  if (turn !== asked) return; // another year was chosen meanwhile
  const studied = days.filter(({ focusedSeconds }) => focusedSeconds > 0);
  const seconds = studied.reduce((sum, { focusedSeconds }) => sum + focusedSeconds, 0);
  const counted = days.filter(({ counts }) => counts).length;
  heatMap($("#year-map"), {
    title: t("progress.calendarOf", { year: String(year) }),
    summary:
      studied.length || counted
        ? `${t("progress.calendarSum", { count: studied.length, time: duration(seconds) })} ${t("progress.calendarCounts", { count: counted })}`
        : t("progress.calendarNone", { year: String(year) }),
    days: days.map(({ date, focusedSeconds, counts }) => ({ date, value: focusedSeconds, counts })),
    until: today,
    format: duration,
    columns: [t("progress.day"), t("progress.focused"), t("progress.counts")],
  });
}
