// A socket that reconnects until `close`. No message tells a position or a key, no address a token.

import {
  AFTER_CLOSE,
  Emitter,
  Questions,
  Timers,
  activated,
  attend,
  backoff,
  closed,
  failed,
  json,
  offline,
  refusal,
} from "./common.js";

const SUBPROTOCOL = "focusup.v1";
const OPEN_WITHIN_MS = 15_000;
const SPREAD_MS = 3_000;
const TOO_MANY_RETRY_MS = 60_000;
const RENEW_EVERY_MS = 10_000; // short tokens are always expiring
const LOOK_EVERY_MS = 5_000;
const SILENT_LOOKS = 3;
const SLEPT_MS = 20_000; // a timer that late: the machine slept
const PROBE_WITHIN_MS = 5_000;
const SIGN_EVERY_MS = 5_000;
const SIGNS_PER_THRESHOLD = 3; // one may be late

export class Connection extends Emitter {
  #address;
  #token;
  #signs;
  #wanted = false;
  #attempt = 0;
  #socket = null;
  #used = null;
  #failures = 0;
  #refreshed = false;
  #patient = false;
  #renewedAt = -Infinity;
  #silent = 0;
  #held = false;
  #signEvery = SIGN_EVERY_MS;
  #questions;
  #timers;
  #unattend = null;
  state = "closed";
  ready = false; // the server counts
  idle = false;

  constructor(env, { address, token, signs = true }) {
    super(env);
    this.#questions = new Questions(env);
    this.#timers = new Timers(env);
    this.#address = address;
    this.#token = token;
    this.#signs = signs;
  }

