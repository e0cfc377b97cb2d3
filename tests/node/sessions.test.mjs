// A focus session: what becomes of each call, whatever the connection does meanwhile.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { ID, inhabited, joined, last, listening, started } from "./world.mjs";

let world, focusup, session, told;

beforeEach(() => {
  ({ world, focusup } = inhabited());
  session = focusup.session(ID);
  told = listening(session);
});

const count = (type) => told.filter(([each]) => each === type).length;
const END = `https://focusup.example/api/sessions/${ID}/end`;
const ended = (more) => [
  200,
  { session: { _id: ID, focusScore: 3, scoreBreakdown: null, ...more } },
];
const nothingLeft = () => {
  assert.equal(world.listeners, 0);
  assert.equal(world.timers.size, 0);
};

test("starting twice is starting once", async () => {
  const first = session.start();
  assert.equal(session.start(), first);
  await world.settle();
  await joined(world);
  assert.equal((await first)._id, ID);
  assert.equal((await session.start())._id, ID);
  assert.deepEqual(world.socket.types, ["start"]);
  await world.show("hidden");
  assert.equal(world.socket.count("tabSwitch"), 1);
});

test("starting waits until the server can", async () => {
  const promise = session.start();
  await world.settle();
  world.socket.opens();
  world.socket.answers("start", {
    type: "error",
    code: "database_unavailable",
    message: "Later.",
    retryable: true,
  });
  await world.pass(500);
  assert.equal(world.sockets.length, 2);
  await joined(world);
  assert.equal((await promise)._id, ID);
  assert.equal(count("error"), 1);
});

test("a start that is not answered is made on another connection", async () => {
  session.start();
  await world.settle();
  world.socket.opens();
  await world.pass(16_000);
  assert.equal(world.sockets.length, 2);
  assert.equal(world.sockets[0].closedWith, 1000);
});

test("an ended session is not started again and again", async () => {
  const promise = session.start();
  await world.settle();
  world.socket.opens();
  world.socket.answers("start", {
    type: "error",
    code: "session_ended",
    message: "It has ended.",
    retryable: false,
  });
  await assert.rejects(promise, { code: "session_ended" });
  await world.pass(600_000);
  assert.deepEqual([world.sockets.length, world.calls.length, count("error")], [1, 0, 1]);
  nothingLeft();
});

test("what is started again after a release begins anew", async () => {
  await started(world, session);
  world.socket.ends(1006);
  await world.show("hidden");
  session.release();
  await started(world, session);
  assert.equal(world.socket.count("tabSwitch"), 0);
  session.release();
  const promise = session.start();
  await world.settle();
  world.socket.opens();
  world.socket.answers("start", {
    type: "error",
    code: "session_ended",
    message: "It has ended.",
    retryable: false,
  });
  await assert.rejects(promise, { code: "session_ended" });
  await world.settle();
  assert.equal(world.calls.length, 0);
});

test("a release in the instant of the answer leaves nothing", async () => {
  session.start();
  await world.settle();
  world.socket.opens();
  world.socket.answers("start", {
    type: "started",
    session: { _id: ID },
    idleThresholdSeconds: 15,
  });
  session.release();
  await world.settle();
  nothingLeft();
});

test("starting while it waits connects at once, unless the server has too much to do", async () => {
  for (const [code, sockets] of [
    [1006, 2],
    [4429, 1],
  ]) {
    const before = world.sockets.length;
    await started(world, session);
    world.socket.ends(code);
    session.start();
    await world.settle();
    assert.equal(world.sockets.length - before, sockets);
    session.release();
  }
});

test("what ended while the connection was lost is told as stopped", async () => {
  await started(world, session);
  world.socket.ends(1006);
  await world.pass(500);
  world.answers.push(ended({ status: "abandoned" }));
  world.socket.opens();
  world.socket.answers("start", {
    type: "error",
    code: "session_ended",
    message: "It has ended.",
    retryable: false,
  });
  await world.settle();
  assert.equal(count("stopped"), 1);
  assert.equal(count("error"), 0);
  assert.equal(session.session.status, "abandoned");
  nothingLeft();
});

