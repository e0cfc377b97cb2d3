// The frame of a chart: a figure with a summary in words, and its numbers as a table behind
// "Show numbers". It is redrawn when its width changes.
//
// Invariant: a chart is never wider than its place, except where it scrolls.

import { day, el, svg, t } from "./dom.js";

export const FONT = 12;
const WEEKDAYS = [
  "2024-01-01",
  "2024-01-02",
  "2024-01-03",
  "2024-01-04",
  "2024-01-05",
  "2024-01-06",
  "2024-01-07",
];

/** @param {number} index from 0 for Monday @param {"short" | "long"} style */
export const weekday = (index, style = "short") => day(WEEKDAYS[index], { weekday: style });

const figures = new WeakMap();

// Show a chart in `place`, or update it there without flicker. `title` is its name, `summary` a
// sentence, `table` is `{head, rows, label}`, and `draw(width)` returns `{height, children, end}`
// for a width in pixels. It scrolls if narrower than `least`, at first to `end` (default: the
// right edge).
export function figure(place, given) {
  if (!figures.has(place)) figures.set(place, new Figure(place, given));
  figures.get(place).show(given);
}

class Figure {
  #picture;
  #frame;
  #title;
  #summary;
  #legend;
  #table;
  #given;
  #room = 0;
  #observer;

  constructor(place, { table: { label = t("all.numbers") } }) {
    const id = `chart-${place.id}`;
    this.#picture = svg("svg", {
      role: "img",
      "aria-labelledby": `${id}-title`,
      "aria-describedby": `${id}-summary`,
    });
    this.#frame = el("div", {}, this.#picture);
    this.#title = el("figcaption", { id: `${id}-title`, class: "only-read" });
    this.#summary = el("p", { id: `${id}-summary`, class: "soft small" });
    this.#legend = el("p", { class: "row small" });
    this.#table = el("table");
    place.replaceChildren(
      el(
        "figure",
        {},
        this.#title,
        this.#summary,
        this.#frame,
        this.#legend,
        el(
          "details",
          {},
          el("summary", {}, label),
          el(
            "div",
            { class: "scroll", tabindex: 0, role: "region", "aria-labelledby": `${id}-title` },
            this.#table,
          ),
        ),
      ),
    );
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

  // Draw at the current width; scroll to the end if the width changed.
  #draw() {
    const room = Math.floor(this.#frame.clientWidth);
    if (!room) return;
    const width = Math.max(this.#given.least ?? 0, room);
    const { height, children, end = width } = this.#given.draw(width);
    for (const [name, value] of Object.entries({
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
    }))
      this.#picture.setAttribute(name, value);
    this.#picture.style.width = `${width}px`;
    this.#picture.replaceChildren(...children);
    this.#scrolls(width > room);
    if (room !== this.#room) this.#frame.scrollLeft = end - room;
    this.#room = room;
  }

  // Only a scrolling chart may take the keyboard focus.
  #scrolls(really) {
    const attributes = {
      class: "scroll",
      tabindex: 0,
      role: "region",
      "aria-labelledby": this.#title.id,
    };
    for (const [name, value] of Object.entries(attributes)) {
      if (really) this.#frame.setAttribute(name, value);
      else this.#frame.removeAttribute(name);
    }
  }
}

function numbers({ head, rows }) {
  const cell = (tag) => (value, index) =>
    el(
      tag,
      { class: index ? "n" : null, scope: tag === "th" ? "col" : null },
      value instanceof Node ? value : String(value),
    );
  return [
    el("thead", {}, el("tr", {}, head.map(cell("th")))),
    el(
      "tbody",
      {},
      rows.map((row) => el("tr", {}, row.map(cell("td")))),
    ),
  ];
}

export function empty(place, text) {
  figures.get(place)?.leave();
  figures.delete(place);
  place.replaceChildren(el("p", { class: "empty" }, text));
}

function legend(series) {
  return series.map(({ name, colour }) => {
    const item = el("span", { class: "dot" }, name);
    item.style.setProperty("--dot", `var(${colour})`);
    return item;
  });
}
