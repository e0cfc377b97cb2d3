// A browser of nothing: a clock that is moved by hand, sockets that do as they are told, a page.

import { connect } from "../../focusup/web/static/focusup.js";

export const ID = "0123456789abcdef01234567";

// A document, or a window: what it holds is in `frames`.
export class Target {
  listeners = new Map();
  frames = [];
  defaultView = {}; // gone when a frame is
  addEventListener(type, act) {
    if (!this.listeners.has(type)) this.listeners.set(type, new Set());
    this.listeners.get(type).add(act);
  }
  removeEventListener(type, act) {
    this.listeners.get(type)?.delete(act);
  }
  fire(type, event = {}) {
    for (const act of [...(this.listeners.get(type) ?? [])])
      act({ type, isTrusted: true, ...event });
  }
  querySelectorAll() {
    return this.frames;
  }
  get count() {
    return [...this.listeners.values()].reduce((sum, each) => sum + each.size, 0);
  }
}

export class World {
  now = 1_000_000;
  timers = new Map();
  sockets = [];
  calls = [];
  reported = [];
  answers = [];
  kept = new Map();
  #timers = 0;

  constructor() {
    const world = this;
    this.page = Object.assign(new Target(), { visibilityState: "visible", title: "A page" });
    this.window = Object.assign(new Target(), {
      location: { pathname: "/a" },
      history: {
        pushState(_, __, path) {
          world.window.location = { pathname: path };
        },
        replaceState(_, __, path) {
          world.window.location = { pathname: path };
        },
      },
    });
    class FakeSocket {
      readyState = 0;
      sent = [];
      deaf = false;
      #at = [];
      constructor(address, protocols) {
        Object.assign(this, { address, protocols });
        world.sockets.push(this);
      }
      send(text) {
        const message = JSON.parse(text);
        this.sent.push(message);
        this.#at.push(world.now);
        if (message.type === "ping" && !this.deaf)
          Promise.resolve().then(() => this.hears({ type: "pong" }));
      }
      close(code = 1000) {
        this.readyState = 2;
        this.closedWith = code;
      }
      opens() {
        this.readyState = 1;
        this.onopen({});
      }
      hears(message) {
        this.onmessage({ data: JSON.stringify(message) });
      }
      // Answer the last message of this type.
      answers(type, message) {
        const { id } = this.sent.findLast((each) => each.type === type);
        this.hears({ ...message, id });
      }
      ends(code) {
        this.readyState = 3;
        this.onclose({ code });
      }
      get types() {
        return this.sent.map(({ type }) => type).filter((type) => type !== "ping");
      }
      sentAt(type) {
        return this.#at.filter((_, index) => this.sent[index].type === type);
      }
      count(type) {
        return this.sent.filter((message) => message.type === type).length;
      }
    }
    this.env = {
      page: this.page,
      window: this.window,
      WebSocket: FakeSocket,
      fetch: (address, options) => this.#fetch(address, options),
      storage: () => ({
        getItem: (name) => this.kept.get(name) ?? null,
        setItem: (name, value) => this.kept.set(name, value),
        removeItem: (name) => this.kept.delete(name),
      }),
      now: () => this.now,
      random: () => 1,
      setTimeout: (act, delay) => {
        this.timers.set(++this.#timers, { act, at: this.now + delay });
        return this.#timers;
      },
      clearTimeout: (timer) => this.timers.delete(timer),
      report: (error) => this.reported.push(error),
      visible: () => this.page.visibilityState !== "hidden",
    };
  }

  get socket() {
    return this.sockets.at(-1);
  }

  get listeners() {
    return this.page.count + this.window.count;
  }

  // An answer is [status, body, headers], or an Error for none, or what makes one of the call.
  async #fetch(address, options) {
    this.calls.push({ address, ...options });
    let answer = this.answers.shift() ?? [200, {}];
    if (typeof answer === "function") answer = await answer(options);
    if (answer instanceof Error) throw answer;
    const [status, body, headers = {}] = answer;
    return {
      ok: status < 400,
      status,
      statusText: `Status ${status}`,
      headers: new Headers(headers),
      json: async () => {
        if (body === undefined) throw new SyntaxError("no JSON");
        return body;
      },
    };
  }

  async settle() {
    for (let turn = 0; turn < 60; turn += 1) await Promise.resolve();
  }

  // Let time go by, timer by timer.
  async pass(ms) {
    const until = this.now + ms;
    for (;;) {
      await this.settle();
      const due = [...this.timers]
        .filter(([, { at }]) => at <= until)
        .sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.now = Math.max(this.now, due[1].at);
      due[1].act();
    }
    this.now = until;
    await this.settle();
  }

  // The machine sleeps: time goes by and no timer runs until it is awake.
  async sleep(ms) {
    this.now += ms;
    await this.pass(0);
  }

  // The hands of the clock are moved; timers do not notice.
  jump(ms) {
    this.now += ms;
    for (const timer of this.timers.values()) timer.at += ms;
  }

  async show(state) {
    this.page.visibilityState = state;
    this.page.fire("visibilitychange");
    await this.settle();
  }
}

// A world with a library in it; `asked` tells what was asked of the callback for tokens.
export function inhabited({ token, ...given } = {}) {
  const world = new World();
  const asked = [];
  let current = 1;
  const own = async ({ fresh }) => {
    asked.push(fresh ? "fresh" : "any");
    if (fresh) current += 1;
    return `token${current}`;
  };
  const focusup = connect({
    url: "https://focusup.example",
    token: token ?? own,
    env: { ...world.env, ...given.env },
  });
  return { world, focusup, asked, fresh: () => asked.filter((how) => how === "fresh").length };
}

// What a session tells, as [type, state, code or null], in order.
export function listening(session) {
  const told = [];
  const types = [
    "started",
    "tick",
    "state",
    "paused",
    "resumed",
    "stopped",
    "superseded",
    "degraded",
    "error",
    "connection",
  ];
  for (const type of types)
    session.on(type, (detail) => told.push([type, detail?.state ?? detail?.code ?? null]));
  return told;
}

export const last = (told) => told.findLast(([type]) => type === "connection")?.[1];

// The server says that it tracks the session of the newest socket.
export async function joined(world, message = {}) {
  world.socket.opens();
  world.socket.answers("start", {
    type: "started",
    session: { _id: ID },
    idleThresholdSeconds: 15,
    ...message,
  });
  await world.settle();
}

export async function started(world, session, message) {
  const promise = session.start();
  await world.settle();
  await joined(world, message);
  return promise;
}
