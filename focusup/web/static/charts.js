// Charts: plain SVG, drawn anew when their width changes. Each is a figure that says in
// words what it shows, and has its numbers as a table behind "Show numbers".
//
// What must always hold: nothing is told by colour alone; a chart of nothing says so; a chart
// is never wider than its place, except where it scrolls.

import { day, el, number, svg, t } from "./dom.js";

export const FONT = 12;
const LINE = 18;
const THINNEST = 2.5; // a bar and the gap after it
const LETTER = 6.5; // the mean width of one
const WEEKDAYS = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-06", "2024-01-07"];

export const weekday = (index, style = "short") => day(WEEKDAYS[index], { weekday: style });

const figures = new WeakMap();

// Puts a chart into `place`: `title` names it, `summary` says it in a sentence, `table` is
// `{head, rows}` and may have a `label`, and `draw(width)` gives `{height, children}` for a width
// in pixels. Where `least` is given it is never drawn narrower, and scrolls: to what `draw`
// gives as `end`, or to its end. One that is there already changes in its place: it does not
// flicker, and what was opened stays open.
export function figure(place, given) {
  if (!figures.has(place)) figures.set(place, new Figure(place, given));
  figures.get(place).show(given);
}

class Figure {
  #picture; #frame; #title; #summary; #legend; #table; #given; #room = 0; #observer;

  constructor(place, { table: { label = t("all.numbers") } }) {
    const id = `chart-${place.id}`;
    this.#picture = svg("svg", { role: "img", "aria-labelledby": `${id}-title`, "aria-describedby": `${id}-summary` });
    this.#frame = el("div", {}, this.#picture);
    this.#title = el("figcaption", { id: `${id}-title`, class: "only-read" });
    this.#summary = el("p", { id: `${id}-summary`, class: "soft small" });
    this.#legend = el("p", { class: "row small" });
    this.#table = el("table");
    place.replaceChildren(el("figure", {},
      this.#title, this.#summary, this.#frame, this.#legend,
      el("details", {}, el("summary", {}, label),
        el("div", { class: "scroll", tabindex: 0, role: "region", "aria-labelledby": `${id}-title` }, this.#table))));
    this.#observer = new ResizeObserver(() => this.#fit());
    this.#observer.observe(this.#frame);
  }

  show(given) {
    this.#given = given;
    this.#title.textContent = given.title;
    this.#summary.textContent = given.summary;
    this.#legend.replaceChildren(...legend(given.series ?? []));
    this.#legend.hidden = !this.#legend.children.length;
    this.#table.replaceChildren(...numbers(given.table));
    this.#draw();
  }

  leave() {
    this.#observer.disconnect();
  }

  #fit() {
    if (Math.floor(this.#frame.clientWidth) !== this.#room) this.#draw();
  }

  // For the room there is; where that has changed, the end is in view.
  #draw() {
    const room = Math.floor(this.#frame.clientWidth);
    if (!room) return;
    const width = Math.max(this.#given.least ?? 0, room);
    const { height, children, end = width } = this.#given.draw(width);
    for (const [name, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, width, height })) this.#picture.setAttribute(name, value);
    this.#picture.style.width = `${width}px`;
    this.#picture.replaceChildren(...children);
    this.#scrolls(width > room);
    if (room !== this.#room) this.#frame.scrollLeft = end - room;
    this.#room = room;
  }

  // What scrolls has to be reached by keyboard, and only that.
  #scrolls(really) {
    const attributes = { class: "scroll", tabindex: 0, role: "region", "aria-labelledby": this.#title.id };
    for (const [name, value] of Object.entries(attributes)) {
      if (really) this.#frame.setAttribute(name, value);
      else this.#frame.removeAttribute(name);
    }
  }
}

function numbers({ head, rows }) {
  const cell = (tag) => (value, index) => el(tag, { class: index ? "n" : null, scope: tag === "th" ? "col" : null }, value instanceof Node ? value : String(value));
  return [el("thead", {}, el("tr", {}, head.map(cell("th")))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map(cell("td")))))];
}

export function empty(place, text) {
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
  const wide = Math.max(36, 30 + LETTER * Math.max(...labels.map(({ length }) => length)));
  const every = Math.max(1, Math.ceil(labels.length / Math.max(1, Math.floor((right - left) / wide))));
  return labels.flatMap((label, index) => {
    if ((labels.length - 1 - index) % every) return [];
    const outside = at(index) + wide / 2 > right + 16;
    return [svg("text", { x: outside ? right : at(index), y, "text-anchor": outside ? "end" : "middle" }, label)];
  });
}

// Bars by time. `points` are `{label, name, values}`: short and full name, and a number for each
// of `series`, `{name, colour}`, which are stacked. `goal` is a line across. The axis goes in
// round numbers of `unit`, told by `axisFormat`, and at least up to `atLeast`.
export function bars(place, { title, summary, points, series, format = number, unit = 1, axisFormat = format, goal = null, atLeast = 0 }) {
  if (!points.some(({ values }) => values.some((value) => value > 0))) return empty(place, t("all.nothing"));
  const sum = ({ values }) => values.reduce((all, value) => all + value, 0);
  const upTo = scale(points.map((point) => sum(point) / unit), Math.max(goal ?? 0, atLeast) / unit);
  const high = upTo.high * unit;
  const left = 46;
  const draw = (width) => {
    const tall = 170;
    const step = (width - left) / points.length;
    const thick = Math.max(1, Math.min(36, step * 0.72));
    const middle = (index) => left + step * (index + 0.5);
    const children = axis(width, tall, left, upTo, (value) => axisFormat(value * unit));
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
  figure(place, { title, summary, table, draw, series: series.length > 1 ? series : [], least: left + points.length * THINNEST });
}

function legend(series) {
  return series.map(({ name, colour }) => {
    const item = el("span", { class: "dot" }, name);
    item.style.setProperty("--dot", `var(${colour})`);
    return item;
  });
}

// A line through the points that have a value; `points` are `{label, name, value}`, where a null
// is passed over. The axis goes up to `most` at least.
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
