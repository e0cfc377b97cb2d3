// The running session: its state, buttons and keys. Every number comes from the server.

import { CURRENT, current, focusup } from "./account.js";
import { $, clock, notice, number, say, show, t } from "./dom.js";
import { announce, blank, showCounters, title } from "./running_view.js";
import { moved } from "./score.js";

const WARN_BEFORE_S = 5;
const AWAY_SHOWN_TICKS = 15;
const TOO_MANY = 4429; // a close code: docs/protocol.md
const SILENT_MS = 3_000; // ticks come each second
const SIGNS = ["pointermove", "pointerdown", "keydown", "wheel", "touchmove", "visibilitychange"];

// Track and show this session until it ends. Resolves with `{session, stats}`; rejects if it can't
// be tracked (any more).
export function run(id) {
  return new Running(id).run();
}

class Running {
  #id;
  #session;
  #target = 25;
  #idleAfter = 15;
  #signedAt = Date.now();
  #before = null;
  #paused = false;
  #wished = false;
  #idle = false;
  #link = "connecting";
  #began = false;
  #silent = false;
  #crowded = false;
  #stopping = false;
  #superseded = false;
  #degraded = false;
  #away = 0;
  #awayTicks = 0;
  #wrong = null;
  #offs = [];
  #done;
  #failed;
  #patience = null;
  #counters = null;

  constructor(id) {
    this.#id = id;
    this.#session = focusup.session(id);
  }

