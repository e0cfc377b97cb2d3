// A connection that is wanted: lost, refused, hung, frozen, slept through, and made again.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { AFTER_CLOSE } from "../../focusup/web/static/focusup.js";
import { ID, inhabited, joined, last, listening, started } from "./world.mjs";

let world, focusup, asked, fresh, session, told;

beforeEach(() => {
  ({ world, focusup, asked, fresh } = inhabited());
  session = focusup.session(ID);
  told = listening(session);
});

const opened = () => world.sockets.length;

test("the token is in the subprotocol and in no address", async () => {
  await started(world, session);
  assert.deepEqual(world.socket.protocols, ["focusup.v1", "bearer.token1"]);
  assert.equal(world.socket.address, "wss://focusup.example/ws/sessions");
});

async function comesBack() {
  world.page.fire("scroll"); // a page may scroll by itself
  await world.settle();
  assert.equal(opened(), 1);
  world.page.fire("pointermove");
  await world.settle();
  assert.equal(opened(), 2);
  await joined(world);
  assert.equal(last(told), "open");
}

const AFTER = {
  async rest(code) {
    await world.pass(600_000);
    world.page.fire("pointermove");
    world.window.fire("online");
    await world.show("visible");
    assert.equal(opened(), 1);
    assert.equal(last(told), "closed");
    assert.deepEqual(
      told.filter(([type]) => type === "error"),
      [["error", "refused"]],
    );
    assert.equal(world.listeners + world.timers.size, 0);
    await assert.rejects(session.pause(), { code: "not_started" });
    session.start().catch(() => {});
    await world.settle();
    world.socket.ends(code);
  },
  async token(code) {
    assert.equal(opened(), 2);
    assert.equal(fresh(), 1);
    world.socket.opens();
    world.socket.ends(code); // refused although it is fresh
    await world.pass(600_000);
    assert.deepEqual([opened(), last(told), fresh()], [2, "closed", 1]);
  },
  async return() {
    await world.pass(600_000);
    world.window.fire("online");
    await world.settle();
    assert.deepEqual([opened(), last(told)], [1, "resting"]);
    await comesBack();
  },
  async later() {
    await world.pass(30_000);
    world.window.fire("online");
    await world.show("visible"); // does not make the server less busy
    await world.pass(30_000);
    assert.deepEqual([opened(), last(told)], [1, "waiting"]);
    await world.pass(500);
    assert.equal(opened(), 2);
  },
  async spread() {
    await world.pass(3_499);
    assert.equal(opened(), 1);
    await world.pass(1);
    assert.equal(opened(), 2);
  },
  async again() {
    await world.pass(499);
    assert.equal(opened(), 1);
    await world.pass(1);
    assert.equal(opened(), 2);
  },
};

for (const [code, then] of Object.entries({
  ...AFTER_CLOSE,
  1006: "again",
  1001: "again",
  4999: "again",
})) {
  test(`close code ${code}: ${then}`, async () => {
    await started(world, session);
    world.socket.ends(Number(code));
    await world.settle();
    await AFTER[then](Number(code));
  });
}

test("what the server refuses before the start is why the start fails", async () => {
  const starting = session.start();
  const rejected = assert.rejects(starting, { code: "refused", status: 4403, retryable: false });
  await world.settle();
  world.socket.opens();
  world.socket.ends(4403);
  await rejected;
});

test("superseded is told, and rests until the user comes back", async () => {
  await started(world, session);
  world.socket.hears({ type: "superseded", sessionId: ID });
  world.socket.ends(4409);
  assert.equal(told.filter(([type]) => type === "superseded").length, 1);
  const pausing = session.pause(); // who pauses is there
  await world.settle();
  assert.equal(opened(), 2);
  await joined(world);
  world.socket.answers("pause", { type: "paused" });
  await pausing;
});

