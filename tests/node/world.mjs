// A browser of nothing: a clock that is moved by hand, sockets that do as they are told, a page.

class Target {
  listeners = new Map();
  addEventListener(type, act) {
    if (!this.listeners.has(type)) this.listeners.set(type, new Set());
    this.listeners.get(type).add(act);
  }
  removeEventListener(type, act) { this.listeners.get(type)?.delete(act); }
  fire(type, event = {}) { for (const act of [...(this.listeners.get(type) ?? [])]) act({ type, ...event }); }
  get count() { return [...this.listeners.values()].reduce((sum, each) => sum + each.size, 0); }
}

export class World {
  now = 1_000_000; timers = new Map(); sockets = []; calls = []; reported = []; answers = []; kept = new Map();
  #timers = 0;

  constructor() {
    const world = this;
    this.page = Object.assign(new Target(), { visibilityState: "visible", title: "A page" });
    this.window = Object.assign(new Target(), {
      location: { pathname: "/a" },
      history: {
        pushState(_, __, path) { world.window.location = { pathname: path }; },
        replaceState(_, __, path) { world.window.location = { pathname: path }; },
      },
    });
    class FakeSocket {
      readyState = 0; sent = [];
      constructor(address, protocols) {
        Object.assign(this, { address, protocols });
        world.sockets.push(this);
      }
      send(text) { this.sent.push(JSON.parse(text)); }
      close(code = 1000) { this.readyState = 3; this.closedWith = code; }
      opens() { this.readyState = 1; this.onopen({}); }
      hears(message) { this.onmessage({ data: JSON.stringify(message) }); }
      // Answer the last message of this type.
      answers(type, message) {
        const { id } = this.sent.findLast((each) => each.type === type);
        this.hears({ ...message, id });
      }
      ends(code) { this.readyState = 3; this.onclose({ code }); }
      types() { return this.sent.map(({ type }) => type); }
    }
    this.env = {
      page: this.page,
      window: this.window,
      WebSocket: FakeSocket,
      fetch: async (address, options) => {
        this.calls.push({ address, ...options });
        const [status, body] = this.answers.shift() ?? [200, {}];
        return { ok: status < 400, status, statusText: "", json: async () => body };
      },
      storage: () => ({ getItem: (name) => this.kept.get(name) ?? null, setItem: (name, value) => this.kept.set(name, value) }),
      now: () => this.now,
      random: () => 1,
      setTimeout: (act, delay) => { this.timers.set(++this.#timers, { act, at: this.now + delay }); return this.#timers; },
      clearTimeout: (timer) => this.timers.delete(timer),
      report: (error) => this.reported.push(error),
      visible: () => this.page.visibilityState !== "hidden",
    };
  }

  get socket() { return this.sockets.at(-1); }

  async settle() { for (let turn = 0; turn < 20; turn += 1) await Promise.resolve(); }

  // Let time go by, timer by timer.
  async pass(ms) {
    const until = this.now + ms;
    for (;;) {
      await this.settle();
      const due = [...this.timers].filter(([, { at }]) => at <= until).sort(([, a], [, b]) => a.at - b.at)[0];
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

  async show(state) {
    this.page.visibilityState = state;
    this.page.fire("visibilitychange");
    await this.settle();
  }
}
