// Progress towards today's and this week's goals, the streak, and totals.

import { $, day, duration, el, number, percent, say, show, svg, t } from "./dom.js";

export function today(stats) {
  const { minutes, sessions } = stats.today;
  say($("#today-date"), day(stats.today.date, { weekday: "long", day: "numeric", month: "long" }));
  $("#dials").replaceChildren(
    dial("minutes", minutes, minuteWords),
    dial("sessions", sessions, number),
    dial("week", stats.week.minutes, minuteWords),
  );
  show(
    $("#no-goals"),
    [minutes, sessions, stats.week.minutes].every(({ goal }) => goal === null),
  );
  streak(stats);
  sums(stats);
}

const minuteWords = (minutes) => duration(minutes * 60);

// A ring that fills towards a goal, with the same in words; empty without a goal.
function dial(name, { done, goal, reached }, words) {
  const share = goal === null ? 0 : Math.min(1, done / goal);
  const circle = (type, more) => svg("circle", { class: type, cx: 50, cy: 50, r: 43, ...more });
  return el(
    "div",
    { class: `dial${reached ? " reached" : ""}` },
    el(
      "div",
      { class: "round" },
      svg(
        "svg",
        { viewBox: "0 0 100 100", "aria-hidden": "true" },
        svg(
          "g",
          { transform: "rotate(-90 50 50)" },
          circle("track"),
          share
            ? circle("done", { pathLength: 100, "stroke-dasharray": `${100 * share} 100` })
            : null,
        ),
      ),
      el(
        "span",
        { class: "numbers", "aria-hidden": "true" },
        goal === null ? number(done) : percent(done / goal),
      ),
    ),
    el(
      "p",
      {},
      el("strong", {}, t(`progress.dial.${name}`)),
      el("br"),
      goal === null ? words(done) : t("progress.ofGoal", { done: words(done), goal: words(goal) }),
      " ",
      reached ? el("span", { class: "badge completed" }, t("progress.reached")) : null,
    ),
  );
}

function streak({
  currentStreak,
  longestStreak,
  goals,
  today: { minutes, sessions, completedSessions },
}) {
  say($("#streak-count"), number(currentStreak));
  say($("#streak-days"), t("progress.streakDays", { count: currentStreak }));
  say($("#streak-longest"), t("progress.longest", { count: longestStreak }));
  const asked = [minutes, sessions].filter(({ goal }) => goal !== null);
  const counts = asked.length ? asked.every(({ reached }) => reached) : completedSessions > 0;
  const way = goals.dailyMinutes || goals.sessionsPerDay ? "Goal" : "Session";
  say($("#streak-today"), t(counts ? "progress.todayCounts" : `progress.todayNeeds${way}`));
}

function sums(stats) {
  const some = (value, words) => (value === null ? "–" : words(value));
  const facts = {
    focused: duration(stats.focusedSeconds),
    completed: t("progress.completedOf", {
      done: stats.completedSessions,
      all: stats.endedSessions,
    }),
    rate: some(stats.completionRate, percent),
    mean: some(stats.meanFocusScore, (value) => number(value, 1)),
    best: some(stats.bestFocusScore, number),
    tabs: some(stats.tabSwitchesPerHour, (value) => number(value, 1)),
  };
  $("#sums").replaceChildren(
    ...Object.entries(facts).map(([name, value]) =>
      el("div", {}, el("dt", {}, t(`progress.sum.${name}`)), el("dd", {}, value)),
    ),
  );
}
