// All charts: plain SVG, drawn anew when their width changes. Each is a figure that says in
// words what it shows, and has its numbers as a table behind "Show numbers".
//
// What must always hold: nothing is told by colour alone; a chart of nothing says so; a chart
// is never wider than its place, except where it scrolls.

import { day, el, number, svg, t } from "./dom.js";

const FONT = 12;
const LINE = 18;
const LETTER = 6.5; // the mean width of one
const WEEKDAYS = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-06", "2024-01-07"];

export const weekday = (index, style = "short") => day(WEEKDAYS[index], { weekday: style });

const figures = new WeakMap();

// Puts a chart into `place`: `title` names it, `summary` says it in a sentence, `table` is
// `{head, rows}`, and `draw(width)` gives `{height, children}` for a width in pixels. Where
// `least` is given it is never drawn narrower, and scrolls to its end. One that is there
// already changes in its place: it does not flicker, and what was opened stays open.
function figure(place, given) {
  if (!figures.has(place)) figures.set(place, new Figure(place, given));
  figures.get(place).show(given);
}

class Figure {
  #picture; #frame; #summary; #legend; #table; #given; #drawn = 0; #observer;

  constructor(place, { title, least = 0 }) {
    const id = `chart-${place.id}`;
    this.#picture = svg("svg", { role: "img", "aria-labelledby": `${id}-title`, "aria-describedby": `${id}-summary` });
    this.#frame = el("div", least ? { class: "scroll", tabindex: 0, role: "region", "aria-labelledby": `${id}-title` } : {}, this.#picture);
    this.#summary = el("p", { id: `${id}-summary`, class: "soft small" });
    this.#legend = el("p", { class: "row small" });
    this.#table = el("table");
    place.replaceChildren(el("figure", {},
      el("figcaption", { id: `${id}-title`, class: "only-read" }, title), this.#summary, this.#frame, this.#legend,
      el("details", {}, el("summary", {}, t("all.numbers")),
        el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title }, this.#table))));
    this.#observer = new ResizeObserver(() => this.#draw());
    this.#observer.observe(this.#frame);
  }

  show(given) {
    this.#given = given;
    this.#summary.textContent = given.summary;
    this.#legend.replaceChildren(...legend(given.series ?? []));
    this.#legend.hidden = !this.#legend.children.length;
    this.#table.replaceChildren(...numbers(given.table));
    const before = this.#drawn;
    this.#drawn = 0;
    this.#draw();
    if (!before) this.#frame.scrollLeft = this.#frame.scrollWidth;
  }

  leave() {
    this.#observer.disconnect();
  }

  #draw() {
    const width = Math.max(this.#given.least ?? 0, Math.floor(this.#frame.clientWidth));
    if (!width || width === this.#drawn) return;
    const { height, children } = this.#given.draw(width);
    for (const [name, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, width, height })) this.#picture.setAttribute(name, value);
    this.#picture.style.width = `${width}px`;
    this.#picture.replaceChildren(...children);
    this.#drawn = width;
  }
}

function numbers({ head, rows }) {
  const cell = (tag) => (value, index) => el(tag, { class: index ? "n" : null, scope: tag === "th" ? "col" : null }, String(value));
  return [el("thead", {}, el("tr", {}, head.map(cell("th")))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map(cell("td")))))];
}

function empty(place, text) {
  figures.get(place)?.leave();
  figures.delete(place);
  place.replaceChildren(el("p", { class: "empty" }, text));
}

// The smallest round number that is not below `value`: 1, 2, 2.5, 5 times a power of ten.
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 2.5, 5, 10].find((step) => step * power >= value * (1 - 1e-9));
}

// An axis from 0 that holds all `values`: where it ends, and how far its lines are apart. Among
// whole numbers there are no lines between.
function scale(values, most = 0) {
  const highest = Math.max(most, ...values);
  const fine = roundUp(highest / 4);
  const step = values.every(Number.isInteger) && fine % 1 ? (fine < 1 ? 1 : 5) : fine;
  return { high: step * Math.max(1, Math.ceil(highest / step - 1e-9)), step };
}

// Its lines and labels, for a chart `height` tall from `left` to `width`.
function axis(width, height, left, { high, step }, format) {
  const values = Array.from({ length: Math.round(high / step) + 1 }, (_, index) => index * step);
  return values.flatMap((value) => {
    const y = height - (value / high) * height + FONT / 2;
    return [
      svg("line", { x1: left, x2: width, y1: y, y2: y, stroke: "var(--line)" }),
      svg("text", { x: left - 6, y: y + FONT / 3, "text-anchor": "end" }, format(value)),
    ];
  });
}