test("release during a handshake leaves nothing, and the start is told", async () => {
  for (const until of [
    () => {},
    () => world.settle(),
    async () => {
      await world.settle();
      world.socket.opens();
    },
  ]) {
    const promise = session.start();
    await until();
    session.release();
    await assert.rejects(promise, { code: "closed" });
    await world.pass(60_000);
    assert.ok(world.sockets.every(({ closedWith }) => closedWith === 1000));
    assert.equal(last(told), "closed");
    nothingLeft();
  }
  assert.equal(world.sockets.length, 2);
});

test("release and start in one breath make one connection", async () => {
  session.start();
  session.release();
  session.start();
  await world.settle();
  assert.equal(world.sockets.length, 1);
  await joined(world);
  assert.equal(count("started"), 1);
});

test("pause and resume resolve with what the server says, and are told", async () => {
  await started(world, session);
  const pausing = session.pause();
  world.socket.answers("pause", { type: "paused", elapsedSeconds: 4 });
  assert.equal((await pausing).elapsedSeconds, 4);
  const resuming = session.resume();
  world.socket.answers("resume", { type: "resumed", elapsedSeconds: 4 });
  await resuming;
  assert.deepEqual([count("paused"), count("resumed")], [1, 1]);
});

test("a pause while the connection is lost is made right after the next start", async () => {
  await started(world, session);
  world.socket.ends(1006);
  const pausing = session.pause();
  await world.pass(500);
  await joined(world);
  assert.deepEqual(world.socket.types, ["start", "pause"]);
  world.socket.answers("pause", { type: "paused" });
  assert.equal((await pausing).type, "paused");
});

test("a pause whose answer is lost is made again", async () => {
  await started(world, session);
  const pausing = session.pause();
  world.socket.ends(1006);
  await world.pass(500);
  await joined(world);
  world.socket.answers("pause", { type: "paused" });
  await pausing;
  assert.equal(world.socket.count("pause"), 1);
});

test("of a pause and a resume while the connection is lost the last one counts", async () => {
  await started(world, session);
  world.socket.ends(1006);
  const pausing = session.pause(),
    resuming = session.resume();
  pausing.catch(() => {});
  await world.pass(500);
  await joined(world);
  assert.deepEqual(world.socket.types, ["start", "resume"]);
  world.socket.answers("resume", { type: "resumed" });
  await resuming;
  await assert.rejects(pausing, { code: "replaced" });
});

test("a paused session is not resumed by a new connection", async () => {
  await started(world, session);
  const pausing = session.pause();
  world.socket.answers("pause", { type: "paused" });
  await pausing;
  world.socket.ends(1012);
  await world.pass(4_000);
  await joined(world, { session: { _id: ID, status: "paused" } });
  await world.pass(60_000);
  assert.deepEqual(world.socket.types, ["start"]);
});

test("a socket that is closing takes no pause, and keeps nobody busy", async () => {
  await started(world, session);
  world.socket.readyState = 2;
  const pausing = session.pause();
  await world.settle();
  world.socket.ends(1006);
  await world.pass(500);
  await joined(world);
  world.socket.answers("pause", { type: "paused" });
  await pausing;
});

test("pause before start, and after release, is refused", async () => {
  await assert.rejects(session.pause(), { code: "not_started" });
  await started(world, session);
  const pausing = session.pause();
  session.release();
  await assert.rejects(pausing, { code: "closed" });
});

test("a late answer is told all the same", async () => {
  await started(world, session);
  const pausing = session.pause();
  const rejected = assert.rejects(pausing, { code: "timeout", retryable: true });
  await world.pass(15_000);
  await rejected;
  world.socket.answers("pause", { type: "paused" });
  assert.equal(count("paused"), 1);
});

test("stop resolves with the session, and nothing is left behind", async () => {
  await started(world, session);
  const stopping = session.stop();
  assert.equal(session.stop(), stopping);
  world.socket.answers("stop", {
    type: "stopped",
    session: { _id: ID, focusScore: 7 },
    focusScore: 7,
  });
  assert.equal((await stopping).focusScore, 7);
  assert.equal(count("stopped"), 1);
  assert.equal(world.calls.length, 0);
  nothingLeft();
});

test("stop without a connection goes over REST", async () => {
  await started(world, session);
  world.socket.ends(1006);
  world.answers.push(ended());
  assert.equal((await session.stop("cancelled")).focusScore, 3);
  const [{ address, method, body, keepalive }] = world.calls;
  assert.deepEqual(
    [address, method, body, keepalive],
    [END, "PUT", '{"status":"cancelled"}', true],
  );
  await world.pass(60_000);
  assert.equal(world.sockets.length, 1);
  assert.equal(count("stopped"), 1);
  nothingLeft();
});

