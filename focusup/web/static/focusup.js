// FocusUp in a browser. `focusup.d.ts` documents the interface, docs/browser.md the rules.

import {
  FocusUpError,
  activated,
  failed,
  json,
  surroundings,
  unique,
  within,
} from "./client/common.js";
import { PageTracker, VISITOR_KEY } from "./client/page_tracker.js";
import { FocusSession } from "./client/session.js";

export { AFTER_CLOSE } from "./client/common.js";
export { FocusSession, FocusUpError };

const TOKEN_WITHIN_MS = 15_000;
const REQUEST_WITHIN_MS = 20_000;
const CREATES = /^\/api\/(?:sessions(?:\/[^/]+\/reassign)?|track-event)$/;
const LOST = new Set([502, 503, 504]);
const AGAIN_AFTER_MS = [1_000, 3_000];
const REPEAT_SECONDS = 60;
const VISIT_KEY = "focusup.visit";

class FocusUp {
  /** @type {any} */
  #given;
  #base;
  #refused = new Set();
  #fresh = null;
  #refreshing = null;
  #trackers = new Set();

  /** @param {import("./focusup.js").ConnectOptions} options */
  constructor({ url = new URL(".", import.meta.url).href, token, env }) {
    /** @type {any} */
    this.env = { ...surroundings(), ...env };
    this.#given = token;
    if (!/^https?:/.test(url))
      throw new TypeError("connect({ url }): url must be an http(s) address.");
    const { origin, pathname } = new URL(url);
    this.#base = origin + pathname.replace(/\/+$/, "");
  }

  // One fresh token is asked for, however many calls were refused.
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
      .finally(() => {
        this.#refreshing = null;
      });
    return this.#refreshing;
  }

  socketAddress(path, query = {}) {
    const address = new URL(this.#base + path);
    address.protocol = address.protocol === "http:" ? "ws:" : "wss:";
    for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
    return address.href;
  }

  async request(
    method,
    path,
    body,
    { optional = false, anonymous = false, keepalive = false } = {},
  ) {
    if (method !== "GET") await activated(this.env);
    const token = anonymous
      ? null
      : await this.token().catch((error) => {
          if (!optional) throw error;
          return null;
        });
    const call = {
      method,
      path,
      body,
      keepalive,
      key: method === "POST" && CREATES.test(path) ? unique(this.env) : null,
    };
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

  session(id, options) {
    return new FocusSession(this, id, options);
  }

  trackPages(options) {
    const tracker = new PageTracker(this, options, () => this.#trackers.delete(tracker));
    this.#trackers.add(tracker);
    return tracker;
  }

  forgetVisitor() {
    try {
      this.env.storage().removeItem(VISITOR_KEY);
    } catch {
      /* blocked: none is kept */
    }
    for (const tracker of [...this.#trackers]) tracker.forgetVisitor();
  }

  trackVisit(id = this.#visitId()) {
    return this.#repeat(() =>
      this.request("POST", "/api/track-visit", { sessionId: id }, { anonymous: true }),
    );
  }

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
      throw failed("token_unavailable", "The token could not be obtained.", true, { cause: error });
    }
  }

  // A call that creates has an idempotency key: it is safe to send again when its answer is lost.
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
      return await within(
        this.env,
        REQUEST_WITHIN_MS,
        async () => {
          const response = await this.env.fetch(new URL(this.#base + path).href, {
            method,
            headers,
            keepalive,
            signal: aborting.signal,
            ...(body && { body: json(body) }),
          });
          const answer =
            response.status === 204 ? null : await response.json().catch(() => undefined);
          return { status: response.status, answer: () => answered(response, answer) };
        },
        () => aborting.abort(),
      );
    } catch (error) {
      throw error instanceof FocusUpError
        ? error
        : failed("offline", error.message, true, { cause: error });
    }
  }

  #repeat(call) {
    let timer = null,
      over = false;
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
    return () => {
      over = true;
      this.env.clearTimeout(timer);
    };
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
  if (ok) throw failed("bad_answer", "The response is not JSON.", true, { status });
  throw new FocusUpError(answer?.detail ?? statusText, {
    code: answer?.code,
    errors: answer?.errors,
    status,
    retryable,
    retryAfter: Number(headers.get("Retry-After")) || null,
  });
}

/** @type {typeof import("./focusup.js").connect} */
export function connect(options = {}) {
  return new FocusUp(options);
}
