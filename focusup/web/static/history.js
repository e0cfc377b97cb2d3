// The session list, newest first, with search, filters and paging.

import { focusup } from "./account.js";
import { remove } from "./corrections.js";
import { beginOf, daysAfter } from "./dates.js";
import { $, duration, el, instant, say, sentence, show, t } from "./dom.js";
import { said } from "./forms.js";
import { tell } from "./timeline.js";

const PAGE = 20;
const form = $("#filters");
const known = { contents: new Set(), "tag-names": new Set() };
let zoneOf = null;
let changed = null;
let cursor = null;
let asked = 0;

// Filter dates are in the zone that `zone()` returns; `then` is called after a session changed.
// Returns a function that reloads the list.
export function history(zone, then) {
  [zoneOf, changed] = [zone, then];
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    list();
  });
  form.addEventListener("reset", () => setTimeout(list)); // once the fields are empty
  $("#more").addEventListener("click", () => list(cursor));
  list();
  return () => list();
}

function query(after) {
  const { q, status, content, tag, from, to } = form;
  const zone = zoneOf();
  const given = {
    q: q.value.trim(),
    status: status.value,
    contentId: content.value.trim(),
    tag: tag.value.trim(),
    from: from.value && beginOf(from.value, zone),
    to: to.value && beginOf(daysAfter(to.value, 1), zone),
    cursor: after,
    limit: PAGE,
  };
  return new URLSearchParams(Object.entries(given).filter(([, value]) => value));
}

async function list(after = null) {
  const turn = (asked += 1);
  say($("#history-wrong"), "");
  try {
    const { sessions, nextCursor } = await focusup.request("GET", `/api/sessions?${query(after)}`);
    if (turn !== asked) return; // something else was asked meanwhile
    cursor = nextCursor;
    const rows = sessions.map(row);
    if (after) $("#sessions").append(...rows);
    else $("#sessions").replaceChildren(...rows);
    sessions.forEach(learn);
    if (after) $("summary", rows[0])?.focus();
    count();
  } catch (error) {
    if (turn === asked) say($("#history-wrong"), sentence(error));
  }
}

function count() {
  const shown = $("#sessions").childElementCount;
  show($("#more"), cursor !== null);
  show($("#history-empty"), !shown);
  say($("#history-empty"), t("progress.foundNone"));
  say(
    $("#found"),
    shown ? t(cursor ? "progress.foundMore" : "progress.found", { count: shown }) : "",
  );
}

// Suggest subjects and tags of loaded sessions in the inputs.
function learn({ contentId, tags }) {
  const offer = (id, value) => {
    if (!value || known[id].has(value)) return;
    known[id].add(value);
    $(`#${id}`).append(el("option", { value }));
  };
  offer("contents", contentId);
  for (const tag of tags) offer("tag-names", tag);
}

const named = ({ title, contentId }) => title || contentId || t("progress.session");

function row(session) {
  const inside = el("div", { class: "inside" });
  const details = el(
    "details",
    {
      ontoggle: () => {
        if (details.open && !inside.childElementCount) open(session, item, inside);
      },
    },
    el(
      "summary",
      {},
      el(
        "span",
        { class: "what" },
        el("strong", { dir: "auto" }, named(session)),
        " ",
        el("span", { class: `badge ${session.status}` }, t(`all.status.${session.status}`)),
        " ",
        session.edited ? el("span", { class: "badge" }, t("progress.edited")) : null,
      ),
      el(
        "span",
        { class: "when soft small" },
        el(
          "time",
          { datetime: session.createdAt },
          instant(session.startedAt ?? session.createdAt, undefined, session.timeZone),
        ),
      ),
      el(
        "span",
        { class: "soft small numbers" },
        t("progress.rowTime", {
          time: duration(session.elapsedSeconds),
          target: duration(session.targetMinutes * 60),
        }),
      ),
      el(
        "span",
        { class: "points numbers" },
        session.focusScore === null ? "" : t("progress.rowScore", { score: session.focusScore }),
      ),
    ),
    inside,
  );
  const item = el("li", { "data-session": session._id }, details);
  return item;
}

async function open(session, item, inside) {
  inside.replaceChildren(el("p", { class: "soft" }, t("progress.loading")));
  try {
    await tell(inside, session._id, {
      change: (fresh) => replace(item, fresh),
      remove: (now) => drop(now, item),
    });
  } catch (error) {
    inside.replaceChildren(
      el("p", { class: "wrong", role: "alert" }, sentence(error)),
      el(
        "button",
        { type: "button", class: "secondary", onclick: () => open(session, item, inside) },
        t("progress.again"),
      ),
    );
  }
}

// Replace a changed session in place, and keep it open.
function replace(item, fresh) {
  const now = row(fresh);
  learn(fresh);
  item.replaceWith(now);
  $("details", now).open = true;
  $("summary", now).focus();
  said(t("progress.saved"));
  changed();
}

async function drop(session, item) {
  if (!(await remove(session, named(session)))) return;
  item.remove();
  count();
  $("#history-title").focus();
  said(t("progress.deleted", { name: named(session) }));
  changed();
}
