// FocusUp in a browser: focus sessions, page views, visits, events. One module, nothing else.
//
//   import { connect } from "https://focusup.example/focusup.js";
//   const focusup = connect({ token: () => myToken() });
//   const session = await focusup.createSession({ targetMinutes: 25 });
//   session.on("tick", ({ elapsedSeconds, focusScore }) => show(elapsedSeconds, focusScore));
//   await session.start();
//
// What must always hold: the server counts, and nothing here does; a connection that is lost
// is made again as the close-code table in docs/protocol.md says, and the session goes on by
// itself; a token is in no address; and no message says where a pointer is or which key was
// pressed.

const SUBPROTOCOL = "focusup.v1";
const TOKEN_WITHIN_MS = 15_000;
const OPEN_WITHIN_MS = 15_000;
const ANSWER_WITHIN_MS = 15_000;
const REQUEST_WITHIN_MS = 20_000; // the server takes 10 s of them at most
const MAKES = /^\/api\/(?:sessions(?:\/[^/]+\/reassign)?|track-event)$/; // others are safe to send again as they are
const LOST = new Set([502, 503, 504]);
const AGAIN_AFTER_MS = [1_000, 3_000];
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;
const SPREAD_MS = 3_000;
const TOO_MANY_RETRY_MS = 60_000;
const END_ATTEMPTS = 8;
const RENEW_EVERY_MS = 10_000; // a token that is short-lived, or is no other one, is told to expire again at once
const LOOK_EVERY_MS = 5_000;
const SILENT_LOOKS = 3;
const SLEPT_MS = 20_000; // so late a timer means that the page was frozen, or the machine slept
const PROBE_WITHIN_MS = 5_000;
const SIGN_EVERY_MS = 5_000;
const SIGNS_PER_THRESHOLD = 3; // so that one may come late and no second is idle while the user moves
const REPEAT_SECONDS = 60;
const SIGNS = ["pointerdown", "pointermove", "keydown", "wheel", "scroll", "touchstart", "touchmove"];
const SCROLLED_WITHIN_MS = 1_000; // a page may scroll by itself: only right after input is it the user
const VISITOR_KEY = "focusup.visitor";
const VISIT_KEY = "focusup.visit";
const LONGEST_NAME = 200;
const HELD_SWITCHES = 100; // the server takes 200 messages at once

// What to do after each close code; any other one is a connection that broke.
const REST = "rest", TOKEN = "token", RETURN = "return", LATER = "later", SPREAD = "spread", AGAIN = "again";
export const AFTER_CLOSE = {
  1000: REST, 1002: REST, 1003: REST, 1007: REST, 1009: REST,
  1011: AGAIN, 1012: SPREAD, 1013: SPREAD,
  4400: REST, 4401: TOKEN, 4403: REST, 4404: REST, 4408: RETURN, 4409: RETURN, 4429: LATER,
};

// Why something could not be done: a stable code, the status or close code (0 for none),
// whether it may go well later (and the seconds to wait, if the server told), fields refused.
export class FocusUpError extends Error {
  constructor(message, { code = "unknown", status = 0, retryable = false, retryAfter = null, errors = [], cause } = {}) {
    super(message, { cause });
    Object.assign(this, { name: "FocusUpError", code, status, retryable, retryAfter, errors });
  }
}

const failed = (code, message, retryable, more) => new FocusUpError(message, { code, retryable, ...more });
const offline = (message) => failed("offline", message, true);
const closed = () => failed("closed", "It is not tracked any more.", false);
const refusal = (code) => failed("refused", "The server refused the connection.", false, { status: code });

class Emitter {
  #listeners = new Map();

  constructor(env) {
    this.env = env;
  }

  // Calls `listener` for each event of this type; the function that is returned ends that.
  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
    return () => this.#listeners.get(type).delete(listener);
  }

  emit(type, detail) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      try {
        listener(detail);
      } catch (error) {
        this.env.report(error); // a listener that fails keeps neither the others nor us
      }
    }
  }
}

// As JSON. Half a character (text that was cut inside an emoji) becomes U+FFFD: it is not UTF-8.
const json = (value) =>
  JSON.stringify(value).replace(/\\(?:ud[89a-f]..|.)/g, (escape) => (escape.length > 2 ? "\\ufffd" : escape));

