// A focus session that this page tracks.

import { Emitter, FocusUpError, backoff, closed, failed } from "./common.js";
import { Connection } from "./connection.js";

const END_ATTEMPTS = 8;
const HELD_SWITCHES = 100; // the server takes 200 at once

export class FocusSession extends Emitter {
  #focusup;
  #link;
  #options;
  #joining = null;
  #joined = false;
  #stopping = null;
  #over = false;
  #wish = null;
  #switches = 0;

  constructor(focusup, session, options = {}) {
    super(focusup.env);
    this.id = typeof session === "string" ? session : session._id;
    this.session = typeof session === "string" ? null : session;
    this.#focusup = focusup;
    this.#options = { updates: "tick", listen: true, ...options };
    const { listen } = this.#options;
    this.#link = new Connection(this.env, {
      address: () => focusup.socketAddress("/ws/sessions"),
      token: (refused) => focusup.token(refused),
      signs: listen,
    });
    this.#link.on("open", () => this.#join());
    this.#link.on("message", (message) => this.#hear(message));
    this.#link.on("problem", (error) => this.emit("error", error));
    this.#link.on("state", (detail) => this.#connection(detail));
    this.#link.on("shown", () => {
      if (listen) this.#link.sign();
    });
    this.#link.on("hidden", () => {
      if (listen) this.tabSwitch();
    });
  }

  static async create(focusup, fields, options) {
    const { session } = await focusup.request("POST", "/api/sessions", fields);
    return new FocusSession(focusup, session, options);
  }

  start() {
    if (this.#link.live) return Promise.resolve(this.session);
    const joined = this.#joinLater();
    this.#link.want();
    if (this.#link.state === "waiting") this.#link.wake();
    return joined;
  }

  pause() {
    return this.#steer("pause");
  }

  resume() {
    return this.#steer("resume");
  }

  stop(status = "completed") {
    this.#stopping ??= this.#end(status).finally(() => {
      this.#stopping = null;
    });
    return this.#stopping;
  }

  activity() {
    this.#link.sign();
  }

  tabSwitch() {
    const { live, state } = this.#link;
    if (live) this.#link.send("tabSwitch");
    else if (this.#joined && state !== "resting")
      this.#switches = Math.min(this.#switches + 1, HELD_SWITCHES);
  }

  release() {
    this.#leave(closed());
  }

  #joinLater() {
    if (!this.#joining) {
      const joining = {};
      joining.promise = new Promise((resolve, reject) =>
        Object.assign(joining, { resolve, reject }),
      );
      joining.promise.catch(() => {});
      this.#joining = joining;
    }
    return this.#joining.promise;
  }

  async #join() {
    let message;
    try {
      message = await this.#link.ask("start", {
        sessionId: this.id,
        updates: this.#options.updates,
        ...(!this.env.visible() && { visible: false }),
      });
    } catch (error) {
      this.#notJoined(error);
      return;
    }
    this.session = message.session;
    this.#joined = true;
    this.#link.begun(message.idleThresholdSeconds);
    for (; this.#switches > 0; this.#switches -= 1) this.#link.send("tabSwitch");
    this.emit("started", message);
    this.#joining?.resolve(this.session);
    this.#joining = null;
  }

  #notJoined(error) {
    if (error.code === "offline" || error.code === "closed") return;
    if (error.code === "session_ended" && this.#joined) {
      this.#endedMeanwhile(error);
      return;
    }
    this.emit("error", error);
    if (error.retryable) this.#link.again();
    else this.#leave(error);
  }

  async #endedMeanwhile(ended) {
    this.#leave(ended);
    try {
      const { session } = await this.#focusup.request("GET", `/api/sessions/${this.id}`);
      this.#stopped(toldByRest(session));
    } catch {
      this.emit("error", ended);
    }
  }

  async #steer(type) {
    if (this.#link.state === "closed") throw failed("not_started", "Call `start` first.", false);
    const wish = (this.#wish = {});
    this.#link.returned();
    for (;;) {
      if (!this.#link.live) {
        await this.#joinLater();
        if (wish !== this.#wish) throw failed("replaced", "Replaced by a later call.", false);
      }
      try {
        const message = await this.#link.ask(type);
        this.emit(message.type, message);
        return message;
      } catch (error) {
        if (error.code !== "offline") throw error;
      }
    }
  }

  async #end(status) {
    try {
      if (this.#link.open) return (await this.#link.ask("stop", { status })).session;
    } catch {
      /* it may have ended or not: REST ends it once, however often it is asked */
    }
    this.#leave(closed());
    const session = await this.#endByRest(status);
    this.#stopped(toldByRest(session));
    return session;
  }

  async #endByRest(status) {
    for (let failures = 0; ; failures += 1) {
      try {
        const path = `/api/sessions/${this.id}/end`;
        return (await this.#focusup.request("PUT", path, { status }, { keepalive: true })).session;
      } catch (error) {
        if (!error.retryable || failures + 1 >= END_ATTEMPTS) throw error;
        const wait = Math.max(backoff(this.env, failures), (error.retryAfter ?? 0) * 1000);
        await new Promise((resolve) => this.env.setTimeout(resolve, wait));
      }
    }
  }

  #hear(message) {
    if (message.type === "stopped") {
      this.#stopped(message);
    } else if (message.type === "error") {
      if (message.id === null) this.emit("error", new FocusUpError(message.message, message));
    } else if (message.id === undefined) {
      if (typeof message.idle === "boolean") this.#link.idle = message.idle;
      this.emit(message.type, message);
    }
  }

  #stopped(message) {
    this.session = message.session;
    if (!this.#over) {
      this.#over = true;
      this.emit("stopped", message);
    }
    this.#leave(closed());
  }

  #connection({ state, code, error }) {
    this.emit("connection", { state, code });
    if (!error) return;
    this.emit("error", error);
    this.#leave(error);
  }

  #leave(error) {
    this.#joined = false;
    this.#switches = 0;
    this.#joining?.reject(error);
    this.#joining = null;
    this.#link.close();
  }
}

function toldByRest(session) {
  const { focusScore, scoreBreakdown } = session;
  return { type: "stopped", session, focusScore, scoreBreakdown, stats: null };
}
