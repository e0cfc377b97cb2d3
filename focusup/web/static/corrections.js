// Dialogs that edit a session, mark a segment as active, or delete the session. Each resolves
// with the changed session, or with null if nothing was changed.

import { focusup } from "./account.js";
import { $, duration, say, t } from "./dom.js";
import { ask } from "./forms.js";
import { read, written } from "./tags.js";

const FIELDS = {
  title: "edit-name",
  contentId: "edit-content",
  tags: "edit-tags",
  notes: "edit-notes",
  targetMinutes: "edit-target",
  activeSeconds: "edit-active",
  idleSeconds: "edit-idle",
  tabSwitches: "edit-tabs",
};
const path = ({ _id }) => `/api/sessions/${_id}`;

export function edit(session) {
  const dialog = $("#edit");
  const form = $("form", dialog);
  const before = {
    edit_name: session.title ?? "",
    edit_content: session.contentId ?? "",
    edit_tags: written(session.tags),
    edit_notes: session.notes ?? "",
    edit_target: session.targetMinutes,
    edit_active: session.activeSeconds,
    edit_idle: session.idleSeconds,
    edit_tabs: session.tabSwitches,
  };
  for (const [name, value] of Object.entries(before)) form[name].value = value;
  const counters = $("#counters");
  counters.open = false;
  say(
    $("#counters-more"),
    t(session.tracked ? "progress.countersTracked" : "progress.countersMore"),
  );
  for (const name of ["edit_active", "edit_idle", "edit_tabs"]) {
    form[name].disabled = session.tracked;
    form[name].oninvalid = () => {
      counters.open = true;
    };
  }
  return ask(
    dialog,
    async () => {
      const changes = changesIn(form, session);
      if (!Object.keys(changes).length) return null;
      return (await focusup.request("PUT", path(session), changes)).session;
    },
    FIELDS,
  );
}

// Only changed counters: sending one marks the session as edited.
function changesIn(form, session) {
  const now = {
    title: form.edit_name.value.trim() || null,
    contentId: form.edit_content.value.trim() || null,
    tags: read(form.edit_tags.value),
    notes: form.edit_notes.value.trim() || null,
    targetMinutes: Number(form.edit_target.value),
    ...(session.tracked
      ? {}
      : {
          activeSeconds: Number(form.edit_active.value),
          idleSeconds: Number(form.edit_idle.value),
          tabSwitches: Number(form.edit_tabs.value),
        }),
  };
  return Object.fromEntries(
    Object.entries(now).filter(
      ([name, value]) => JSON.stringify(value ?? null) !== JSON.stringify(session[name] ?? null),
    ),
  );
}

// `told` describes the segment.
export function reassign(session, run, told) {
  const dialog = $("#reassign");
  const reason = $("#reason");
  reason.value = "";
  say($("#reassign-run"), t("progress.reassignRun", { run: told, time: duration(run.seconds) }));
  return ask(
    dialog,
    async () => {
      const body = { startedAt: run.startedAt, reason: reason.value };
      return (await focusup.request("POST", `${path(session)}/reassign`, body)).session;
    },
    { reason: "reason" },
  );
}

export function remove(session, name) {
  say($("#delete-what"), t("progress.deleteWhat", { name, time: duration(session.activeSeconds) }));
  return ask($("#delete"), async () => {
    await focusup.request("DELETE", path(session));
    return session;
  });
}