// At most so many characters, none of them cut in half.
const clipped = (text) => [...text].slice(0, LONGEST_NAME).join("");

// The name of a page: its path with letters for their percent-encoding (`%C3%A9` is `é`, `%2F` is
// no separator). One that is too long ends with a hash, so no other page gets its name.
function pageName(path) {
  const name = `${path}`.replace(/(?:%[89a-f][0-9a-f])+/gi, (letters) => {
    try { return decodeURIComponent(letters); } catch { return letters; }
  }).normalize();
  return [...name].length > LONGEST_NAME ? `${[...name].slice(0, LONGEST_NAME - 15).join("")}…${hashed(name)}` : name;
}

// 53 bits in 14 digits (cyrb53): names need not withstand an attacker, only be told apart.
function hashed(text) {
  let high = 0xdeadbeef, low = 0x41c6ce57;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    high = Math.imul(high ^ unit, 2654435761);
    low = Math.imul(low ^ unit, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return (4294967296 * (2097151 & low) + (high >>> 0)).toString(16).padStart(14, "0");
}

// Once the user looks at the page, which a browser may load before anybody wants it.
function activated({ page }) {
  return page?.prerendering
    ? new Promise((resolve) => page.addEventListener("prerenderingchange", resolve, { once: true }))
    : Promise.resolve();
}

function surroundings() {
  const page = globalThis.document;
  return {
    page,
    window: globalThis.window,
    WebSocket: globalThis.WebSocket,
    fetch: (...given) => globalThis.fetch(...given),
    storage: () => globalThis.localStorage,
    now: () => Date.now(),
    random: Math.random,
    setTimeout: (...given) => globalThis.setTimeout(...given),
    clearTimeout: (timer) => globalThis.clearTimeout(timer),
    report: (error) => (globalThis.reportError ?? console.error)(error),
    visible: () => page?.visibilityState !== "hidden",
  };
}

const unique = (env) => globalThis.crypto?.randomUUID?.() ?? `${env.now()}-${env.random()}`;

// Settles as the work does, or fails in time.
function within(env, ms, work, onLate = () => {}) {
  return new Promise((resolve, reject) => {
    const timer = env.setTimeout(() => {
      reject(failed("timeout", "It took too long.", true));
      onLate();
    }, ms);
    new Promise((begun) => begun(work())).then(resolve, reject).finally(() => env.clearTimeout(timer));
  });
}

// Jitter: all pages lose a server at the same moment.
function backoff(env, failures) {
  return Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** failures) * (0.5 + env.random() / 2);
}

// Calls `sign` for each thing that the user does in this page or in a frame of its origin (what
// happens in other frames no page can see), until the function that is returned is called. What
// scripts dispatch is none of it.
function signsIn(page, now, sign) {
  const heard = new Set();
  let inputAt = -Infinity;
  const act = ({ type, isTrusted }) => {
    if (!isTrusted) return;
    const at = now();
    if (type !== "scroll") inputAt = at;
    else if (Math.abs(at - inputAt) > SCROLLED_WITHIN_MS) return;
    sign();
  };
  const each = (change, document) => {
    for (const type of SIGNS) document[change](type, act, { passive: true, capture: true });
    document[change]("load", loaded, true);
  };
  // A frame that gets another document loads again, and events of documents stay inside them.
  const loaded = ({ target }) => hear(target?.contentDocument);
  const hear = (document) => {
    if (!document) return;
    for (const old of heard) if (!old.defaultView) heard.delete(old); // of frames that are gone
    heard.add(document);
    each("addEventListener", document);
    for (const frame of document.querySelectorAll("iframe, frame")) hear(frame.contentDocument);
  };
  hear(page);
  return () => { for (const document of heard) each("removeEventListener", document); };
}