  async run() {
    localStorage.setItem(CURRENT, this.#id);
    const over = new Promise((resolve, reject) => ([this.#done, this.#failed] = [resolve, reject]));
    blank();
    this.#hear();
    this.#listen();
    this.#start();
    try {
      return await over;
    } finally {
      clearTimeout(this.#patience);
      for (const off of this.#offs.splice(0)) off();
      this.#session.release();
      if (current() === this.#id) localStorage.removeItem(CURRENT);
      $("#ending").close();
      document.title = title;
    }
  }

  #start() {
    this.#session.start().catch((error) => {
      if (!this.#stopping) this.#failed(error);
    });
  }

  #hear() {
    const events = {
      started: (message) => this.#started(message),
      tick: (tick) => this.#tick(tick),
      paused: (message) => this.#turned(true, message),
      resumed: (message) => this.#turned(false, message),
      targetReached: () => announce(t("study.reached")),
      goalReached: ({ goal }) => announce(t(`study.goal.${goal}`)),
      degraded: () => {
        this.#degraded = true;
        this.#banner();
      },
      recovered: () => {
        this.#degraded = false;
        this.#banner();
      },
      superseded: () => {
        this.#superseded = true;
        this.#banner();
      },
      connection: ({ state, code }) => this.#connection(state, code),
      stopped: ({ session, stats }) => this.#done({ session, stats }),
      error: (error) => this.#error(error),
    };
    for (const [type, act] of Object.entries(events)) {
      this.#offs.push(this.#session.on(/** @type {any} */ (type), act));
    }
  }

  #listen() {
    const listen = (target, type, act, options) => {
      target.addEventListener(type, act, options);
      this.#offs.push(() => target.removeEventListener(type, act, options));
    };
    const sign = ({ isTrusted }) => {
      if (isTrusted) this.#signedAt = Date.now();
    };
    for (const type of SIGNS) listen(document, type, sign, { passive: true, capture: true });
    listen(globalThis, "offline", () => this.#hush(true));
    listen(globalThis, "online", () => {
      if (this.#paused) this.#hush(false);
    }); // else a tick says so
    listen($("#pause"), "click", () => this.#toggle());
    listen($("#stop"), "click", () => this.#ask());
    listen(document, "keydown", (event) => this.#key(event));
    listen($("#ending"), "close", ({ target }) => {
      if (target.returnValue) this.#stop(target.returnValue);
    });
  }

  #key(event) {
    if ($("#ending").open || event.repeat) return;
    const { key, target } = event;
    if (key === "Escape") this.#ask();
    else if (key === " " && !target.closest("button, a, input, select, textarea, summary"))
      this.#toggle();
    else return;
    event.preventDefault();
  }

  #ask() {
    $("#ending").returnValue = "";
    $("#ending").showModal();
  }

  // The button changes at once; without a connection the server follows later.
  async #toggle() {
    this.#wish(!this.#wished);
    try {
      await (this.#wished ? this.#session.pause() : this.#session.resume());
    } catch (error) {
      if (error.code === "replaced" || error.code === "closed") return; // by a later wish, or the end
      notice(error);
      this.#wish(this.#paused);
    }
  }

  #wish(paused) {
    this.#wished = paused;
    say($("#pause"), t(paused ? "study.resume" : "study.pause"));
  }

  async #stop(status) {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#banner();
    try {
      await this.#session.stop(status);
    } catch (error) {
      this.#stopping = false;
      notice(error);
      this.#start(); // it could not be ended, so it goes on
    }
  }

  #started({ session, idleThresholdSeconds }) {
    this.#began = true;
    this.#target = session.targetMinutes;
    this.#idleAfter = idleThresholdSeconds;
    this.#superseded = this.#degraded = this.#idle = this.#silent = false;
    this.#before = null;
    this.#away = session.awaySeconds;
    this.#awayTicks = 0;
    notice(null);
    say($("#running-title"), session.title || session.contentId || t("study.session"));
    this.#turned(session.status === "paused", session);
    this.#banner();
  }

  #turned(paused, counters) {
    this.#paused = paused;
    this.#expect();
    this.#wish(paused);
    this.#signedAt = Date.now();
    this.#warn(false);
    this.#show(counters);
  }

  // While the session is counted, a missing tick means a lost connection.
  #expect() {
    clearTimeout(this.#patience);
    if (!this.#paused) this.#patience = setTimeout(() => this.#hush(true), SILENT_MS);
    if (this.#silent) this.#hush(false);
  }

  #hush(silent) {
    this.#silent = silent;
    if (silent) this.#warn(false);
    this.#banner();
    if (this.#counters) this.#show(this.#counters);
  }

  #tick(tick) {
    this.#expect();
    const change = this.#before && moved(this.#before, tick, this.#target);
    if (change) say($("#moved"), t(`study.moved.${change.reason}`, { by: signed(change.by) }));
    this.#before = tick;
    this.#idle = tick.idle;
    this.#awayTicks += 1;
    if (this.#awayTicks === AWAY_SHOWN_TICKS) this.#banner();
    say($("#score"), number(tick.focusScore));
    this.#show(tick);
    this.#warn(true);
  }

  #show(counters) {
    this.#counters = counters;
    const state = this.#lost() ? "away" : this.#paused ? "paused" : this.#idle ? "idle" : "active";
    const now = this.#lost() && !this.#superseded ? t("study.connecting") : t(`all.kind.${state}`);
    showCounters(counters, { targetMinutes: this.#target, state, now });
  }

  // Warn shortly before the user is marked idle.
  #warn(ticking) {
    const left = this.#idleAfter - (Date.now() - this.#signedAt) / 1000;
    const soon = ticking && !this.#idle && left <= Math.min(WARN_BEFORE_S, this.#idleAfter / 2);
    const idle = ticking && this.#idle;
    say($("#warning"), idle ? t("study.isIdle") : soon ? t("study.soonIdle") : "");
    show($("#warning"), idle || soon);
  }

  #connection(state, code) {
    this.#link = state;
    this.#crowded = state === "waiting" && code === TOO_MANY;
    if (state !== "open") {
      this.#warn(false);
      clearTimeout(this.#patience);
    }
    this.#banner();
    if (this.#counters) this.#show(this.#counters);
    // The `error` event that explains this may come before or after it.
    if (state === "closed")
      queueMicrotask(() => {
        if (!this.#stopping) this.#failed(this.#wrong);
      });
  }

  #error(error) {
    this.#wrong = error;
    if (!error.retryable) notice(error);
  }

  #lost() {
    return this.#link === "waiting" || (this.#began && this.#link !== "open") || this.#silent;
  }

  // Show the most important notice about the connection.
  #banner() {
    const away = this.#away > 0 && this.#awayTicks < AWAY_SHOWN_TICKS;
    const text = this.#stopping
      ? t("study.stopping")
      : this.#superseded
        ? t("study.superseded")
        : this.#crowded
          ? t("study.tooManyTabs")
          : this.#lost()
            ? t("study.reconnecting")
            : this.#degraded
              ? t("study.degraded")
              : away
                ? t("study.wasAway", { time: clock(this.#away) })
                : "";
    $("#ring").classList.toggle("resting", this.#link !== "open" || this.#silent);
    say($("#connection"), text);
    show($("#connection"), Boolean(text));
  }
}

const signed = (points) => (points > 0 ? `+${number(points)}` : number(points));
