// All users, and the sessions of one user.

import { focusup } from "./account.js";
import { $, duration, el, instant, number, say, show, t } from "./dom.js";
import { fillTable, Pager } from "./rows.js";

const A_PAGE = 10;
const dialog = $("#user");
const named = ({ email, name, id }) => email ?? name ?? id;
const when = (iso) =>
  iso === null
    ? "–"
    : instant(iso, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" }, "UTC");
const score = (value) => (value === null ? "–" : number(value, 1));

const USERS = [
  { text: named },
  { text: ({ firstSeenAt }) => when(firstSeenAt) },
  { text: ({ sessions }) => number(sessions), number: true },
  { text: ({ completedSessions }) => number(completedSessions), number: true },
  { text: ({ focusedSeconds }) => duration(focusedSeconds), number: true },
  { text: ({ elapsedSeconds }) => duration(elapsedSeconds), number: true },
  { text: ({ meanFocusScore }) => score(meanFocusScore), number: true },
];
const SESSIONS = [
  { text: ({ title, contentId }) => title || contentId || t("admin.session") },
  { text: ({ status, tracked }) => t(tracked ? "admin.tracked" : `all.status.${status}`) },
  { text: ({ startedAt, createdAt }) => when(startedAt ?? createdAt) },
  { text: ({ targetMinutes }) => duration(Math.round(targetMinutes * 60)), number: true },
  { text: ({ activeSeconds }) => duration(activeSeconds), number: true },
  { text: ({ idleSeconds }) => duration(idleSeconds), number: true },
  { text: ({ tabSwitches }) => number(tabSwitches), number: true },
  { text: ({ focusScore }) => score(focusScore), number: true },
];

export function users(refresher) {
  const look = sessionsOf(refresher);
  const button = (user) =>
    el(
      "button",
      {
        type: "button",
        class: "secondary",
        onclick: () => look(user),
        "aria-label": t("admin.sessionsOf", { user: named(user) }),
      },
      t("admin.sessions"),
    );
  const pager = new Pager("users", () => source.again());
  const source = refresher.add(
    () => focusup.request("GET", `/api/admin/users?limit=${A_PAGE}${pager.query}`),
    (page) => {
      fillTable("users", page.users, { key: ({ id }) => id, columns: USERS, actions: button });
      pager.came(page.nextCursor);
    },
  );
}

// Open a dialog with a user's sessions, which are polled while it is open.
function sessionsOf(refresher) {
  let source = null;
  const pager = new Pager("sessions", () => source.again());
  dialog.addEventListener("close", () => refresher.remove(source));
  return (user) => {
    say($("#user-title"), t("admin.sessionsOf", { user: named(user) }));
    $("#sessions").replaceChildren();
    show($("#sessions-empty"), false);
    pager.first();
    dialog.showModal();
    source = refresher.add(
      () =>
        focusup.request(
          "GET",
          `/api/admin/users/${encodeURIComponent(user.id)}/sessions?limit=${A_PAGE}${pager.query}`,
        ),
      (page) => {
        fillTable("sessions", page.sessions, { key: ({ _id }) => _id, columns: SESSIONS });
        pager.came(page.nextCursor);
      },
    );
  };
}