// Tells of the user's signs and of what becomes of the page, until the function that is
// returned is called. A page that is left lets go of its connection, which would keep it out
// of the back-forward cache.
function attend({ page, window, now, visible }, { sign, wake, shown, hidden, left }) {
  const offs = [signsIn(page, now, sign)];
  const listen = (target, types, act) => {
    for (const type of types) {
      target?.addEventListener(type, act);
      offs.push(() => target?.removeEventListener(type, act));
    }
  };
  listen(page, ["visibilitychange"], () => (visible() ? shown() : hidden()));
  listen(page, ["resume"], wake);
  listen(window, ["online", "focus"], wake);
  listen(window, ["pageshow"], ({ persisted }) => { if (persisted) shown(); });
  listen(window, ["pagehide"], left);
  return () => { for (const off of offs.splice(0)) off(); };
}

// A connection that is wanted until `close`, made again whenever it is lost, and told of the
// user's signs. Events: `open`, `message`, `state`, `problem`, `shown`, `hidden`.
class Link extends Emitter {
  #address; #token; #signs; #wanted = false; #attempt = 0; #socket = null; #used = null;
  #failures = 0; #refreshed = false; #patient = false; #renewedAt = -Infinity; #silent = 0;
  #held = false; #signEvery = SIGN_EVERY_MS; #asked = new Map(); #count = 0; #timers = new Map();
  #unattend = null;
  state = "closed";
  ready = false; // what it is for has begun
  idle = false; // as the server sees the user

  constructor(env, { address, token, signs = true }) {
    super(env);
    this.#address = address;
    this.#token = token;
    this.#signs = signs;
  }

  // Connect, unless that is under way.
  want() {
    if (!this.#wanted) {
      this.#wanted = true;
      this.#failures = 0;
      this.#refreshed = false;
      this.#unattend = attend(this.env, {
        sign: () => { if (this.#signs) this.sign(); },
        wake: () => this.wake(),
        shown: () => { this.wake(); this.returned(); this.emit("shown"); },
        hidden: () => this.emit("hidden"),
        left: () => this.#rest(),
      });
    }
    if (this.state === "closed" || this.state === "resting") this.#connect();
  }

  // For good; with the error that made it so, unless it is wanted no more.
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

  // Send, and the answer to it; rejects with a FocusUpError.
  ask(type, fields) {
    return new Promise((resolve, reject) => {
      const id = `c${++this.#count}`;
      if (!this.send(type, { ...fields, id })) {
        reject(offline("There is no connection."));
        return;
      }
      const timer = this.env.setTimeout(() => {
        this.#asked.delete(id);
        reject(failed("timeout", "The server did not answer.", true));
      }, ANSWER_WITHIN_MS);
      this.#asked.set(id, { resolve, reject, timer });
    });
  }

  // What it is for has begun, with a sign of the user; seconds of silence make idle.
  begun(idleThresholdSeconds) {
    if (!this.open) return;
    this.ready = true;
    this.#refreshed = false;
    const most = (idleThresholdSeconds * 1000) / SIGNS_PER_THRESHOLD;
    this.#signEvery = most ? Math.min(SIGN_EVERY_MS, most) : SIGN_EVERY_MS;
    this.#signed();
  }

