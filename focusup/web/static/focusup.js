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
const ANSWER_WITHIN_MS = 15_000;
const ACTIVITY_EVERY_MS = 5_000;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;
const TOO_MANY_RETRY_MS = 60_000;
const LOOK_EVERY_MS = 5_000;
const SLEPT_MS = 20_000; // so late a timer means that the page was frozen, or the machine slept
const PROBE_WITHIN_MS = 4_000;
const SIGNS = ["pointerdown", "pointermove", "keydown", "wheel", "scroll", "touchstart", "touchmove"];
const VISITOR_KEY = "focusup.visitor";
const VISIT_KEY = "focusup.visit";

// What to do after each close code; any other one is a connection that broke.
const REST = "rest", TOKEN = "token", RETURN = "return", LATER = "later", AGAIN = "again";
export const AFTER_CLOSE = {
  1000: REST, 1002: REST, 1003: REST, 1007: REST, 1009: REST,
  1011: AGAIN, 1012: AGAIN, 1013: AGAIN,
  4400: REST, 4401: TOKEN, 4403: REST, 4404: REST, 4408: RETURN, 4409: RETURN, 4429: LATER,
};

// An answer of the server that is no success: its status, its stable code, its text.
export class FocusUpError extends Error {
  constructor(message, { code = "unknown", status = 0, retryable = false } = {}) {
    super(message);
    Object.assign(this, { name: "FocusUpError", code, status, retryable });
  }
}

class Emitter {
  #listeners = new Map();

