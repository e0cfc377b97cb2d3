// Errors, events, timers, texts and the browser, for the other modules.

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;
const ANSWER_WITHIN_MS = 15_000;
const LONGEST_NAME = 200;
const SIGNS = [
  "pointerdown",
  "pointermove",
  "keydown",
  "wheel",
  "scroll",
  "touchstart",
  "touchmove",
];
const SCROLLED_WITHIN_MS = 1_000; // pages also scroll by themselves

// Close codes; after any other one: again.
export const AFTER_CLOSE = {
  1000: "rest",
  1002: "rest",
  1003: "rest",
  1007: "rest",
  1009: "rest",
  1011: "again",
  1012: "spread",
  1013: "spread",
  4400: "rest",
  4401: "token",
  4403: "rest",
  4404: "rest",
  4408: "return",
  4409: "return",
  4429: "later",
};

export class FocusUpError extends Error {
  constructor(
    message,
    {
      code = "unknown",
      status = 0,
      retryable = false,
      retryAfter = null,
      errors = [],
      cause = undefined,
    } = {},
  ) {
    super(message, { cause });
    Object.assign(this, { name: "FocusUpError", code, status, retryable, retryAfter, errors });
  }
}

export const failed = (code, message, retryable, more) =>
  new FocusUpError(message, { code, retryable, ...more });
export const offline = (message) => failed("offline", message, true);
export const closed = () => failed("closed", "Tracking has stopped.", false);
export const refusal = (code) =>
  failed("refused", "The server refused the connection.", false, { status: code });

export class Emitter {
  #listeners = new Map();

  constructor(env) {
    this.env = env;
  }

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
        this.env.report(error);
      }
    }
  }
}

export class Timers {
  #env;
  #timers = new Map();

  constructor(env) {
    this.#env = env;
  }

  has(name) {
    return this.#timers.has(name);
  }

  after(name, ms, act) {
    this.cancel(name);
    const run = () => {
      this.#timers.delete(name);
      act();
    };
    this.#timers.set(name, this.#env.setTimeout(run, ms));
  }

  cancel(...names) {
    for (const name of names) {
      this.#env.clearTimeout(this.#timers.get(name));
      this.#timers.delete(name);
    }
  }

  clear() {
    this.cancel(...this.#timers.keys());
  }
}

// Messages that wait for an answer.
export class Questions {
  #env;
  #waiting = new Map();
  #count = 0;

  constructor(env) {
    this.#env = env;
  }

  ask(send) {
    return new Promise((resolve, reject) => {
      const id = `c${++this.#count}`;
      if (!send(id)) {
        reject(offline("There is no connection."));
        return;
      }
      const late = () => {
        this.#waiting.delete(id);
        reject(failed("timeout", "The server did not answer.", true));
      };
      this.#waiting.set(id, {
        resolve,
        reject,
        timer: this.#env.setTimeout(late, ANSWER_WITHIN_MS),
      });
    });
  }

  settle(message) {
    // The server can't name the id of a message that it could not parse.
    if (message.code === "invalid_message" && message.id === null && this.#waiting.size === 1) {
      [message.id] = this.#waiting.keys();
    }
    const question = this.#waiting.get(message.id);
    if (!question) return false;
    this.#waiting.delete(message.id);
    this.#env.clearTimeout(question.timer);
    if (message.type === "error") question.reject(new FocusUpError(message.message, message));
    else question.resolve(message);
    return true;
  }

  fail(error) {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject, timer } of waiting) {
      this.#env.clearTimeout(timer);
      reject(error);
    }
  }
}

// UTF-8 has no lone surrogates: they become U+FFFD.
export const json = (value) =>
  JSON.stringify(value).replace(/\\(?:ud[89a-f]..|.)/g, (escape) =>
    escape.length > 2 ? "\\ufffd" : escape,
  );

export const clipped = (text) => [...text].slice(0, LONGEST_NAME).join("");

// A decoded path. `%2F` stays: it is no separator. A long one ends with its hash.
export function pageName(path) {
  const name = `${path}`
    .replace(/(?:%[89a-f][0-9a-f])+/gi, (letters) => {
      try {
        return decodeURIComponent(letters);
      } catch {
        return letters;
      }
    })
    .normalize();
  return [...name].length > LONGEST_NAME
    ? `${[...name].slice(0, LONGEST_NAME - 15).join("")}…${hashed(name)}`
    : name;
}

// cyrb53
function hashed(text) {
  let high = 0xdeadbeef,
    low = 0x41c6ce57;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    high = Math.imul(high ^ unit, 2654435761);
    low = Math.imul(low ^ unit, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return (4294967296 * (2097151 & low) + (high >>> 0)).toString(16).padStart(14, "0");
}

// Waits while the page is prerendered.
export function activated({ page }) {
  return page?.prerendering
    ? new Promise((resolve) => page.addEventListener("prerenderingchange", resolve, { once: true }))
    : Promise.resolve();
}

export function surroundings() {
  const page = globalThis.document;
  return {
    page,
    window: globalThis.window,
    WebSocket: globalThis.WebSocket,
    fetch: (url, options) => globalThis.fetch(url, options),
    storage: () => globalThis.localStorage,
    now: () => Date.now(),
    random: Math.random,
    setTimeout: (act, ms) => globalThis.setTimeout(act, ms),
    clearTimeout: (timer) => globalThis.clearTimeout(timer),
    report: (error) => (globalThis.reportError ?? console.error)(error),
    visible: () => page?.visibilityState !== "hidden",
  };
}

export const unique = (env) => globalThis.crypto?.randomUUID?.() ?? `${env.now()}-${env.random()}`;

export function within(env, ms, work, onLate = () => {}) {
  return new Promise((resolve, reject) => {
    const timer = env.setTimeout(() => {
      reject(failed("timeout", "The request timed out.", true));
      onLate();
    }, ms);
    new Promise((begun) => begun(work()))
      .then(resolve, reject)
      .finally(() => env.clearTimeout(timer));
  });
}

// With jitter: all pages lose a server at the same moment.
export function backoff(env, failures) {
  return Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** failures) * (0.5 + env.random() / 2);
}

// The user's own input, also in frames of the same origin.
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
  // A frame that navigates gets a new document.
  const loaded = ({ target }) => hear(target?.contentDocument);
  const hear = (document) => {
    if (!document) return;
    for (const old of heard) if (!old.defaultView) heard.delete(old);
    heard.add(document);
    each("addEventListener", document);
    for (const frame of document.querySelectorAll("iframe, frame")) hear(frame.contentDocument);
  };
  hear(page);
  return () => {
    for (const document of heard) each("removeEventListener", document);
  };
}

export function attend({ page, window, now, visible }, { sign, wake, shown, hidden, left }) {
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
  listen(window, ["pageshow"], ({ persisted }) => {
    if (persisted) shown();
  });
  listen(window, ["pagehide"], left);
  return () => {
    for (const off of offs.splice(0)) off();
  };
}
