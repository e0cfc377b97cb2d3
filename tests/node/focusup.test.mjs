// The client library, against a clock, a socket and a page that obey.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { AFTER_CLOSE, connect } from "../../focusup/web/static/focusup.js";
import { World } from "./world.mjs";

const ID = "0123456789abcdef01234567";
let world, tokens, focusup, session, told;

beforeEach(() => {
  world = new World();
  tokens = [];
  told = [];
  focusup = connect({
    url: "https://focusup.example",
    token: async (how) => { tokens.push(how); return `token${tokens.length}`; },
    env: world.env,
  });
  session = focusup.session(ID);
  for (const type of ["tick", "stopped", "superseded", "error", "connection", "started"]) {
    session.on(type, (detail) => told.push([type, detail.state ?? detail.code ?? null]));
  }
});

async function started() {
  const promise = session.start();
  promise.catch(() => {});
  await world.settle();
  world.socket.opens();
  world.socket.answers("start", { type: "started", session: { _id: ID } });
  await world.settle();
  return promise;
}

const state = () => told.findLast(([type]) => type === "connection")?.[1];

test("the token is in the subprotocol and in no address", async () => {
  await started();
  assert.deepEqual(world.socket.protocols, ["focusup.v1", "bearer.token1"]);
  assert.equal(world.socket.address, "wss://focusup.example/ws/sessions");
});

for (const [code, then] of Object.entries(AFTER_CLOSE)) {
  test(`close code ${code}: ${then}`, async () => {
    await started();
    world.socket.ends(Number(code));
    await world.settle();
    const before = world.sockets.length;
    if (then === "token") {
      assert.equal(before, 2);
      assert.deepEqual(tokens.at(-1), { fresh: true });
      world.socket.opens();
      world.socket.ends(Number(code)); // refused although it is fresh
      await world.pass(600_000);
      assert.equal(world.sockets.length, 2);
      assert.equal(state(), "closed");
      return;
    }
    await world.pass(59_000);
    const soon = world.sockets.length - before;
    assert.equal(soon, then === "again" ? 1 : 0);
    if (then === "later") {
      await world.pass(2_000);
      assert.equal(world.sockets.length, 2);
    } else if (then === "return") {
      await world.pass(600_000);
      assert.equal(state(), "resting");
      world.page.fire("pointermove");
      await world.settle();
      assert.equal(world.sockets.length, 2);
    } else if (then === "rest") {
      await world.pass(600_000);
      world.page.fire("pointermove");
      await world.show("visible");
      assert.equal(world.sockets.length, 1);
      assert.equal(state(), "closed");
    }
  });
}