test("backoff doubles up to half a minute, with jitter, and starts anew once it has lasted", async () => {
  await started(world, session);
  const waits = [];
  for (let attempt = 0; attempt < 9; attempt += 1) {
    const before = opened(),
      at = world.now;
    world.socket.ends(1006);
    while (opened() === before) await world.pass(100);
    waits.push(world.now - at);
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  await joined(world);
  world.socket.ends(1011); // it worked for an instant: that is no reason to hurry
  await world.pass(29_900);
  assert.equal(opened(), 10);
  await world.pass(100);
  await joined(world);
  await world.pass(5_000);
  world.socket.ends(1006);
  await world.pass(500);
  assert.equal(opened(), 12);
});

test("jitter takes off as much as half", async () => {
  world.env.random = () => 0;
  ({ focusup } = inhabited({ env: world.env }));
  session = focusup.session(ID);
  await started(world, session);
  world.socket.ends(1012);
  await world.pass(250);
  assert.equal(opened(), 2);
});

test("the session goes on by itself after the connection was lost", async () => {
  await started(world, session);
  world.socket.ends(1006);
  await world.pass(500);
  world.socket.opens();
  assert.deepEqual(world.socket.sent[0], {
    type: "start",
    sessionId: ID,
    updates: "tick",
    id: "c2",
  });
});

const WAKING = {
  online: () => world.window.fire("online"),
  focus: () => world.window.fire("focus"),
  "a page that is shown": () => world.show("visible"),
  "a page that thaws": () => world.page.fire("resume"),
  "a page from the cache": () => world.window.fire("pageshow", { persisted: true }),
};
for (const [name, wake] of Object.entries(WAKING)) {
  test(`${name} ends the waiting at once`, async () => {
    await started(world, session);
    world.socket.ends(1006);
    await world.settle();
    await wake();
    await world.settle();
    assert.equal(opened(), 2);
  });
  test(`${name} lets an open socket prove that it lives`, async () => {
    await started(world, session);
    world.socket.deaf = true;
    await wake();
    await wake();
    assert.equal(world.socket.count("ping"), 1);
    await world.pass(4_999);
    assert.equal(opened(), 1);
    await world.pass(1);
    assert.equal(world.sockets[0].closedWith, 1000);
    assert.equal(opened(), 2);
  });
}

test("a socket that was cut while the page was frozen is made again at once, then with backoff", async () => {
  await started(world, session);
  world.page.fire("resume");
  world.socket.ends(1006);
  await world.settle();
  assert.equal(opened(), 2);
  world.socket.opens();
  world.page.fire("resume");
  world.socket.ends(1006);
  await world.pass(999);
  assert.equal(opened(), 2);
  await world.pass(1);
  assert.equal(opened(), 3);
});

test("after a sleep an open socket has to prove that it lives", async () => {
  await started(world, session);
  const first = world.socket;
  await world.sleep(3_600_000);
  await world.pass(10_000);
  assert.equal(first.count("ping"), 1);
  assert.equal(opened(), 1);
  first.deaf = true;
  await world.sleep(3_600_000);
  await world.pass(5_000);
  assert.equal(opened(), 2);
});

test("a server that has fallen silent is noticed within half a minute", async () => {
  await started(world, session);
  world.socket.hears({ type: "tick", idle: false });
  world.socket.deaf = true;
  await world.pass(25_000);
  assert.equal(opened(), 2);
});

test("while there are ticks nobody is asked for a sign of life", async () => {
  await started(world, session);
  for (let second = 0; second < 60; second += 1) {
    await world.pass(1_000);
    world.socket.hears({ type: "tick", idle: false });
  }
  assert.equal(world.socket.count("ping"), 0);
});

test("timers that a hidden page gets once a minute do no harm", async () => {
  await started(world, session);
  await world.show("hidden");
  for (let minute = 0; minute < 30; minute += 1) await world.sleep(60_000);
  assert.equal(opened(), 1);
  assert.ok(world.socket.count("ping") <= 60);
});

test("a socket that hangs while it connects is given up", async () => {
  session.start().catch(() => {});
  await world.settle();
  await world.pass(15_000);
  assert.equal(world.socket.closedWith, 1000);
  await world.pass(500);
  assert.equal(opened(), 2);
  world.sockets[0].onopen({}); // so late it is nobody's
  assert.equal(last(told), "connecting");
});

test("a page that is left lets go of its socket, and takes it up when it comes back", async () => {
  await started(world, session);
  world.window.fire("pagehide", { persisted: true });
  await world.show("hidden");
  assert.equal(world.socket.closedWith, 1000);
  assert.equal(world.timers.size, 0);
  await world.pass(3_600_000);
  assert.equal(opened(), 1);
  world.window.fire("pageshow", { persisted: true });
  await world.show("visible");
  assert.equal(opened(), 2);
  await joined(world);
  assert.deepEqual(world.socket.types, ["start"]);
});

test("the first show of a page is no return", async () => {
  await started(world, session);
  world.window.fire("pageshow", { persisted: false });
  assert.equal(world.socket.count("ping"), 0);
});

test("a clock that jumps loses no sign and no connection", async () => {
  await started(world, session);
  for (const jump of [3_600_000, -7_200_000]) {
    world.jump(jump);
    for (let second = 0; second < 10; second += 1) {
      world.page.fire("pointermove");
      await world.pass(1_000);
    }
  }
  assert.ok(world.socket.count("activity") >= 3);
  assert.equal(opened(), 1);
});

test("an address that may not be called is told, and not tried again", async () => {
  const broken = class {
    constructor() {
      throw new SyntaxError("no such subprotocol");
    }
  };
  ({ world, focusup } = inhabited({ env: { WebSocket: broken } }));
  session = focusup.session(ID);
  told = listening(session);
  await assert.rejects(session.start(), { code: "refused", message: "no such subprotocol" });
  assert.equal(last(told), "closed");
  assert.equal(world.timers.size, 0);
});

test("an error of a socket is nobody's but the close that follows it", async () => {
  await started(world, session);
  world.socket.onerror({ type: "error" });
  assert.equal(last(told), "open");
});

test("without a page there is nothing to listen to, and all else goes on", async () => {
  ({ world, focusup, asked } = inhabited({
    env: { page: undefined, window: undefined, visible: () => true },
  }));
  session = focusup.session(ID);
  told = listening(session);
  await started(world, session);
  await world.pass(5_000);
  session.activity();
  session.tabSwitch();
  assert.deepEqual(world.socket.types, ["start", "activity", "tabSwitch"]);
  world.socket.ends(4409);
  session.activity();
  await world.settle();
  assert.equal(opened(), 2);
  assert.equal(asked.length, 2);
});

test("a page that is left while it waits goes on to wait", async () => {
  await started(world, session);
  world.socket.ends(1006);
  world.window.fire("pagehide", { persisted: true });
  assert.equal(last(told), "waiting");
  await world.pass(500);
  assert.equal(opened(), 2);
});

test("what failed before a release does not count after it", async () => {
  for (let turn = 0; turn < 2; turn += 1) {
    await started(world, session);
    const before = opened();
    world.socket.ends(1006);
    await world.pass(500);
    assert.equal(opened(), before + 1);
    world.socket.ends(4401);
    await world.settle();
    world.socket.ends(4401);
    assert.equal(last(told), "closed");
  }
  assert.equal(fresh(), 2);
  session.start().catch(() => {});
  await world.settle();
  world.socket.ends(4401);
  await world.settle();
  assert.equal(fresh(), 3);
});
