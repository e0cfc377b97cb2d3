// Page engagement: visible time of pages, and the part in which users were engaged.

import { focusup } from "./account.js";
import { bars } from "./charts.js";
import { $, $$, day, duration, el, instant, number, say, show, t } from "./dom.js";
import { fillRow, fillTable } from "./rows.js";

const DAY_MS = 86_400_000;
const MOST_DAYS_BY_HOUR = 31;
const FEW = 20,
  MOST = 100;
const form = $("#range");
const sort = $("#sort");

const optional = (seconds) => (seconds === null ? "–" : duration(seconds));
const seconds = (kind) => [
  { text: (row) => duration(row[kind].total), number: true, share: (row) => row[kind].share },
  { text: (row) => optional(row[kind].mean), number: true },
  { text: (row) => optional(row[kind].median), number: true },
];
const COLUMNS = [
  { text: ({ page }) => page },
  ...["views", "neverVisible", "visitors"].map((name) => ({
    text: (row) => number(row[name]),
    number: true,
  })),
  ...seconds("visibleSeconds"),
  ...seconds("engagedSeconds"),
];

export function engagement(refresher) {
  let limit = FEW;
  const since = () =>
    `from=${new Date(Date.now() - (form.days.value - 1) * DAY_MS).toISOString().slice(0, 10)}`;
  const ask = async (path) => {
    const { asOf, ...rest } = await focusup.request("GET", path); // `asOf` alone is no change
    return rest;
  };
  const pages = refresher.add(
    () => ask(`/api/stats/pages?${since()}&by=${form.by.value}&sort=${sort.value}&limit=${limit}`),
    pagesCame,
  );
  const users = refresher.add(async () => {
    const {
      stats: { asOf, ...rest },
    } = await focusup.request("GET", `/api/stats?${since()}`);
    return rest;
  }, usersCame);
  form.addEventListener("change", () => {
    const [byDay, byHour] = form.by;
    byHour.disabled = form.days.value > MOST_DAYS_BY_HOUR;
    if (byHour.disabled) byDay.checked = true;
    pages.again();
    users.again();
  });
  sort.addEventListener("change", () => pages.again());
  $("#more").addEventListener("click", () => {
    limit = MOST;
    $("#pages-table").focus(); // the button goes with the answer
    pages.again();
  });
}

function usersCame({ users, visitors, views, neverVisible, visibleSeconds, engagedSeconds }) {
  const facts = {
    users: number(users),
    visitors: number(visitors),
    views: number(views),
    neverVisible: number(neverVisible),
    visiblePerUser: optional(visibleSeconds.perUser),
    engagedPerUser: optional(engagedSeconds.perUser),
  };
  for (const [name, text] of Object.entries(facts)) say($(`#fact-${name}`), text);
}

function pagesCame({ from, to, pages, pageCount, total, series }) {
  const last = new Date(Date.parse(to) - DAY_MS).toISOString().slice(0, 10);
  say(
    $("#range-told"),
    from === last ? day(from) : t("admin.range", { from: day(from), to: day(last) }),
  );
  charts(series, from === last);
  const most = { visibleSeconds: 1, engagedSeconds: 1 };
  for (const row of pages)
    for (const kind in most) most[kind] = Math.max(most[kind], row[kind].total);
  const shared = (row) =>
    Object.fromEntries(
      Object.keys(most).map((kind) => [
        kind,
        { ...row[kind], share: row[kind].total / most[kind] },
      ]),
    );
  fillTable(
    "pages",
    pages.map((row) => ({ ...row, ...shared(row) })),
    { key: ({ page }) => page, columns: COLUMNS },
  );
  const foot = $("#pages-total");
  if (!foot.children.length) {
    foot.append(
      el(
        "tr",
        {},
        COLUMNS.map((_, index) => (index ? el("td", { class: "n" }) : el("th", { scope: "row" }))),
      ),
    );
  }
  fillRow(
    foot.firstElementChild,
    { ...total, page: t("admin.allPages") },
    COLUMNS.map(({ text }) => ({ text })),
  );
  for (const head of $$("[data-sorted]")) {
    const sorted = head.dataset.sorted === sort.value;
    if (sorted) head.setAttribute("aria-sort", sort.value === "page" ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  }
  say(
    $("#pages-told"),
    pages.length ? t("admin.pagesOf", { shown: pages.length, all: pageCount }) : "",
  );
  show($("#more"), pages.length < Math.min(pageCount, MOST));
}

function charts(series, oneDay) {
  const byHour = form.by.value === "hour";
  /** @type {Intl.DateTimeFormatOptions} */
  const hour = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  /** @type {Intl.DateTimeFormatOptions} */
  const date = { day: "numeric", month: "short" };
  const short = !byHour ? date : oneDay ? hour : { ...date, ...hour };
  const points = (values) =>
    series.map((moment) => ({
      label: instant(moment.at, short, "UTC"),
      name: instant(moment.at, { ...date, year: "numeric", ...(byHour && hour) }, "UTC"),
      values: values(moment),
    }));
  const sum = (of) => series.reduce((all, moment) => all + of(moment), 0);
  bars($("#views"), {
    title: t("admin.views"),
    summary: t("admin.viewsMore", {
      views: sum(({ views }) => views),
      never: sum(({ neverVisible }) => neverVisible),
    }),
    points: points(({ views, neverVisible }) => [views - neverVisible, neverVisible]),
    series: [
      { name: t("admin.series.seen"), colour: "--accent" },
      { name: t("admin.series.neverSeen"), colour: "--away" },
    ],
  });
  const [visible, engaged] = [
    (moment) => moment.visibleSeconds.total,
    (moment) => moment.engagedSeconds.total,
  ];
  const unit = unitFor(Math.max(...series.map(visible)));
  bars($("#time"), {
    title: t("admin.time"),
    summary: t("admin.timeMore", {
      visible: duration(sum(visible)),
      engaged: duration(sum(engaged)),
    }),
    points: points((moment) =>
      [engaged(moment), visible(moment) - engaged(moment)].map((each) => each / unit.seconds),
    ),
    series: [
      { name: t("admin.series.engaged"), colour: "--active" },
      { name: t("admin.series.notEngaged"), colour: "--idle" },
    ],
    format: unit.format,
  });
}

// The unit for long times.
function unitFor(most) {
  const [name, length] =
    most > 7200 ? ["hours", 3600] : most > 120 ? ["minutes", 60] : ["seconds", 1];
  return { seconds: length, format: (value) => t(`all.${name}`, { [name]: number(value, 1) }) };
}