  want() {
    if (!this.#wanted) {
      this.#wanted = true;
      this.#failures = 0;
      this.#refreshed = false;
      this.#unattend = attend(this.env, {
        sign: () => {
          if (this.#signs) this.sign();
        },
        wake: () => this.wake(),
        shown: () => {
          this.wake();
          this.returned();
          this.emit("shown");
        },
        hidden: () => this.emit("hidden"),
        left: () => this.#rest(),
      });
    }
    if (this.state === "closed" || this.state === "resting") this.#connect();
  }

  close(error) {
    if (!this.#wanted) return;
    this.#wanted = false;
    this.#unattend();
    this.#drop(error ?? closed());
    this.#tell("closed", error?.status, error);
  }

  get open() {
    return this.#socket?.readyState === 1;
  }

  get live() {
    return this.ready && this.open;
  }

  send(type, fields) {
    if (!this.open) return false;
    this.#socket.send(json({ type, ...fields }));
    return true;
  }

  ask(type, fields) {
    return this.#questions.ask((id) => this.send(type, { ...fields, id }));
  }

  begun(idleThresholdSeconds) {
    if (!this.open) return;
    this.ready = true;
    this.#refreshed = false;
    const most = (idleThresholdSeconds * 1000) / SIGNS_PER_THRESHOLD;
    this.#signEvery = most ? Math.min(SIGN_EVERY_MS, most) : SIGN_EVERY_MS;
    this.#signed();
  }

  // Sent at once, then once an interval; the last one is never dropped.
  sign() {
    this.returned();
    if (!this.ready) return;
    if (this.#timers.has("quiet") && !this.idle) this.#held = true;
    else if (this.send("activity")) this.#signed();
  }

  // A socket that died while the machine slept still seems open.
  wake() {
    if (this.state === "waiting" && !this.#patient) this.#connect();
    else if (this.state === "open") this.#probe();
  }

  returned() {
    if (this.state === "resting") this.#connect();
  }

  again() {
    this.#drop(offline("The server asked to try again."));
    if (this.#wanted) this.#wait(0);
  }

  async #connect(refused) {
    const attempt = ++this.#attempt;
    this.#timers.cancel("retry");
    this.#tell("connecting");
    let token;
    try {
      await activated(this.env);
      token = await this.#token(refused);
    } catch (error) {
      if (attempt !== this.#attempt) return;
      this.emit("problem", error);
      if (attempt === this.#attempt) this.#wait(0);
      return;
    }
    if (attempt !== this.#attempt) return;
    if (refused !== undefined && token === refused) this.close(refusal(4401));
    else this.#open(token);
  }

  #open(token) {
    let socket;
    try {
      socket = new this.env.WebSocket(
        this.#address(),
        token ? [SUBPROTOCOL, `bearer.${token}`] : [SUBPROTOCOL],
      );
    } catch (error) {
      this.close(failed("refused", error.message, false, { cause: error }));
      return;
    }
    this.#socket = socket;
    this.#used = token;
    const ours = (act) => (event) => {
      if (socket === this.#socket) act(event);
    };
    socket.onopen = ours(() => this.#opened());
    socket.onmessage = ours(({ data }) => this.#hear(data));
    socket.onclose = ours(({ code }) => this.#lost(code));
    socket.onerror = () => {}; // Node's sockets need a listener
    this.#timers.after("open", OPEN_WITHIN_MS, () => this.#lost(1006));
  }

  #opened() {
    this.#timers.cancel("open");
    this.#look(this.env.now());
    this.#tell("open");
    this.emit("open");
  }

  #hear(data) {
    this.#silent = 0;
    this.#timers.cancel("probe");
    let message = null;
    try {
      message = JSON.parse(data);
    } catch {
      /* no message */
    }
    if (typeof message?.type !== "string") {
      this.env.report(failed("bad_answer", "The server sent an invalid message.", false));
      return;
    }
    if (!this.#questions.settle(message) && message.id) delete message.id;
    if (message.type === "expiring") this.#renew();
    else if (message.type !== "pong") this.emit("message", message);
  }

  #lost(code, proving = this.#timers.has("probe")) {
    this.#drop(offline("The connection was lost."));
    const then = AFTER_CLOSE[code] ?? "again";
    if (then === "rest" || (then === "token" && this.#refreshed)) {
      this.close(refusal(code));
    } else if (then === "return") {
      this.#tell("resting", code);
    } else if (then === "token") {
      this.#refreshed = true; // once
      this.#connect(this.#used);
    } else if (proving && then === "again" && this.#failures === 0) {
      this.#failures += 1;
      this.#connect();
    } else {
      const least = { later: TOO_MANY_RETRY_MS, spread: SPREAD_MS * this.env.random() };
      this.#wait(least[then] ?? 0, code);
    }
  }

  #wait(least, code) {
    this.#patient = least >= TOO_MANY_RETRY_MS;
    this.#timers.after("retry", least + backoff(this.env, this.#failures++), () => this.#connect());
    this.#tell("waiting", code);
  }

  // An open socket keeps a page out of the back-forward cache.
  #rest() {
    if (this.state !== "open" && this.state !== "connecting") return;
    this.#drop(offline("The page was left."));
    this.#tell("resting");
  }

  async #renew() {
    const now = this.env.now(),
      socket = this.#socket;
    if (Math.abs(now - this.#renewedAt) < RENEW_EVERY_MS) return;
    this.#renewedAt = now;
    try {
      const token = await this.#token(this.#used);
      if (!token || token === this.#used || socket !== this.#socket) return;
      await this.ask("auth", { token });
      this.#used = token;
    } catch (error) {
      if (error.code !== "offline" && this.#wanted) this.emit("problem", error);
    }
  }

  #look(at) {
    this.#timers.after("look", LOOK_EVERY_MS, () => {
      const now = this.env.now();
      if (this.ready) this.#failures = 0;
      this.#silent += 1;
      if (this.#silent >= SILENT_LOOKS || now - at > SLEPT_MS) this.#probe();
      this.#look(now);
    });
  }

  #probe() {
    if (this.#timers.has("probe") || !this.send("ping")) return;
    this.#timers.after("probe", PROBE_WITHIN_MS, () => this.#lost(1006, true));
  }

  #signed() {
    this.#held = this.idle = false;
    this.#timers.after("quiet", this.#signEvery, () => {
      if (this.#held) this.sign();
    });
  }

  #drop(error) {
    const socket = this.#socket;
    this.#attempt += 1;
    this.#socket = null;
    this.ready = this.idle = this.#held = false;
    this.#timers.clear();
    if (socket?.readyState < 2) socket.close(1000);
    this.#questions.fail(error);
  }

  #tell(state, code, error) {
    this.state = state;
    this.emit("state", { state, code, error });
  }
}