  // The user is there. Told at once, and once in an interval while there are more: none is
  // lost, so who is never silent for long is never idle.
  sign() {
    this.returned();
    if (!this.ready) return;
    if (this.#timers.has("quiet") && !this.idle) this.#held = true;
    else if (this.send("activity")) this.#signed();
  }

  // The page, the network or the machine is back: what waits is done at once, and what seems
  // to be open has to prove it, since a socket that died while we slept tells nobody.
  wake() {
    if (this.state === "waiting" && !this.#patient) this.#connect();
    else if (this.state === "open") this.#probe();
  }

  // The user is there again: what rests until then is done.
  returned() {
    if (this.state === "resting") this.#connect();
  }

  // The server could not do it now: later.
  again() {
    this.#drop(offline("The server asked to try again."));
    if (this.#wanted) this.#wait(0);
  }

  async #connect(refused) {
    const attempt = ++this.#attempt;
    this.#cancel("retry");
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
    if (attempt !== this.#attempt) return; // closed, or begun anew, meanwhile
    if (refused !== undefined && token === refused) this.close(refusal(4401)); // there is no other
    else this.#open(token);
  }

  #open(token) {
    let socket;
    try {
      socket = new this.env.WebSocket(this.#address(), token ? [SUBPROTOCOL, `bearer.${token}`] : [SUBPROTOCOL]);
    } catch (error) {
      // It won't go better next time: a token with characters that none has, http from https.
      this.close(failed("refused", error.message, false, { cause: error }));
      return;
    }
    this.#socket = socket;
    this.#used = token;
    const ours = (act) => (event) => { if (socket === this.#socket) act(event); };
    socket.onopen = ours(() => this.#opened());
    socket.onmessage = ours(({ data }) => this.#hear(data));
    socket.onclose = ours(({ code }) => this.#lost(code));
    socket.onerror = () => {}; // `close` follows; some sockets of Node insist on a listener
    this.#after("open", OPEN_WITHIN_MS, () => this.#lost(1006));
  }

  #opened() {
    this.#cancel("open");
    this.#look(this.env.now());
    this.#tell("open");
    this.emit("open");
  }

  #hear(data) {
    this.#silent = 0;
    this.#cancel("probe");
    let message = null;
    try { message = JSON.parse(data); } catch { /* no message */ }
    if (typeof message?.type !== "string") {
      this.env.report(failed("bad_answer", "The server sent what is no message.", false));
      return;
    }
    // What could not even be parsed has no id: the only message that waits is meant.
    if (message.code === "invalid_message" && message.id === null && this.#asked.size === 1) [message.id] = this.#asked.keys();
    const asked = this.#asked.get(message.id);
    if (asked) {
      this.#asked.delete(message.id);
      this.env.clearTimeout(asked.timer);
      if (message.type === "error") asked.reject(new FocusUpError(message.message, message));
      else asked.resolve(message);
    } else if (message.id) {
      delete message.id; // so late an answer is news
    }
    if (message.type === "expiring") this.#renew();
    else if (message.type !== "pong") this.emit("message", message);
  }

  #lost(code, proving = this.#timers.has("probe")) {
    this.#drop(offline("The connection was lost."));
    const then = AFTER_CLOSE[code] ?? AGAIN;
    if (then === REST || (then === TOKEN && this.#refreshed)) {
      this.close(refusal(code));
    } else if (then === RETURN) {
      this.#tell("resting", code);
    } else if (then === TOKEN) {
      this.#refreshed = true; // once: a token that is refused although it is fresh stays so
      this.#connect(this.#used);
    } else if (proving && then === AGAIN && this.#failures === 0) {
      this.#failures += 1;
      this.#connect(); // it was gone before we looked: no attempt has failed yet
    } else {
      const least = { [LATER]: TOO_MANY_RETRY_MS, [SPREAD]: SPREAD_MS * this.env.random() };
      this.#wait(least[then] ?? 0, code);
    }
  }

  #wait(least, code) {
    this.#patient = least >= TOO_MANY_RETRY_MS;
    this.#after("retry", least + backoff(this.env, this.#failures++), () => this.#connect());
    this.#tell("waiting", code);
  }

  // Until the page is shown again.
  #rest() {
    if (this.state !== "open" && this.state !== "connecting") return;
    this.#drop(offline("The page was left."));
    this.#tell("resting");
  }

  async #renew() {
    const now = this.env.now(), socket = this.#socket;
    if (Math.abs(now - this.#renewedAt) < RENEW_EVERY_MS) return;
    this.#renewedAt = now;
    try {
      const token = await this.#token(this.#used);
      if (!token || token === this.#used || socket !== this.#socket) return; // or 4401 will ask
      await this.ask("auth", { token });
      this.#used = token;
    } catch (error) {
      if (error.code !== "offline" && this.#wanted) this.emit("problem", error);
    }
  }

  // Look every few seconds: at a silence, and at a timer that comes much too late.
  #look(at) {
    this.#after("look", LOOK_EVERY_MS, () => {
      const now = this.env.now();
      if (this.ready) this.#failures = 0; // it has lasted
      this.#silent += 1;
      if (this.#silent >= SILENT_LOOKS || now - at > SLEPT_MS) this.#probe();
      this.#look(now);
    });
  }

  #probe() {
    if (this.#timers.has("probe") || !this.send("ping")) return;
    this.#after("probe", PROBE_WITHIN_MS, () => this.#lost(1006, true));
  }

  #signed() {
    this.#held = this.idle = false;
    this.#after("quiet", this.#signEvery, () => { if (this.#held) this.sign(); });
  }

  // Forget the socket, and all that was to come of it.
  #drop(error) {
    const socket = this.#socket, asked = [...this.#asked.values()];
    this.#attempt += 1;
    this.#socket = null;
    this.ready = this.idle = this.#held = false;
    this.#cancel(...this.#timers.keys());
    this.#asked.clear();
    if (socket?.readyState < 2) socket.close(1000);
    for (const { reject, timer } of asked) {
      this.env.clearTimeout(timer);
      reject(error);
    }
  }

  #tell(state, code, error) {
    this.state = state;
    this.emit("state", { state, code, error });
  }

  #after(name, ms, act) {
    this.#cancel(name);
    this.#timers.set(name, this.env.setTimeout(() => { this.#timers.delete(name); act(); }, ms));
  }

  #cancel(...names) {
    for (const name of names) {
      this.env.clearTimeout(this.#timers.get(name));
      this.#timers.delete(name);
    }
  }
}

// A focus session that this page tracks. Events: `started`, `tick`, `state` (idle turned to
// active or back), `targetReached`, `goalReached`, `paused`, `resumed`, `stopped`,
// `superseded`, `degraded`, `recovered`, `error`, and `connection` with what became of the
// socket.
export class FocusSession extends Emitter {
  #focusup; #link; #options; #joining = null; #joined = false; #stopping = null; #over = false;
  #wish = null; #switches = 0;

  constructor(focusup, session, options = {}) {
    super(focusup.env);
    this.id = typeof session === "string" ? session : session._id;
    this.session = typeof session === "string" ? null : session;
    this.#focusup = focusup;
    this.#options = { updates: "tick", listen: true, ...options };
    const { listen } = this.#options;
    this.#link = new Link(this.env, {
      address: () => focusup.socketAddress("/ws/sessions"),
      token: (refused) => focusup.token(refused),
      signs: listen,
    });
    this.#link.on("open", () => this.#join());
    this.#link.on("message", (message) => this.#hear(message));
    this.#link.on("problem", (error) => this.emit("error", error));
    this.#link.on("state", (detail) => this.#connection(detail));
    this.#link.on("shown", () => { if (listen) this.#link.sign(); });
    this.#link.on("hidden", () => { if (listen) this.tabSwitch(); });
  }