test("a stop that is lost with the connection ends over REST, and tracks no more", async () => {
  await started(world, session);
  const stopping = session.stop();
  world.answers.push(
    new TypeError("Failed to fetch"),
    [503, { code: "database_unavailable" }, { "Retry-After": "7" }],
    ended(),
  );
  world.socket.ends(1006);
  await world.pass(500);
  assert.equal(world.calls.length, 2);
  await world.pass(6_900);
  assert.equal(world.calls.length, 2);
  await world.pass(100);
  assert.equal((await stopping).focusScore, 3);
  assert.equal(world.calls.length, 3);
  assert.equal(world.sockets.length, 1);
  assert.equal(count("stopped"), 1);
});

test("a stop that can't be made is told, and may be tried again", async () => {
  await started(world, session);
  world.socket.ends(1006);
  world.answers.push(...Array(8).fill(new TypeError("Failed to fetch")));
  const rejected = assert.rejects(session.stop(), { code: "offline", retryable: true });
  await world.pass(120_000);
  await rejected;
  world.answers.push(ended());
  assert.equal((await session.stop()).focusScore, 3);
});

test("a stop that the server refuses is told at once", async () => {
  world.answers.push([409, { code: "session_ended", detail: "It has ended (abandoned)." }]);
  await assert.rejects(session.stop(), { code: "session_ended", status: 409, retryable: false });
  assert.equal(world.calls.length, 1);
});

test("stop while it is connecting: nothing is started any more", async () => {
  const starting = session.start();
  const refused = assert.rejects(starting, { code: "closed" });
  await world.settle();
  world.answers.push(ended());
  await session.stop();
  await refused;
  assert.equal(world.socket.closedWith, 1000);
  nothingLeft();
});

test("stop before the start is answered comes after it", async () => {
  const starting = session.start();
  await world.settle();
  world.socket.opens();
  const stopping = session.stop();
  world.socket.answers("start", { type: "started", session: { _id: ID } });
  await starting;
  world.socket.answers("stop", { type: "stopped", session: { _id: ID, focusScore: 1 } });
  assert.equal((await stopping).focusScore, 1);
  assert.deepEqual(world.socket.types, ["start", "stop"]);
});

test("the end by another tab or by REST is told once", async () => {
  await started(world, session);
  const stopping = session.stop();
  world.answers.push(ended());
  world.socket.hears({ type: "stopped", session: { _id: ID, focusScore: 3 } });
  assert.equal((await stopping).focusScore, 3);
  assert.equal(count("stopped"), 1);
  nothingLeft();
});

test("several sessions mind their own business", async () => {
  const other = focusup.session("f".repeat(24));
  await started(world, session);
  const first = world.socket;
  await started(world, other);
  assert.equal(world.sockets.length, 2);
  session.release();
  assert.equal(first.closedWith, 1000);
  world.page.fire("pointermove");
  await world.pass(5_000);
  assert.equal(world.socket.count("activity"), 1);
  other.release();
  nothingLeft();
});

test("a listener that fails keeps nobody else", async () => {
  let heard = 0;
  session.on("tick", () => {
    throw new Error("mine");
  });
  const off = session.on("tick", () => {
    heard += 1;
  });
  await started(world, session);
  world.socket.hears({ type: "tick", idle: false });
  assert.deepEqual([heard, world.reported.length, count("tick")], [1, 1, 1]);
  off();
  world.socket.hears({ type: "tick", idle: false });
  assert.equal(heard, 1);
});

test("what is no message is reported and does no harm", async () => {
  await started(world, session);
  for (const data of ["no JSON", "null", "7", "[]", '{"type":7}']) world.socket.onmessage({ data });
  assert.deepEqual(
    world.reported.map(({ code }) => code),
    Array(5).fill("bad_answer"),
  );
  world.socket.hears({ type: "tick", idle: false });
  assert.equal(count("tick"), 1);
});

test("an error that answers nothing is told", async () => {
  await started(world, session);
  world.socket.hears({
    type: "error",
    id: null,
    code: "invalid_message",
    message: "No.",
    retryable: false,
  });
  assert.deepEqual(told.at(-1), ["error", "invalid_message"]);
});
