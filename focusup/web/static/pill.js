// The running session on pages other than the study page: it is tracked there as well, and a link
// in the header shows its state.

import { CURRENT, current, focusup } from "./account.js";
import { $, clock, say, show, t } from "./dom.js";

const title = document.title;

// `changed` is called after the session has ended.
export function pill(changed = () => {}) {
  let session = null;
  const place = $("[data-running]");

  const over = () => {
    session = null;
    show(place, false);
    document.title = title;
  };

  const tell = (counters, state) => {
    const left = Math.round(session.session.targetMinutes * 60) - counters.elapsedSeconds;
    const shown = left < 0 ? `+${clock(-left)}` : clock(left);
    say($("b", place), shown);
    say($("span", place), t(`all.running.${state}`));
    place.className = `running-pill dot is-${state === "waiting" ? "away" : state}`;
    document.title = `${shown} · ${title}`;
    show(place);
  };

  const follow = () => {
    const id = current();
    if (!id || session?.id === id) return;
    session?.release();
    session = focusup.session(id);
    session.on("started", (message) =>
      tell(message.session, message.session.status === "paused" ? "paused" : "active"),
    );
    session.on("tick", (tick) => tell(tick, tick.idle ? "idle" : "active"));
    session.on("paused", (message) => tell(message, "paused"));
    session.on("resumed", (message) => tell(message, "active"));
    session.on("connection", ({ state }) => {
      if (state === "waiting") say($("span", place), t("all.running.waiting"));
    });
    session.on("stopped", () => {
      if (current() === id) localStorage.removeItem(CURRENT);
      over();
      changed();
    });
    session.start().catch(over);
  };

  follow();
  addEventListener("storage", ({ key }) => {
    if (key === CURRENT) follow();
  });
}