test("backoff doubles up to half a minute, with jitter, and starts anew once it works", async () => {
  await started();
  const waits = [];
  for (let attempt = 0; attempt < 9; attempt += 1) {
    const count = world.sockets.length, at = world.now;
    world.socket.ends(1006);
    while (world.sockets.length === count) await world.pass(100);
    waits.push(world.now - at);
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  world.socket.opens();
  world.socket.answers("start", { type: "started", session: {} });
  await world.settle();
  const count = world.sockets.length;
  world.socket.ends(1006);
  await world.pass(500);
  assert.equal(world.sockets.length, count + 1);
});

test("the session goes on by itself after the connection was lost", async () => {
  await started();
  world.socket.ends(1006);
  await world.pass(500);
  world.socket.opens();
  assert.deepEqual(world.socket.sent[0], { type: "start", sessionId: ID, updates: "tick", id: "c2" });
});

test("online and a page that is shown again end the waiting at once", async () => {
  for (const wake of [() => world.window.fire("online"), () => world.show("visible"), () => world.page.fire("resume"), () => world.window.fire("pageshow", { persisted: true })]) {
    await started();
    world.socket.ends(1006);
    await world.settle();
    const before = world.sockets.length;
    await wake();
    await world.settle();
    assert.equal(world.sockets.length, before + 1);
    session.release();
  }
});

test("after a sleep an open socket has to prove that it lives", async () => {
  await started();
  const first = world.socket;
  await world.sleep(3_600_000);
  assert.equal(first.types().at(-1), "ping");
  first.hears({ type: "pong", serverTime: "" });
  await world.pass(10_000);
  assert.equal(world.sockets.length, 1);
  await world.sleep(3_600_000);
  await world.pass(4_000); // no pong
  await world.pass(500);
  assert.equal(world.sockets.length, 2);
  assert.notEqual(first.closedWith, undefined);
});

test("activity is sent once in five seconds while active, and at once after idle", async () => {
  await started();
  const sent = () => world.socket.types().filter((type) => type === "activity").length;
  for (let tenth = 0; tenth < 100; tenth += 1) {
    world.page.fire("pointermove");
    await world.pass(100);
  }
  assert.equal(sent(), 1);
  world.socket.hears({ type: "tick", idle: true });
  world.page.fire("keydown");
  assert.equal(sent(), 2);
  world.socket.hears({ type: "tick", idle: false });
  world.page.fire("scroll");
  assert.equal(sent(), 2);
  assert.ok(world.socket.sent.every((message) => Object.keys(message).every((name) => ["type", "id", "sessionId", "updates"].includes(name))));
});

test("a hidden page is a tab switch", async () => {
  await started();
  await world.show("hidden");
  await world.show("visible");
  assert.deepEqual(world.socket.types().filter((type) => type === "tabSwitch"), ["tabSwitch"]);
});

test("an expiring token is renewed in band", async () => {
  await started();
  world.socket.hears({ type: "expiring", expiresAt: "" });
  await world.settle();
  assert.deepEqual(world.socket.sent.at(-1), { type: "auth", token: "token2", id: "c2" });
  assert.equal(world.sockets.length, 1);
});

test("stop resolves with the session, and nothing is left behind", async () => {
  await started();
  const stopping = session.stop();
  world.socket.answers("stop", { type: "stopped", session: { _id: ID, focusScore: 7 }, focusScore: 7 });
  assert.equal((await stopping).focusScore, 7);
  assert.equal(world.page.count + world.window.count, 0);
  assert.equal(world.timers.size, 0);
  assert.equal(told.filter(([type]) => type === "stopped").length, 1);
});

test("stop without a connection goes over REST", async () => {
  await started();
  world.socket.ends(1006);
  world.answers.push([200, { session: { _id: ID, focusScore: 3 } }]);
  assert.equal((await session.stop()).focusScore, 3);
  assert.equal(world.calls[0].address, `https://focusup.example/api/sessions/${ID}/end`);
  await world.pass(60_000);
  assert.equal(world.sockets.length, 1);
});

test("a 401 is asked again with a fresh token, once", async () => {
  world.answers.push([401, { code: "token_expired" }], [201, { session: { _id: ID } }]);
  assert.equal((await focusup.createSession({ targetMinutes: 5 })).id, ID);
  assert.deepEqual(world.calls.map(({ headers }) => headers.Authorization), ["Bearer token1", "Bearer token2"]);
  world.answers.push([401, { code: "token_invalid", detail: "No." }], [401, { code: "token_invalid", detail: "No." }]);
  await assert.rejects(focusup.createSession(), { code: "token_invalid", status: 401 });
});

test("an ended session is not started again and again", async () => {
  const promise = session.start();
  await world.settle();
  world.socket.opens();
  world.socket.answers("start", { type: "error", code: "session_ended", message: "It has ended.", retryable: false });
  await assert.rejects(promise, { code: "session_ended" });
  await world.pass(600_000);
  assert.equal(world.sockets.length, 1);
});

test("pages are followed through the history", async () => {
  const tracker = focusup.trackPages();
  await world.settle();
  world.socket.opens();
  world.socket.answers("view", { type: "viewing", viewId: "v", visitor: "key" });
  await world.settle();
  world.window.history.pushState({}, "", "/b");
  tracker.view("/b#two", { tab: 2 });
  assert.deepEqual(world.socket.sent.map(({ page }) => page), ["/a", "/b", "/b#two"]);
  assert.equal(world.kept.get("focusup.visitor"), "key");
  tracker.stop();
  assert.equal(world.socket.types().at(-1), "leave");
});

test("visits keep the cadence that the server tells", async () => {
  world.answers.push([200, { nextInSeconds: 300 }], [200, { nextInSeconds: 300 }]);
  const stop = focusup.trackVisit("visit");
  await world.pass(300_000);
  assert.equal(world.calls.length, 2);
  stop();
  await world.pass(900_000);
  assert.equal(world.calls.length, 2);
});