// Labels under a chart that ends at `right`, as many as there is room for; the last is always
// there.
function below(labels, at, y, left, right) {
  const wide = Math.max(36, 16 + LETTER * Math.max(...labels.map(({ length }) => length)));
  const every = Math.max(1, Math.ceil(labels.length / Math.max(1, Math.floor((right - left) / wide))));
  return labels.flatMap((label, index) => {
    if ((labels.length - 1 - index) % every) return [];
    const outside = at(index) + wide / 2 > right + 16;
    return [svg("text", { x: outside ? right : at(index), y, "text-anchor": outside ? "end" : "middle" }, label)];
  });
}

// Bars by time. `points` are `{label, name, values}`: short and full name, and a number for each
// of `series`, `{name, colour}`, which are stacked. `goal` is a line across.
export function bars(place, { title, summary, points, series, format = number, goal = null }) {
  if (!points.some(({ values }) => values.some((value) => value > 0))) return empty(place, t("all.nothing"));
  const sum = ({ values }) => values.reduce((all, value) => all + value, 0);
  const upTo = scale(points.map(sum), goal ?? 0);
  const { high } = upTo;
  const draw = (width) => {
    const [left, tall] = [46, 170];
    const step = (width - left) / points.length;
    const thick = Math.max(1, Math.min(36, step * 0.72));
    const middle = (index) => left + step * (index + 0.5);
    const children = axis(width, tall, left, upTo, format);
    points.forEach((point, index) => {
      let y = tall + FONT / 2;
      const parts = point.values.map((value, which) => {
        const height = (value / high) * tall;
        y -= height;
        return svg("rect", { x: middle(index) - thick / 2, y, width: thick, height, rx: Math.min(3, thick / 4), fill: `var(${series[which].colour})` });
      });
      const told = series.map(({ name }, which) => `${name}: ${format(point.values[which])}`).join(", ");
      children.push(svg("g", {}, svg("title", {}, `${point.name}: ${told}`), parts));
    });
    if (goal !== null) {
      const y = tall - (goal / high) * tall + FONT / 2;
      children.push(svg("line", { x1: left, x2: width, y1: y, y2: y, stroke: "var(--accent)", "stroke-dasharray": "5 4", "stroke-width": 2 }, svg("title", {}, t("all.goalLine", { goal: format(goal) }))));
    }
    children.push(...below(points.map(({ label }) => label), middle, tall + LINE + FONT / 2, left, width));
    return { height: tall + LINE + FONT, children };
  };
  const table = { head: ["", ...series.map(({ name }) => name)], rows: points.map(({ name, values }) => [name, ...values.map(format)]) };
  figure(place, { title, summary, table, draw, series: series.length > 1 ? series : [] });
}

function legend(series) {
  return series.map(({ name, colour }) => {
    const item = el("span", { class: "dot" }, name);
    item.style.setProperty("--dot", `var(${colour})`);
    return item;
  });
}

// A line through the points that have a value; `points` are `{label, name, value}`, where null
// is a gap. The axis goes up to `most` at least.
export function line(place, { title, summary, points, format = number, column, most = 0 }) {
  const known = points.filter(({ value }) => value !== null);
  if (!known.length) return empty(place, t("all.nothing"));
  const upTo = scale(known.map(({ value }) => value), most);
  const { high } = upTo;
  const draw = (width) => {
    const [left, tall] = [46, 170];
    const x = (index) => left + ((width - left - 10) * (index + 0.5)) / points.length;
    const y = (value) => tall - (value / high) * tall + FONT / 2;
    const path = points.flatMap(({ value }, index) => (value === null ? [] : [`${x(index)} ${y(value)}`]));
    return {
      height: tall + LINE + FONT,
      children: [
        ...axis(width, tall, left, upTo, format),
        svg("path", { d: `M${path.join("L")}`, fill: "none", stroke: "var(--accent)", "stroke-width": 2.5, "stroke-linejoin": "round" }),
        ...points.flatMap(({ name, value }, index) => (value === null ? [] : [
          svg("circle", { cx: x(index), cy: y(value), r: points.length > 60 ? 2 : 4, fill: "var(--accent)" }, svg("title", {}, `${name}: ${format(value)}`)),
        ])),
        ...below(points.map(({ label }) => label), x, tall + LINE + FONT / 2, left, width),
      ],
    };
  };
  const table = { head: ["", column ?? title], rows: known.map(({ name, value }) => [name, format(value)]) };
  figure(place, { title, summary, table, draw });
}