  static async create(focusup, fields, options) {
    const { session } = await focusup.request("POST", "/api/sessions", fields);
    return new FocusSession(focusup, session, options);
  }

  // Track it from now on; resolves with the session once the server counts, however long
  // that takes; rejects if the server refuses, or if it is let go before.
  start() {
    if (this.#link.live) return Promise.resolve(this.session);
    const joined = this.#joinLater();
    this.#link.want();
    if (this.#link.state === "waiting") this.#link.wake();
    return joined;
  }

  // Without a connection, these two are done when there is one; the last one counts.
  pause() {
    return this.#steer("pause");
  }

  resume() {
    return this.#steer("resume");
  }

  // End and score it; over REST where the connection can't say that it is done. Resolves
  // with the session.
  stop(status = "completed") {
    this.#stopping ??= this.#end(status).finally(() => { this.#stopping = null; });
    return this.#stopping;
  }

  // The user is there: for signs that the page itself can't see.
  activity() {
    this.#link.sign();
  }

  // The user went elsewhere. While the connection is being made again, it is told after that.
  tabSwitch() {
    const { live, state } = this.#link;
    if (live) this.#link.send("tabSwitch");
    else if (this.#joined && state !== "resting") this.#switches = Math.min(this.#switches + 1, HELD_SWITCHES);
  }

  // Track it no more, and leave it as it is: another `start`, anywhere, goes on with it.
  release() {
    this.#leave(closed());
  }

  #joinLater() {
    if (!this.#joining) {
      const joining = {};
      joining.promise = new Promise((resolve, reject) => Object.assign(joining, { resolve, reject }));
      joining.promise.catch(() => {}); // whoever waits is told; nobody has to
      this.#joining = joining;
    }
    return this.#joining.promise;
  }

  async #join() {
    let message;
    try {
      message = await this.#link.ask("start", {
        sessionId: this.id, updates: this.#options.updates, ...(!this.env.visible() && { visible: false }),
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
        if (wish !== this.#wish) throw failed("replaced", "It was called off meanwhile.", false);
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
    } catch { /* it may have ended or not: REST ends it once, however often it is asked */ }
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
      this.#over = true; // told once, whoever ends it
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

// Tells what is viewed, page by page. `name` gives the page of an address, or null for none.
// Events: `viewing`, `tick` (with `updates: "tick"`), `error`, `connection`.
class PageTracker extends Emitter {
  #focusup; #link; #options; #viewed = null; #place = null; #moving = null; #key = null; #unfollow;
  #over = false; #stopped;
  viewId = null;

  constructor(focusup, options, stopped) {
    super(focusup.env);
    this.#focusup = focusup;
    this.#stopped = stopped;
    this.#options = { updates: "none", name: ({ pathname }) => pathname, ...options };
    this.#link = new Link(this.env, {
      address: () => this.#address(),
      token: (refused) => focusup.token(refused).catch(() => null),
    });
    this.#link.on("open", () => this.#announce());
    this.#link.on("message", (message) => { if (message.type === "tick") this.#tick(message); });
    this.#link.on("problem", (error) => this.emit("error", error));
    this.#link.on("state", (detail) => this.#connection(detail));
    this.#link.on("shown", () => { if (this.#viewed) this.#link.send("visible"); });
    this.#link.on("hidden", () => { if (this.#viewed) this.#link.send("hidden"); });
    // A page that moves may move again at once, and gets its title after it has moved.
    this.#unfollow = followHistory(this.env, () => { this.#moving ??= this.env.setTimeout(() => this.#moved(), 0); });
    this.#moved();
  }

  // A page, or a tab inside one, is viewed from now on.
  view(page, params = {}, title = this.env.page?.title) {
    this.#settle();
    this.#viewed = { page: pageName(page), params, ...(title && { title: clipped(title) }) };
    this.viewId = null;
    if (this.#link.open) this.#announce();
    else if (!this.#over) this.#link.want();
  }

  // What is viewed from now on is viewed by another visitor.
  forgetVisitor() {
    this.#keep(null);
    this.viewId = null;
    if (this.#viewed && !this.#over) this.#link.again();
  }

  stop() {
    this.#settle();
    this.#unfollow();
    this.#stopped();
    if (this.#viewed) this.#link.send("leave");
    this.#viewed = null;
    this.#over = true;
    this.#link.close();
  }

  #settle() {
    this.env.clearTimeout(this.#moving);
    this.#moving = null;
    this.#place = this.#here();
  }

  #here() {
    const { window } = this.env;
    return window ? this.#options.name(window.location) : null;
  }

  #moved() {
    const before = this.#place;
    this.#settle();
    if (this.#place && this.#place !== before) this.view(this.#place);
  }

  async #announce() {
    const viewed = this.#viewed;
    try {
      const message = await this.#link.ask("view", { ...viewed, visible: this.env.visible(), updates: this.#options.updates });
      this.#keep(message.visitor);
      if (viewed !== this.#viewed) return;
      this.viewId = message.viewId;
      this.#link.begun(message.idleThresholdSeconds);
      this.emit("viewing", message);
    } catch (error) {
      if (error.code === "offline" || error.code === "closed") return;
      this.emit("error", error);
      if (error.retryable) this.#link.again();
      else if (viewed === this.#viewed) this.#viewNothing();
    }
  }

  // Until the next view: a connection on which nothing is viewed would be closed, again and again.
  #viewNothing() {
    this.#viewed = null;
    this.#link.close();
  }

  #tick(message) {
    this.#link.idle = !message.engaged;
    this.emit("tick", message);
  }

  #connection({ state, code, error }) {
    this.emit("connection", { state, code });
    if (!error) return;
    this.#over = true;
    this.#unfollow();
    this.emit("error", error);
  }

  #address() {
    const key = this.#recall();
    return this.#focusup.socketAddress("/ws/pageviews", key ? { visitor: key } : {});
  }

  // The key of the visitor, where no cookie carries it.
  #keep(key) {
    this.#key = key;
    try {
      if (key) this.env.storage().setItem(VISITOR_KEY, key);
      else this.env.storage().removeItem(VISITOR_KEY);
    } catch { /* blocked: it lives as long as the page */ }
  }

  #recall() {
    try { return this.#key ?? this.env.storage().getItem(VISITOR_KEY); } catch { return this.#key; }
  }
}

// Single-page apps change the address without loading a page, and tell nobody. Others may
// have changed the same functions after us: then ours stay, and do nothing more.
function followHistory({ window }, moved) {
  if (!window) return () => {};
  const { history } = window;
  let following = true;
  const undo = ["pushState", "replaceState"].map((name) => {
    const original = history[name];
    const ours = function changed(...given) {
      const result = original.apply(this, given);
      if (following) moved();
      return result;
    };
    history[name] = ours;
    return () => { if (history[name] === ours) history[name] = original; };
  });
  window.addEventListener("popstate", moved);
  return () => {
    following = false;
    for (const each of undo.splice(0)) each();
    window.removeEventListener("popstate", moved);
  };
}

class FocusUp {
  #given; #base; #refused = new Set(); #fresh = null; #refreshing = null; #trackers = new Set();

