// Charts without axes: the calendar of a year, the hours of a week, a timeline.
//
// Invariants: as in charts.js.

import { day, svg, t } from "./dom.js";
import { FONT, empty, figure, weekday } from "./figure.js";

const STEPS_S = [1, 1800, 3600, 7200];

// Level 0 for no value, else 1 to 4 by quarters of the maximum.
const level = (value, most) => (value > 0 ? Math.min(4, 1 + Math.floor((value / most) * 4)) : 0);

// Fixed levels, so that a colour means the same in each year; 4 is two hours or more.
const dayLevel = (seconds) => STEPS_S.filter((step) => seconds >= step).length;

// A year with a column per week. `days` are `{date, value, counts}` in order, `value` in seconds;
// `counts` marks streak days with a dot. Days after `until` are in the future.
export function heatMap(place, { title, summary, days, until = null, format, columns }) {
  const offset = (new Date(`${days[0].date}T00:00:00Z`).getUTCDay() + 6) % 7;
  const weeks = Math.ceil((days.length + offset) / 7);
  const [left, top] = [34, 20];
  const draw = (width) => {
    const cell = Math.min(20, (width - left) / weeks);
    const children = [0, 2, 4].map((row) =>
      svg("text", { x: 0, y: top + cell * (row + 0.5) + 4 }, weekday(row)),
    );
    let end = width;
    days.forEach(({ date, value, counts }, index) => {
      const [column, row] = [Math.floor((index + offset) / 7), (index + offset) % 7];
      const [x, y] = [left + column * cell, top + row * cell];
      if (date.endsWith("-01"))
        children.push(svg("text", { x, y: FONT }, day(date, { month: "short" })));
      if (date === until) end = x + 3 * cell;
      if (until && date > until) {
        children.push(
          svg("rect", {
            x: x + 1.5,
            y: y + 1.5,
            width: cell - 3,
            height: cell - 3,
            rx: 2.5,
            fill: "none",
            stroke: "var(--heat-0)",
          }),
        );
        return;
      }
      children.push(
        svg(
          "g",
          {},
          svg(
            "title",
            {},
            t(counts ? "all.dayCounts" : "all.day", { day: day(date), value: format(value) }),
          ),
          svg("rect", {
            x: x + 1,
            y: y + 1,
            width: cell - 2,
            height: cell - 2,
            rx: 2.5,
            fill: `var(--heat-${dayLevel(value)})`,
          }),
          counts
            ? svg("circle", {
                cx: x + cell / 2,
                cy: y + cell / 2,
                r: cell / 7,
                fill: "var(--card)",
              })
            : null,
        ),
      );
    });
    return { height: top + cell * 7 + 2, children, end };
  };
  const rows = days
    .filter(({ value, counts }) => value || counts)
    .map(({ date, value, counts }) => [day(date), format(value), counts ? t("all.yes") : ""]);
  figure(place, { title, summary, table: { head: columns, rows }, draw, least: left + weeks * 13 });
}

// The hours of a week, a row per weekday. `hours` are 168 `{weekday, hour, value}`.
export function hourGrid(place, { title, summary, hours, format, columns }) {
  const most = Math.max(...hours.map(({ value }) => value));
  if (!most) return empty(place, t("all.nothing"));
  const [left, top, tall] = [34, 18, 22];
  const draw = (width) => {
    const cell = (width - left) / 24;
    const children = [0, 6, 12, 18].map((hour) =>
      svg("text", { x: left + hour * cell, y: FONT }, `${hour}:00`),
    );
    for (let row = 0; row < 7; row += 1)
      children.push(svg("text", { x: 0, y: top + row * tall + 15 }, weekday(row)));
    for (const { weekday: number_, hour, value } of hours) {
      children.push(
        svg(
          "rect",
          {
            x: left + hour * cell + 0.5,
            y: top + (number_ - 1) * tall + 1,
            width: Math.max(1, cell - 1),
            height: tall - 2,
            rx: 2,
            fill: `var(--heat-${level(value, most)})`,
          },
          svg("title", {}, `${weekday(number_ - 1, "long")} ${hour}:00: ${format(value)}`),
        ),
      );
    }
    return { height: top + 7 * tall, children };
  };
  const rows = hours
    .filter(({ value }) => value)
    .map(({ weekday: number_, hour, value }) => [
      `${weekday(number_ - 1, "long")} ${hour}:00`,
      format(value),
    ]);
  figure(place, { title, summary, table: { head: columns, rows }, draw });
}

// The timeline of a session. `runs` are `{kind, seconds, told}`; kinds differ in height as well
// as in colour. `choose`, if given, is called with the index of a clicked segment.
const TALL = { active: 1, idle: 0.65, paused: 0.3, away: 0.15 };

export function strip(place, { title, summary, runs, table, choose = null }) {
  const all = runs.reduce((sum, { seconds }) => sum + seconds, 0);
  if (!all) return empty(place, t("all.nothing"));
  const tall = 44;
  const draw = (width) => {
    let x = 0;
    const children = runs.map(({ kind, seconds, told }, index) => {
      const wide = (seconds / all) * width;
      const height = tall * TALL[kind];
      const part = svg(
        "rect",
        { x, y: tall - height, width: Math.max(1, wide), height, fill: `var(--${kind})` },
        svg("title", {}, told),
      );
      if (choose) part.addEventListener("click", () => choose(index));
      x += wide;
      return part;
    });
    children.push(svg("line", { x1: 0, x2: width, y1: tall, y2: tall, stroke: "var(--line)" }));
    return { height: tall + 1, children };
  };
  figure(place, { title, summary, table, draw });
}