// 0 for nothing, else 1 to 4 by quarters of the most.
const level = (value, most) => (value > 0 ? Math.min(4, 1 + Math.floor((value / most) * 4)) : 0);

// A year, a column for each week. `days` are `{date, value, counts}` in order; `counts` marks
// the days of a streak with a dot.
export function heatMap(place, { title, summary, days, format, columns }) {
  const most = Math.max(1, ...days.map(({ value }) => value));
  const offset = (new Date(`${days[0].date}T00:00:00Z`).getUTCDay() + 6) % 7;
  const weeks = Math.ceil((days.length + offset) / 7);
  const [left, top] = [34, 20];
  const draw = (width) => {
    const cell = Math.min(20, (width - left) / weeks);
    const children = [0, 2, 4].map((row) => svg("text", { x: 0, y: top + cell * (row + 0.5) + 4 }, weekday(row)));
    days.forEach(({ date, value, counts }, index) => {
      const [column, row] = [Math.floor((index + offset) / 7), (index + offset) % 7];
      const [x, y] = [left + column * cell, top + row * cell];
      if (date.endsWith("-01")) children.push(svg("text", { x, y: FONT }, day(date, { month: "short" })));
      children.push(svg("g", {},
        svg("title", {}, t(counts ? "all.dayCounts" : "all.day", { day: day(date), value: format(value) })),
        svg("rect", { x: x + 1, y: y + 1, width: cell - 2, height: cell - 2, rx: 2.5, fill: `var(--heat-${level(value, most)})` }),
        counts ? svg("circle", { cx: x + cell / 2, cy: y + cell / 2, r: cell / 7, fill: "var(--card)" }) : null));
    });
    return { height: top + cell * 7 + 2, children };
  };
  const rows = days.filter(({ value, counts }) => value || counts).map(({ date, value, counts }) => [day(date), format(value), counts ? t("all.yes") : ""]);
  figure(place, { title, summary, table: { head: columns, rows }, draw, least: left + weeks * 13 });
}

// The hours of a week: a row for each weekday. `hours` are `{weekday, hour, value}`, 168 of them.
export function hourGrid(place, { title, summary, hours, format, columns }) {
  const most = Math.max(...hours.map(({ value }) => value));
  if (!most) return empty(place, t("all.nothing"));
  const [left, top, tall] = [34, 18, 22];
  const draw = (width) => {
    const cell = (width - left) / 24;
    const children = [0, 6, 12, 18].map((hour) => svg("text", { x: left + hour * cell, y: FONT }, `${hour}:00`));
    for (let row = 0; row < 7; row += 1) children.push(svg("text", { x: 0, y: top + row * tall + 15 }, weekday(row)));
    for (const { weekday: number_, hour, value } of hours) {
      children.push(svg("rect", { x: left + hour * cell + 0.5, y: top + (number_ - 1) * tall + 1, width: Math.max(1, cell - 1), height: tall - 2, rx: 2, fill: `var(--heat-${level(value, most)})` },
        svg("title", {}, `${weekday(number_ - 1, "long")} ${hour}:00: ${format(value)}`)));
    }
    return { height: top + 7 * tall, children };
  };
  const rows = hours.filter(({ value }) => value).map(({ weekday: number_, hour, value }) => [`${weekday(number_ - 1, "long")} ${hour}:00`, format(value)]);
  figure(place, { title, summary, table: { head: columns, rows }, draw });
}

// What a session was made of, run by run. `runs` are `{kind, seconds, told}`; idle, paused and
// away differ in height as well as in colour. `choose`, if given, is called with a run's index.
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
      const part = svg("rect", { x, y: tall - height, width: Math.max(1, wide), height, fill: `var(--${kind})` }, svg("title", {}, told));
      if (choose) part.addEventListener("click", () => choose(index));
      x += wide;
      return part;
    });
    children.push(svg("line", { x1: 0, x2: width, y1: tall, y2: tall, stroke: "var(--line)" }));
    return { height: tall + 1, children };
  };
  figure(place, { title, summary, table, draw });
}
