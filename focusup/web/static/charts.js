// Charts by time: bars and lines, plain SVG.
//
// Invariants: colour is never the only cue; an empty chart says so.

import { number, svg, t } from "./dom.js";
import { FONT, empty, figure } from "./figure.js";

const LINE = 18;
const THINNEST = 2.5; // a bar and the gap after it
const LETTER = 6.5; // the mean width of one
// Round up to 1, 2, 2.5 or 5 times a power of ten.
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 2.5, 5, 10].find((step) => step * power >= value * (1 - 1e-9));
}

// An axis from 0 for all `values`: its end, and the step of its grid lines (whole if the values
// are).
function scale(values, most = 0) {
  const highest = Math.max(most, ...values);
  const fine = roundUp(highest / 4);
  const step = values.every(Number.isInteger) && fine % 1 ? (fine < 1 ? 1 : 5) : fine;
  return { high: step * Math.max(1, Math.ceil(highest / step - 1e-9)), step };
}

// Grid lines and labels of a chart `height` tall, from `left` to `width`.
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

// As many labels under the chart as fit, always with the last one.
function below(labels, at, y, left, right) {
  const wide = Math.max(36, 30 + LETTER * Math.max(...labels.map(({ length }) => length)));
  const every = Math.max(
    1,
    Math.ceil(labels.length / Math.max(1, Math.floor((right - left) / wide))),
  );
  return labels.flatMap((label, index) => {
    if ((labels.length - 1 - index) % every) return [];
    const outside = at(index) + wide / 2 > right + 16;
    return [
      svg(
        "text",
        { x: outside ? right : at(index), y, "text-anchor": outside ? "end" : "middle" },
        label,
      ),
    ];
  });
}

// Stacked bars over time. `points` are `{label, name, values}`: short name, full name, and a
// number per `series` `{name, colour}`. `goal` draws a dashed line. The axis has round numbers
// of `unit`, formatted by `axisFormat`, and reaches at least `atLeast`.
export function bars(
  place,
  {
    title,
    summary,
    points,
    series,
    format = number,
    unit = 1,
    axisFormat = format,
    goal = null,
    atLeast = 0,
  },
) {
  if (!points.some(({ values }) => values.some((value) => value > 0)))
    return empty(place, t("all.nothing"));
  const sum = ({ values }) => values.reduce((all, value) => all + value, 0);
  const upTo = scale(
    points.map((point) => sum(point) / unit),
    Math.max(goal ?? 0, atLeast) / unit,
  );
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
        return svg("rect", {
          x: middle(index) - thick / 2,
          y,
          width: thick,
          height,
          rx: Math.min(3, thick / 4),
          fill: `var(${series[which].colour})`,
        });
      });
      const told = series
        .map(({ name }, which) => `${name}: ${format(point.values[which])}`)
        .join(", ");
      children.push(svg("g", {}, svg("title", {}, `${point.name}: ${told}`), parts));
    });
    if (goal !== null) {
      const y = tall - (goal / high) * tall + FONT / 2;
      children.push(
        svg(
          "line",
          {
            x1: left,
            x2: width,
            y1: y,
            y2: y,
            stroke: "var(--accent)",
            "stroke-dasharray": "5 4",
            "stroke-width": 2,
          },
          svg("title", {}, t("all.goalLine", { goal: format(goal) })),
        ),
      );
    }
    children.push(
      ...below(
        points.map(({ label }) => label),
        middle,
        tall + LINE + FONT / 2,
        left,
        width,
      ),
    );
    return { height: tall + LINE + FONT, children };
  };
  const table = {
    head: ["", ...series.map(({ name }) => name)],
    rows: points.map(({ name, values }) => [name, ...values.map(format)]),
  };
  figure(place, {
    title,
    summary,
    table,
    draw,
    series: series.length > 1 ? series : [],
    least: left + points.length * THINNEST,
  });
}

// A line chart. `points` are `{label, name, value}`; a null value is skipped. The axis reaches at
// least `most`.
export function line(place, { title, summary, points, format = number, column = title, most = 0 }) {
  const known = points.filter(({ value }) => value !== null);
  if (!known.length) return empty(place, t("all.nothing"));
  const upTo = scale(
    known.map(({ value }) => value),
    most,
  );
  const { high } = upTo;
  const draw = (width) => {
    const [left, tall] = [46, 170];
    const x = (index) => left + ((width - left - 10) * (index + 0.5)) / points.length;
    const y = (value) => tall - (value / high) * tall + FONT / 2;
    const path = points.flatMap(({ value }, index) =>
      value === null ? [] : [`${x(index)} ${y(value)}`],
    );
    return {
      height: tall + LINE + FONT,
      children: [
        ...axis(width, tall, left, upTo, format),
        svg("path", {
          d: `M${path.join("L")}`,
          fill: "none",
          stroke: "var(--accent)",
          "stroke-width": 2.5,
          "stroke-linejoin": "round",
        }),
        ...points.flatMap(({ name, value }, index) =>
          value === null
            ? []
            : [
                svg(
                  "circle",
                  {
                    cx: x(index),
                    cy: y(value),
                    r: points.length > 60 ? 2 : 4,
                    fill: "var(--accent)",
                  },
                  svg("title", {}, `${name}: ${format(value)}`),
                ),
              ],
        ),
        ...below(
          points.map(({ label }) => label),
          x,
          tall + LINE + FONT / 2,
          left,
          width,
        ),
      ],
    };
  };
  const table = {
    head: ["", column],
    rows: known.map(({ name, value }) => [name, format(value)]),
  };
  figure(place, { title, summary, table, draw });
}