  // Calls `listener` for each event of this type; the function that is returned ends that.
  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
    return () => this.#listeners.get(type)?.delete(listener);
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

function browser() {
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

// A connection that is wanted until `close`, and made again whenever it is lost.
class Link extends Emitter {
  #address; #token; #socket = null; #timer = null; #probe = null; #failures = 0;
  #wanted = false; #opening = false; #refreshed = false; #asked = new Map(); #count = 0;
  state = "closed";

  constructor(env, address, token) {
    super();
    this.env = env;
    this.#address = address;
    this.#token = token;
  }

  get open() {
    return this.#socket?.readyState === 1;
  }

  // Connect now, whatever it was waiting for.
  want() {
    this.#wanted = true;
    this.#cancel();
    if (!this.#socket && !this.#opening) this.#connect(false);
  }

  close() {
    this.#wanted = false;
    this.#cancel();
    this.#opening = false;
    const socket = this.#socket;
    this.#drop(new FocusUpError("The connection was closed.", { code: "closed" }));
    socket?.close(1000);
    this.#tell("closed");
  }

  send(type, fields) {
    if (!this.open) return false;
    this.#socket.send(JSON.stringify({ type, ...fields }));
    return true;
  }

  // Send, and the answer to it; rejects with a FocusUpError.
  ask(type, fields) {
    return new Promise((resolve, reject) => {
      const id = `c${++this.#count}`;
      if (!this.send(type, { ...fields, id })) {
        reject(new FocusUpError("There is no connection.", { code: "offline", retryable: true }));
        return;
      }
      const timer = this.env.setTimeout(() => {
        this.#asked.delete(id);
        reject(new FocusUpError("The server did not answer.", { code: "timeout", retryable: true }));
      }, ANSWER_WITHIN_MS);
      this.#asked.set(id, { resolve, reject, timer });
    });
  }

  // The page, the network or the machine is back: what waits is done at once, and what seems
  // to be open has to prove it, since a socket that died while we slept tells nobody.
  wake() {
    if (!this.#wanted) return;
    if (this.state === "waiting") this.want();
    else if (this.open && !this.#probe) {
      this.#probe = this.env.setTimeout(() => this.#lost(1006), PROBE_WITHIN_MS);
      this.send("ping");
    }
  }

  // The user is there again: what rests until then is done.
  returned() {
    if (this.#wanted && this.state === "resting") this.want();
  }

  async #connect(fresh) {
    this.#opening = true;
    this.#tell("connecting");
    let token = null;
    try {
      token = await this.#token?.({ fresh });
    } catch (error) {
      this.#opening = false;
      this.emit("problem", error);
      if (this.#wanted) this.#wait();
      return;
    }
    if (!this.#opening || !this.#wanted) return; // closed meanwhile
    this.#opening = false;
    const protocols = token ? [SUBPROTOCOL, `bearer.${token}`] : [SUBPROTOCOL];
    const socket = new this.env.WebSocket(this.#address(), protocols);
    this.#socket = socket;
    const ours = (act) => (event) => { if (socket === this.#socket) act(event); };
    socket.onopen = ours(() => { this.#tell("open"); this.emit("open"); });
    socket.onmessage = ours(({ data }) => this.#hear(JSON.parse(data)));
    socket.onclose = ours(({ code }) => this.#lost(code));
  }

  #hear(message) {
    this.env.clearTimeout(this.#probe);
    this.#probe = null;
    const asked = this.#asked.get(message.id);
    if (asked) {
      this.#asked.delete(message.id);
      this.env.clearTimeout(asked.timer);
      if (message.type === "error") asked.reject(new FocusUpError(message.message, message));
      else asked.resolve(message);
    }
    this.emit("message", message);
  }

  // The server could not do it now: later.
  again() {
    const socket = this.#socket;
    this.#drop(new FocusUpError("The server asked to try again.", { code: "offline", retryable: true }));
    socket?.close(1000);
    if (this.#wanted) this.#wait();
  }

  // It works: what went wrong before does not count any more.
  settled() {
    this.#failures = 0;
    this.#refreshed = false;
  }

  #lost(code) {
    const socket = this.#socket;
    this.#drop(new FocusUpError("The connection was lost.", { code: "offline", retryable: true }));
    if (code === 1006) socket?.close();
    if (!this.#wanted) return;
    const then = AFTER_CLOSE[code] ?? AGAIN;
    this.emit("lost", { code, then });
    if (then === REST || (then === TOKEN && (!this.#token || this.#refreshed))) {
      this.#wanted = false;
      this.#tell("closed", code);
    } else if (then === RETURN) {
      this.#tell("resting", code);
    } else if (then === TOKEN) {
      this.#refreshed = true; // once: a token that is refused although it is fresh stays so
      this.#connect(true);
    } else {
      this.#wait(then === LATER ? TOO_MANY_RETRY_MS : 0, code);
    }
  }

  #wait(at_least = 0, code) {
    // Jitter: all pages lose a server at the same moment.
    const most = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures++);
    const delay = at_least + most * (0.5 + this.env.random() / 2);
    this.#timer = this.env.setTimeout(() => { this.#timer = null; this.#connect(false); }, delay);
    this.#tell("waiting", code);
  }

  #cancel() {
    this.env.clearTimeout(this.#timer);
    this.env.clearTimeout(this.#probe);
    this.#timer = this.#probe = null;
  }

  #drop(error) {
    this.#cancel();
    this.#socket = null;
    for (const { reject, timer } of this.#asked.values()) {
      this.env.clearTimeout(timer);
      reject(error);
    }
    this.#asked.clear();
  }

  #tell(state, code) {
    this.state = state;
    this.emit("state", { state, code });
  }
}

// Signs of the user and of the page, for as long as somebody listens.
class Presence extends Emitter {
  #off = []; #timer = null; #lookedAt = 0;

  constructor(env) {
    super();
    this.env = env;
  }

  start() {
    if (this.#off.length) return;
    const { page, window } = this.env;
    const listen = (target, types, act, options) => {
      for (const type of types) {
        target?.addEventListener(type, act, options);
        this.#off.push(() => target?.removeEventListener(type, act, options));
      }
    };
    const sign = () => this.emit("sign");
    listen(page, SIGNS, sign, { passive: true, capture: true });
    listen(page, ["visibilitychange"], () => {
      this.emit(this.env.visible() ? "shown" : "hidden");
      if (this.env.visible()) this.emit("wake");
    });
    listen(page, ["resume"], () => this.emit("wake"));
    listen(window, ["online", "focus"], () => this.emit("wake"));
    listen(window, ["pageshow"], (event) => { if (event.persisted) { this.emit("wake"); this.emit("shown"); } });
    listen(window, ["pagehide"], () => this.emit("hidden"));
    this.#look(this.env.now());
  }

  stop() {
    for (const off of this.#off) off();
    this.#off = [];
    this.env.clearTimeout(this.#timer);
  }

  #look(now) {
    if (this.#lookedAt && now - this.#lookedAt > SLEPT_MS) this.emit("wake");
    this.#lookedAt = now;
    this.#timer = this.env.setTimeout(() => this.#look(this.env.now()), LOOK_EVERY_MS);
  }
}

// A focus session that this page tracks. Events: `tick`, `state` (idle turned to active or
// back), `targetReached`, `goalReached`, `paused`, `resumed`, `stopped`, `superseded`,
// `degraded`, `recovered`, `error`, and `connection` with what became of the socket.
export class FocusSession extends Emitter {
  #focusup; #link; #presence; #offs = []; #signedAt = -Infinity; #idle = false; #going = false;
  #options; #starting = null;

  constructor(focusup, session, options = {}) {
    super();
    this.env = focusup.env;
    this.id = typeof session === "string" ? session : session._id;
    this.session = typeof session === "string" ? null : session;
    this.#focusup = focusup;
    this.#options = { updates: "tick", listen: true, ...options };
    this.#presence = new Presence(this.env);
    this.#link = new Link(this.env, () => focusup.socketAddress("/ws/sessions"), (how) => focusup.token(how));
    this.#link.on("open", () => this.#join());
    this.#link.on("message", (message) => this.#hear(message));
    this.#link.on("state", (detail) => this.emit("connection", detail));
    this.#link.on("problem", (error) => this.emit("error", error));
    this.#link.on("lost", ({ code }) => {
      if (code === 4404) this.#leave();
    });
  }

  static async create(focusup, fields, options) {
    const { session } = await focusup.request("POST", "/api/sessions", fields);
    return new FocusSession(focusup, session, options);
  }

  // Track it from now on; resolves with the session once the server counts.
  start() {
    if (!this.#starting) {
      this.#going = true;
      if (this.#options.listen) this.#listen();
      this.#starting = new Promise((resolve, reject) => {
        const offs = [
          this.on("started", (message) => { done(); resolve(message.session); }),
          this.on("error", (error) => { if (!error.retryable) { done(); reject(error); } }),
          this.on("connection", ({ state, code }) => {
            if (state === "closed") { done(); reject(new FocusUpError("The server refused the connection.", { code: "refused", status: code })); }
          }),
        ];
        const done = () => { for (const off of offs) off(); this.#starting = null; };
      });
      this.#link.want();
    }
    return this.#starting;
  }

  async pause() {
    return this.#moved(await this.#link.ask("pause"));
  }

  async resume() {
    return this.#moved(await this.#link.ask("resume"));
  }

  // End and score it; over REST where there is no connection. Resolves with the session.
  async stop(status = "completed") {
    this.#going = false;
    try {
      if (this.#link.open) return (await this.#link.ask("stop", { status })).session;
      const path = `/api/sessions/${this.id}/end`;
      const { session } = await this.#focusup.request("PUT", path, { status });
      this.session = session;
      this.emit("stopped", { session, focusScore: session.focusScore, scoreBreakdown: session.scoreBreakdown, stats: null });
      return session;
    } finally {
      this.#leave();
    }
  }

  // The user is there: for signs that the page itself can't see.
  activity() {
    const now = this.env.now();
    this.#link.returned();
    if (!this.#idle && now - this.#signedAt < ACTIVITY_EVERY_MS) return;
    if (this.#link.send("activity")) {
      this.#signedAt = now;
      this.#idle = false;
    }
  }

  // Track it no more, and leave it as it is: another `start`, anywhere, goes on with it.
  release() {
    this.#leave();
  }

  #listen() {
    this.#presence.start();
    this.#offs.push(
      this.#presence.on("sign", () => this.activity()),
      this.#presence.on("wake", () => this.#link.wake()),
      this.#presence.on("shown", () => { this.#link.returned(); this.activity(); }),
      this.#presence.on("hidden", () => this.#link.send("tabSwitch")),
    );
  }

  #leave() {
    this.#going = false;
    this.#presence.stop();
    for (const off of this.#offs.splice(0)) off();
    this.#link.close();
  }

  async #join() {
    try {
      const message = await this.#link.ask("start", { sessionId: this.id, updates: this.#options.updates });
      this.#link.settled();
      this.#signedAt = this.env.now();
      this.#idle = false;
      this.session = message.session;
      this.emit("started", message);
    } catch (error) {
      if (error.code !== "offline") this.emit("error", error);
      if (error.code === "session_ended" || error.code === "session_not_found") this.#leave();
      if (error.retryable && error.code !== "offline") this.#link.again();
    }
  }

  #moved(message) {
    this.emit(message.type, message);
    return message;
  }

  #hear(message) {
    if (message.type === "tick" || message.type === "state") {
      this.#idle = message.idle;
      this.emit(message.type, message);
    } else if (message.type === "expiring") {
      this.#renew();
    } else if (message.type === "stopped") {
      this.session = message.session;
      this.emit("stopped", message);
      this.#leave();
    } else if (message.type === "error" && message.id === null) {
      this.emit("error", new FocusUpError(message.message, message));
    } else if (message.id === undefined) {
      this.emit(message.type, message);
    }
  }

  async #renew() {
    try {
      const token = await this.#focusup.token({ fresh: true });
      if (token) await this.#link.ask("auth", { token });
    } catch (error) {
      if (error.code !== "offline") this.emit("error", error); // the close that follows asks once more
    }
  }
}

// Tells what is viewed, page by page. `name` gives the page of an address, or null for none.
class PageTracker extends Emitter {
  #link; #presence; #viewed = null; #signedAt = -Infinity; #key = null; #offs = []; #options; #focusup;
  viewId = null;

  constructor(focusup, options) {
    super();
    this.env = focusup.env;
    this.#focusup = focusup;
    this.#options = { updates: "none", name: ({ pathname }) => pathname, ...options };
    this.#presence = new Presence(this.env);
    this.#link = new Link(this.env, () => this.#address(), (how) => focusup.optionalToken(how));
    this.#link.on("open", () => this.#announce());
    this.#link.on("message", (message) => this.#hear(message));
    this.#link.on("state", (detail) => this.emit("connection", detail));
  }

  start() {
    this.#presence.start();
    this.#offs.push(
      this.#presence.on("sign", () => this.#sign()),
      this.#presence.on("wake", () => this.#link.wake()),
      this.#presence.on("shown", () => { this.#link.returned(); this.#link.send("visible"); }),
      this.#presence.on("hidden", () => this.#link.send("hidden")),
      followHistory(this.env, () => this.#moved()),
    );
    this.#moved();
    return this;
  }

  // A page, or a tab inside one, is viewed from now on.
  view(page, params = {}, title = this.env.page?.title) {
    this.#viewed = { page, params, ...(title ? { title: title.slice(0, 200) } : {}) };
    if (this.#link.open) this.#announce();
    else this.#link.want();
  }

  stop() {
    this.#link.send("leave");
    this.#presence.stop();
    for (const off of this.#offs.splice(0)) off();
    this.#link.close();
  }

  #moved() {
    const page = this.#options.name(this.env.window.location);
    if (page && page !== this.#viewed?.page) this.view(page);
  }

  #announce() {
    if (!this.#viewed) return;
    this.#link.ask("view", { ...this.#viewed, visible: this.env.visible(), updates: this.#options.updates }).then(
      (message) => {
        this.#link.settled();
        this.viewId = message.viewId;
        this.#keep(message.visitor);
        this.emit("viewing", message);
      },
      (error) => {
        if (error.code !== "offline") this.emit("error", error);
        if (error.retryable && error.code !== "offline") this.#link.again();
      },
    );
  }

  #sign() {
    const now = this.env.now();
    this.#link.returned();
    if (now - this.#signedAt >= ACTIVITY_EVERY_MS && this.#link.send("activity")) this.#signedAt = now;
  }

  #hear(message) {
    if (message.type === "tick") this.emit("tick", message);
  }

  #address() {
    const key = this.#recall();
    return this.#focusup.socketAddress("/ws/pageviews", key ? { visitor: key } : {});
  }

  // The key of the visitor, where no cookie carries it.
  #keep(key) {
    if (!key) return;
    this.#key = key;
    try { this.env.storage()?.setItem(VISITOR_KEY, key); } catch { /* blocked: it lives as long as the page */ }
  }

  #recall() {
    try { return this.#key ?? this.env.storage()?.getItem(VISITOR_KEY); } catch { return this.#key; }
  }
}

// Single-page apps change the address without loading a page, and tell nobody.
function followHistory({ window }, moved) {
  const { history } = window;
  const originals = {};
  for (const name of ["pushState", "replaceState"]) {
    originals[name] = history[name];
    history[name] = function changed(...given) {
      const result = originals[name].apply(this, given);
      moved();
      return result;
    };
  }
  window.addEventListener("popstate", moved);
  return () => {
    Object.assign(history, originals);
    window.removeEventListener("popstate", moved);
  };
}

class FocusUp {
  #token; #base; #tokenNow = null;

  constructor({ url, token, env }) {
    this.env = { ...browser(), ...env };
    this.#base = url ?? new URL(".", import.meta.url).origin;
    this.#token = token;
  }

  // The token of the user; `fresh` asks for another than the last one.
  async token({ fresh = false } = {}) {
    if (typeof this.#token === "string") return this.#token;
    if (fresh || !this.#tokenNow) this.#tokenNow = (await this.#token?.({ fresh })) ?? null;
    return this.#tokenNow;
  }

  async optionalToken(how) {
    try { return await this.token(how); } catch { return null; }
  }

  socketAddress(path, query = {}) {
    const address = new URL(path, this.#base);
    address.protocol = address.protocol === "http:" ? "ws:" : "wss:";
    for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
    return address.href;
  }

  // A call of the REST interface; rejects with a FocusUpError.
  async request(method, path, body, { optional = false, again = true } = {}) {
    const token = optional ? await this.optionalToken() : await this.token();
    const headers = { ...(body && { "Content-Type": "application/json" }), ...(token && { Authorization: `Bearer ${token}` }) };
    let response;
    try {
      response = await this.env.fetch(new URL(path, this.#base).href, {
        method, headers, keepalive: true, ...(body && { body: JSON.stringify(body) }),
      });
    } catch (error) {
      throw new FocusUpError(error.message, { code: "offline", retryable: true });
    }
    if (response.status === 401 && again && !optional && typeof this.#token === "function") {
      await this.token({ fresh: true });
      return this.request(method, path, body, { optional, again: false });
    }
    const answer = response.status === 204 ? null : await response.json().catch(() => null);
    if (response.ok) return answer;
    throw new FocusUpError(answer?.detail ?? response.statusText, {
      code: answer?.code, status: response.status, retryable: response.status >= 500 || response.status === 429,
    });
  }

  createSession(fields = {}, options) {
    return FocusSession.create(this, fields, options);
  }

  // One that is there already, by its id.
  session(id, options) {
    return new FocusSession(this, id, options);
  }

  trackPages(options) {
    return new PageTracker(this, options).start();
  }

  // Keeps a visit active until it is stopped; the id is made once and kept in the browser.
  trackVisit(id = this.#visitId()) {
    return this.#repeat(() => this.request("POST", "/api/track-visit", { sessionId: id }, { optional: true }));
  }

  // Says that the user is there until it is stopped.
  heartbeat() {
    return this.#repeat(() => this.request("POST", "/api/heartbeat"));
  }

  trackEvent(type, actionName) {
    return this.request("POST", "/api/track-event", { type, ...(actionName && { actionName }) }, { optional: true });
  }

  // Calls now and as often as the answer says, and again after a while if it fails.
  #repeat(call) {
    let timer = null, over = false;
    const next = async () => {
      let seconds = 60;
      try { seconds = (await call()).nextInSeconds; } catch { /* the next one may be heard */ }
      if (!over) timer = this.env.setTimeout(next, seconds * 1000);
    };
    next();
    return () => { over = true; this.env.clearTimeout(timer); };
  }

  #visitId() {
    const fresh = globalThis.crypto.randomUUID?.() ?? `${this.env.now()}-${this.env.random()}`;
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

// `url` is the server's (default: where this module came from), `token` the user's, or a
// function that gives it (also asynchronously) and is asked with `{fresh: true}` for another.
export function connect(options = {}) {
  return new FocusUp(options);
}
