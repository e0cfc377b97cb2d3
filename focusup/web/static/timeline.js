// Details of a session: its timeline, the formula of its score, and its edits.

import { focusup } from "./account.js";
import { edit, reassign } from "./corrections.js";
import { clock, el, instant, number, percent, t } from "./dom.js";
import { strip } from "./grids.js";

const KINDS = ["active", "idle", "paused", "away"];
const FINAL = new Set(["completed", "abandoned", "cancelled"]);

// Show a session in `place`. `change` is called with the session after each edit, `remove` after
// a request to delete it.
export async function tell(place, id, { change, remove }) {
  const path = `/api/sessions/${id}`;
  const [{ session }, { timeline }] = await Promise.all([
    focusup.request("GET", path),
    focusup.request("GET", `${path}/timeline`),
  ]);
  const changes = async (made) => {
    const fresh = await made;
    if (fresh) change(fresh);
  };
  const ended = FINAL.has(session.status);
  const picture = el("div", { id: `strip-${id}` });
  place.replaceChildren(
    ...[
      picture,
      facts(session),
      ended ? score(session) : el("p", {}, el("a", { href: "/" }, t("progress.goOn"))),
      labels(session),
      edits(timeline),
      el(
        "div",
        { class: "row" },
        el(
          "button",
          { type: "button", class: "secondary", onclick: () => changes(edit(session)) },
          t("progress.edit"),
        ),
        el(
          "button",
          { type: "button", class: "danger", onclick: () => remove(session) },
          t("progress.delete"),
        ),
      ),
    ].filter(Boolean),
  );
  draw(
    picture,
    session,
    timeline,
    ended ? (run, told) => changes(reassign(session, run, told)) : null,
  );
}

// `move`, if given, is called with a segment that can be marked as active, and its description.
function draw(place, session, timeline, move) {
  const at = (milliseconds) => instant(milliseconds, { timeStyle: "medium" }, timeline.timeZone);
  // Manual seconds have no time of day.
  const span = ({ startedAt, seconds, enteredFor }) =>
    startedAt === null
      ? instant(enteredFor, { dateStyle: "medium" }, timeline.timeZone)
      : `${at(startedAt)} – ${at(Date.parse(startedAt) + seconds * 1000)}`;
  const told = (run) =>
    t("progress.run", {
      span: span(run),
      kind: t(`all.kind.${run.kind}`),
      time: clock(run.seconds),
    });
  const movable = ({ kind, seconds }) =>
    Boolean(move) && seconds > 0 && (kind === "idle" || kind === "away");
  const correct = (run) =>
    el(
      "button",
      {
        type: "button",
        class: "quiet little",
        "aria-label": t("progress.correctOne", { run: told(run) }),
        onclick: () => move(run, told(run)),
      },
      t("progress.correct"),
    );
  const cells = (run) => [
    el("span", { class: `dot is-${run.kind}` }, t(`all.kind.${run.kind}`)),
    clock(run.seconds),
    movable(run) ? correct(run) : "",
    run.startedAt === null ? span(run) : at(run.startedAt),
    run.tabSwitches === null ? "" : number(run.tabSwitches),
  ];
  const { runs } = timeline;
  strip(place, {
    title: t("progress.timeline"),
    summary: timeline.startedAt
      ? t("progress.timelineSum", {
          from: instant(timeline.startedAt, undefined, timeline.timeZone),
          zone: timeline.timeZone,
          count: runs.length,
        })
      : t("progress.notStarted"),
    runs: runs.map((run) => ({ kind: run.kind, seconds: run.seconds, told: told(run) })),
    table: {
      label: t("progress.runByRun"),
      head: [
        t("progress.kind"),
        t("progress.lasted"),
        t("progress.change"),
        t("progress.begun"),
        t("progress.tabs"),
      ],
      rows: runs.map(cells),
    },
    choose:
      move &&
      ((index) => {
        if (movable(runs[index])) move(runs[index], told(runs[index]));
      }),
  });
}

function facts(session) {
  const fact = (name, value, kind = null) =>
    el("div", {}, el("dt", { class: kind && `dot is-${kind}` }, name), el("dd", {}, value));
  return el(
    "dl",
    { class: "facts" },
    KINDS.map((kind) => fact(t(`all.kind.${kind}`), clock(session[`${kind}Seconds`]), kind)),
    fact(t("progress.tabSwitches"), number(session.tabSwitches)),
    fact(t("progress.target"), number(session.targetMinutes, 2)),
  );
}

function score({ focusScore, scoreBreakdown: { completion, activityRatio, penalty } }) {
  return el(
    "div",
    { class: "why" },
    el(
      "p",
      { class: "score" },
      el("span", {}, t("progress.score")),
      " ",
      el("b", {}, number(focusScore)),
    ),
    el(
      "p",
      { class: "numbers" },
      t("progress.formula", {
        done: percent(completion),
        active: percent(activityRatio),
        penalty: number(penalty, 1),
        score: focusScore,
      }),
    ),
    el("p", { class: "soft small" }, t("progress.formulaMore")),
  );
}

function labels({ contentId, tags, notes }) {
  if (!contentId && !tags.length && !notes) return null;
  return el(
    "div",
    { class: "labels" },
    contentId || tags.length
      ? el(
          "p",
          { class: "row" },
          contentId
            ? el("span", { class: "badge" }, t("progress.contentIs", { content: contentId }))
            : null,
          tags.map((tag) => el("span", { class: "badge" }, t("progress.tagIs", { tag }))),
        )
      : null,
    notes ? el("p", { class: "notes" }, notes) : null,
  );
}

// Edits, newest first, each with the values before it.
function edits({ edits: all, timeZone }) {
  if (!all.length) return null;
  const told = ({ editedAt, what, reason, before }) =>
    el(
      "li",
      {},
      el(
        "p",
        {},
        el("strong", {}, t(`progress.edit.${what}`)),
        " ",
        el("span", { class: "soft small" }, instant(editedAt, undefined, timeZone)),
      ),
      reason ? el("p", { class: "notes" }, t("progress.because", { reason })) : null,
      el(
        "p",
        { class: "soft small numbers" },
        t("progress.before", {
          active: clock(before.activeSeconds),
          idle: clock(before.idleSeconds),
          away: clock(before.awaySeconds),
          tabs: before.tabSwitches,
          target: t("all.minutes", { minutes: number(before.targetMinutes, 2) }),
          score: before.focusScore === null ? "–" : before.focusScore,
        }),
      ),
    );
  return el(
    "details",
    { class: "edits" },
    el("summary", {}, t("progress.edits", { count: all.length })),
    el("ul", { class: "plain" }, [...all].reverse().map(told)),
  );
}