  constructor({ url = new URL(".", import.meta.url).href, token, env }) {
    this.env = { ...surroundings(), ...env };
    this.#given = token;
    if (!/^https?:/.test(url)) throw new TypeError("connect({ url }): the address of the server is needed.");
    const { origin, pathname } = new URL(url);
    this.#base = origin + pathname.replace(/\/+$/, ""); // a proxy may serve it below a path
  }

  // The token of the user, or null for none; in place of the `refused` one, if there is one.
  // However many are refused at a time, one other is asked for.
  async token(refused) {
    if (typeof this.#given !== "function") return this.#given ?? null;
    if (refused === undefined) {
      const token = await this.#ask(false);
      return this.#refused.has(token) ? this.#fresh : token;
    }
    if (this.#refused.has(refused) && this.#fresh) return this.#fresh;
    this.#refreshing ??= this.#ask(true)
      .then((token) => {
        if (refused) this.#refused.add(refused).delete(token);
        return (this.#fresh = token);
      })
      .finally(() => { this.#refreshing = null; });
    return this.#refreshing;
  }

  socketAddress(path, query = {}) {
    const address = new URL(this.#base + path);
    address.protocol = address.protocol === "http:" ? "ws:" : "wss:";
    for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
    return address.href;
  }

  // A call of the REST interface, and what it answers; rejects with a FocusUpError. What is
  // `keepalive` arrives although the page is left (64 KB of all such bodies together);
  // `optional` does without a token if there is none, `anonymous` has none.
  async request(method, path, body, { optional = false, anonymous = false, keepalive = false } = {}) {
    if (method !== "GET") await activated(this.env);
    const token = anonymous ? null : await this.token().catch((error) => {
      if (!optional) throw error;
      return null;
    });
    const call = { method, path, body, keepalive, key: method === "POST" && MAKES.test(path) ? unique(this.env) : null };
    let response = await this.#safely(call, token);
    if (response.status === 401 && token && !optional) {
      const other = await this.token(token);
      if (other && other !== token) response = await this.#safely(call, other);
    }
    if (response.status === 204 && path.startsWith("/api/auth/logout")) this.forgetVisitor();
    return response.answer();
  }

  createSession(fields = {}, options) {
    return FocusSession.create(this, fields, options);
  }

  // One that is there already, by its id.
  session(id, options) {
    return new FocusSession(this, id, options);
  }

  trackPages(options) {
    const tracker = new PageTracker(this, options, () => this.#trackers.delete(tracker));
    this.#trackers.add(tracker);
    return tracker;
  }

  // For signing out: who uses the browser next is another visitor. Signing out by `request`
  // does it by itself.
  forgetVisitor() {
    try { this.env.storage().removeItem(VISITOR_KEY); } catch { /* blocked: none is kept */ }
    for (const tracker of [...this.#trackers]) tracker.forgetVisitor();
  }

  // Keeps a visit active until it is stopped; the id is made once and kept in the browser.
  trackVisit(id = this.#visitId()) {
    return this.#repeat(() => this.request("POST", "/api/track-visit", { sessionId: id }, { anonymous: true }));
  }

  // Says that the user is there until it is stopped.
  heartbeat() {
    return this.#repeat(() => this.request("POST", "/api/heartbeat"));
  }

  trackEvent(type, actionName) {
    const event = { type, ...(actionName && { actionName }) };
    return this.request("POST", "/api/track-event", event, { optional: true, keepalive: true });
  }

  async #ask(fresh) {
    try {
      return (await within(this.env, TOKEN_WITHIN_MS, () => this.#given({ fresh }))) ?? null;
    } catch (error) {
      if (error instanceof FocusUpError) throw error;
      throw failed("token_unavailable", "The token could not be got.", true, { cause: error });
    }
  }

  // What makes something has a key, so it is made once although it is sent again: an answer may
  // be lost, or a proxy may give up before it comes.
  async #safely(call, token) {
    for (const wait of call.key ? AGAIN_AFTER_MS : []) {
      try {
        const response = await this.#fetch(call, token);
        if (!LOST.has(response.status)) return response;
      } catch (error) {
        if (error.code !== "offline") throw error;
      }
      await new Promise((resolve) => this.env.setTimeout(resolve, wait));
    }
    return this.#fetch(call, token);
  }

  async #fetch({ method, path, body, keepalive, key }, token) {
    const aborting = new AbortController();
    const headers = {
      ...(body && { "Content-Type": "application/json" }),
      ...(token && { Authorization: `Bearer ${token}` }),
      ...(key && { "Idempotency-Key": key }),
    };
    try {
      return await within(this.env, REQUEST_WITHIN_MS, async () => {
        const response = await this.env.fetch(new URL(this.#base + path).href, {
          method, headers, keepalive, signal: aborting.signal, ...(body && { body: json(body) }),
        });
        const answer = response.status === 204 ? null : await response.json().catch(() => undefined);
        return { status: response.status, answer: () => answered(response, answer) };
      }, () => aborting.abort());
    } catch (error) {
      throw error instanceof FocusUpError ? error : failed("offline", error.message, true, { cause: error });
    }
  }

  // Calls now and as often as the answer says; again after a while if it fails, and no more
  // if the server says no.
  #repeat(call) {
    let timer = null, over = false;
    const next = async () => {
      let seconds;
      try {
        seconds = (await call()).nextInSeconds;
      } catch (error) {
        if (!error.retryable) {
          this.env.report(error);
          return;
        }
        seconds = Math.max(REPEAT_SECONDS, error.retryAfter ?? 0);
      }
      if (!over) timer = this.env.setTimeout(next, (seconds > 0 ? seconds : REPEAT_SECONDS) * 1000);
    };
    next();
    return () => { over = true; this.env.clearTimeout(timer); };
  }

  #visitId() {
    const fresh = unique(this.env);
    try {
      const storage = this.env.storage();
      const kept = storage.getItem(VISIT_KEY) ?? fresh;
      storage.setItem(VISIT_KEY, kept);
      return kept;
    } catch {
      return fresh;
    }
  }
}

function answered({ ok, status, statusText, headers }, answer) {
  const retryable = status >= 500 || status === 429;
  if (ok && answer !== undefined) return answer;
  if (ok) throw failed("bad_answer", "The answer is no JSON.", true, { status });
  throw new FocusUpError(answer?.detail ?? statusText, {
    code: answer?.code, errors: answer?.errors, status, retryable, retryAfter: Number(headers.get("Retry-After")) || null,
  });
}

// `url` is the server's (default: where this module came from), `token` the user's, or a
// function that gives it (also asynchronously) and is asked with `{fresh: true}` for another.
// `env` replaces what it takes from its surroundings, such as `WebSocket` where there is none.
export function connect(options = {}) {
  return new FocusUp(options);
}
