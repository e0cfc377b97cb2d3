// The first page: sign-in, starting a session, the running session, and its result.

import { CURRENT, begin, current, focusup, track } from "./account.js";
import {
  $,
  clock,
  duration,
  el,
  instant,
  notice,
  number,
  percent,
  say,
  show,
  t,
  wrong,
} from "./dom.js";
import { allow, refuse } from "./forms.js";
import { run } from "./running.js";
import { read } from "./tags.js";
import { welcome } from "./welcome.js";

const RECENT = 5;
const FIELDS = { targetMinutes: "minutes", title: "title", contentId: "content", tags: "tags" };
const MOST_MINUTES = 1440;
const form = $("#new");
let studying = false;

// Show only this part, and focus its title.
function only(part) {
  for (const id of ["setup", "running", "result"]) show($(`#${id}`), id === part);
  $(`#${part}-title`).focus();
}

// Track a session until it ends, and show the result.
async function study(id) {
  if (studying) return;
  studying = true;
  notice(null);
  only("running");
  const over = run(id);
  recent();
  try {
    ended(await over);
  } catch (error) {
    await lost(id, error);
  } finally {
    studying = false;
  }
  recent();
}

// Tracking failed: the session ended meanwhile, was deleted, or there is an error.
async function lost(id, error) {
  try {
    const { session } = await focusup.request("GET", `/api/sessions/${id}`);
    if (session.endedAt) {
      notice(null);
      ended({ session, stats: null });
      return;
    }
  } catch (unknown) {
    if (unknown.status === 404) error = null;
  }
  only("setup");
  notice(error);
}

function ended({ session, stats }) {
  only("result");
  say($("#result-title"), t(`study.ended.${session.status}`));
  say($("#final-score"), number(session.focusScore));
  const { completion, activityRatio, penalty } = session.scoreBreakdown;
  say(
    $("#formula"),
    t("study.formula", {
      done: percent(completion),
      active: percent(activityRatio),
      penalty: number(penalty, 1),
      score: number(session.focusScore),
    }),
  );
  const seconds = {
    active: session.activeSeconds,
    idle: session.idleSeconds,
    paused: session.pausedSeconds,
    away: session.awaySeconds,
  };
  const all = Object.values(seconds).reduce((sum, each) => sum + each, 0) || 1;
  $("#result-bar").replaceChildren(
    ...Object.entries(seconds).map(([kind, each]) => {
      const part = el("i");
      part.style.flex = each / all;
      part.style.background = `var(--${kind})`;
      return part;
    }),
  );
  $("#result-facts").replaceChildren(
    ...Object.entries(seconds).map(([kind, each]) => fact(kind, clock(each))),
    el("div", {}, el("dt", {}, t("study.tabSwitches")), el("dd", {}, number(session.tabSwitches))),
  );
  say($("#result-stats"), stats ? today(stats) : "");
}

const fact = (kind, text) =>
  el("div", {}, el("dt", { class: `dot is-${kind}` }, t(`all.kind.${kind}`)), el("dd", {}, text));

function today({ today: { minutes }, currentStreak }) {
  const done = minutes.goal
    ? t("study.todayGoal", { done: minutes.done, goal: minutes.goal })
    : t("study.today", { done: minutes.done });
  return `${done} ${t("study.streak", { count: currentStreak })}`;
}

async function recent() {
  let sessions;
  try {
    ({ sessions } = await focusup.request("GET", `/api/sessions?limit=${RECENT}`));
  } catch (error) {
    notice(error);
    return;
  }
  const others = sessions.filter(({ _id }) => _id !== current());
  $("#recent").replaceChildren(...others.map(row));
  show($("#recent-empty"), !others.length);
  const contents = new Set(sessions.map(({ contentId }) => contentId).filter(Boolean));
  $("#contents").replaceChildren(...[...contents].map((value) => el("option", { value })));
}

function row(session) {
  const open = session.status === "active" || session.status === "paused";
  return el(
    "li",
    {},
    el(
      "div",
      { class: "row between" },
      el("strong", { dir: "auto" }, session.title || session.contentId || t("study.session")),
      el("span", { class: `badge ${session.status}` }, t(`all.status.${session.status}`)),
    ),
    el(
      "div",
      { class: "row between soft small" },
      el(
        "time",
        { datetime: session.createdAt },
        instant(session.startedAt ?? session.createdAt, undefined, session.timeZone),
      ),
      el(
        "span",
        { class: "numbers" },
        t("study.rowTime", {
          time: duration(session.elapsedSeconds),
          target: duration(session.targetMinutes * 60),
        }),
      ),
      open && !studying
        ? el(
            "button",
            { type: "button", class: "secondary", onclick: () => study(session._id) },
            t("study.continue"),
          )
        : el(
            "span",
            { class: "numbers" },
            open ? "" : t("study.rowScore", { score: session.focusScore }),
          ),
    ),
  );
}

async function create(event) {
  event.preventDefault();
  if (studying) return;
  const { preset, minutes, title, contentId, tags, idleMode } = form;
  allow(FIELDS);
  say($("#new-wrong"), "");
  const targetMinutes = Number(preset.value || minutes.value);
  if (!(targetMinutes > 0 && targetMinutes <= MOST_MINUTES)) {
    wrong("minutes", t("all.field.targetMinutes"));
    minutes.focus();
    return;
  }
  const button = event.submitter ?? $("button", form);
  button.disabled = true;
  try {
    const { session } = await focusup.request("POST", "/api/sessions", {
      targetMinutes,
      title: title.value.trim() || null,
      contentId: contentId.value.trim() || null,
      tags: read(tags.value),
      idleMode: idleMode.value,
    });
    study(session._id);
  } catch (error) {
    say($("#new-wrong"), refuse(error, FIELDS));
  } finally {
    button.disabled = false;
  }
}

function prepare() {
  form.addEventListener("submit", create);
  form.addEventListener("change", ({ target }) => {
    if (target.name !== "preset") return;
    show($("#other-minutes"), target.value === "");
    if (target.value === "") form.minutes.focus();
  });
  $("#again").addEventListener("click", () => only("setup"));
  // Show a session that was started in another tab.
  addEventListener("storage", ({ key }) => {
    if (key === CURRENT && current()) study(current());
  });
  const { Notification } = globalThis;
  if (Notification && Notification.permission !== "denied") {
    show($("#notify-label"));
    $("#notify").checked = Notification.permission === "granted";
    $("#notify").addEventListener("change", async ({ target }) => {
      if (target.checked) target.checked = (await Notification.requestPermission()) === "granted";
    });
  }
}

function main() {
  const who = begin({ needed: false });
  if (!who) {
    welcome();
    return;
  }
  show($("#study"));
  prepare();
  if (current()) {
    study(current());
  } else {
    show($("#setup"));
    recent();
  }
}

main();
track();
