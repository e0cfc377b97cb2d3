// Signs of the user, and switches of the tab: as few as may be, as many as are needed.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { ID, Target, inhabited, joined, started } from "./world.mjs";

let world, focusup, session;

beforeEach(() => {
  ({ world, focusup } = inhabited());
  session = focusup.session(ID);
});

const sent = () => world.socket.count("activity");

// Move for so long, and say when the messages left, in ms.
async function moving(ms, every = 100) {
  const at = [],
    begun = world.now;
  for (let passed = 0; passed < ms; passed += every) {
    const before = sent();
    world.page.fire("pointermove");
    await world.pass(every);
    if (sent() > before) at.push(world.now - begun);
  }
  return at;
}

test("activity is sent once in five seconds while the user moves", async () => {
  await started(world, session);
  assert.deepEqual(await moving(30_000), [5_000, 10_000, 15_000, 20_000, 25_000, 30_000]);
});

test("a sign that was held back is sent when the interval is over", async () => {
  await started(world, session);
  await world.pass(100);
  world.page.fire("keydown");
  await world.pass(4_800);
  assert.equal(sent(), 0);
  await world.pass(100);
  assert.equal(sent(), 1);
  await world.pass(60_000);
  assert.equal(sent(), 1);
});

test("the first sign after a silence is sent at once", async () => {
  await started(world, session);
  await world.pass(20_000);
  world.page.fire("touchstart");
  assert.equal(sent(), 1);
});

test("after idle a sign is sent at once, and only one", async () => {
  await started(world, session);
  world.socket.hears({ type: "tick", idle: true });
  world.page.fire("keydown");
  world.page.fire("keydown");
  assert.equal(sent(), 1);
  world.socket.hears({ type: "tick", idle: false });
  world.page.fire("scroll");
  assert.equal(sent(), 1);
});

for (const [threshold, longest] of [
  [5, 1_700],
  [7.5, 2_500],
  [15, 5_000],
  [600, 5_000],
]) {
  test(`a silence of ${threshold} s makes idle: messages come every ${longest} ms`, async () => {
    await started(world, session, { idleThresholdSeconds: threshold });
    const at = await moving(30_000, 50);
    const gaps = at.map((each, index) => each - (at[index - 1] ?? 0));
    assert.ok(Math.max(...gaps) <= longest, gaps);
    assert.ok(Math.max(...gaps) * 2 < threshold * 1000 || threshold === 600); // room for one that is late
  });
}

test("who is never silent for long is never idle, however the signs lie", async () => {
  for (const threshold of [5, 15]) {
    await started(world, session, { idleThresholdSeconds: threshold });
    for (let turn = 0; turn < 300; turn += 1) {
      await world.pass(((turn * 7919) % (threshold * 990)) + 1); // up to just below the threshold
      world.page.fire("pointermove");
    }
    const at = world.socket.sentAt("activity");
    const longest = Math.max(...at.slice(1).map((each, index) => each - at[index]));
    assert.ok(longest < threshold * 1000, `${longest}`);
    session.release();
  }
});

test("messages hold nothing of what was done", async () => {
  await started(world, session);
  for (const type of [
    "pointerdown",
    "pointermove",
    "keydown",
    "wheel",
    "touchstart",
    "touchmove",
  ]) {
    await world.pass(6_000);
    world.page.fire(type, { clientX: 7, key: "a" });
  }
  const activities = world.socket.sent.filter(({ type }) => type === "activity");
  assert.equal(activities.length, 6);
  for (const message of activities) assert.deepEqual(message, { type: "activity" });
});

test("nothing is sent before the start is answered", async () => {
  session.start();
  await world.settle();
  world.page.fire("pointermove");
  world.socket.opens();
  world.page.fire("pointermove");
  assert.deepEqual(world.socket.types, ["start"]);
});

test("a hidden page is a tab switch, and a page that is left is none", async () => {
  await started(world, session);
  await world.show("hidden");
  await world.show("visible");
  assert.equal(world.socket.count("tabSwitch"), 1);
  const { socket } = world;
  world.window.fire("pagehide", { persisted: false });
  await world.show("hidden");
  assert.equal(socket.count("tabSwitch"), 1);
});

test("a page that is hidden from the beginning has switched nothing", async () => {
  world.page.visibilityState = "hidden";
  await started(world, session);
  assert.equal(world.socket.sent[0].visible, false);
  await world.show("visible");
  assert.equal(world.socket.count("tabSwitch"), 0);
  await world.pass(5_000);
  assert.equal(sent(), 1); // who shows a page is there
});

test("switches while the connection is lost are told after it", async () => {
  await started(world, session);
  world.socket.ends(1006);
  await world.show("hidden");
  await world.pass(500);
  await world.show("visible");
  await world.show("hidden");
  await joined(world);
  assert.deepEqual(world.socket.types, ["start", "tabSwitch", "tabSwitch"]);
  world.socket.ends(1006);
  await world.pass(1_000);
  await joined(world);
  assert.equal(world.socket.count("tabSwitch"), 0);
});

test("switches before the first start are none of the session's", async () => {
  session.start();
  await world.settle();
  await world.show("hidden");
  await joined(world);
  assert.equal(world.socket.count("tabSwitch"), 0);
});

test("with listen: false signs come from the app alone, and the connection is cared for", async () => {
  session = focusup.session(ID, { listen: false });
  await started(world, session);
  await world.pass(6_000);
  world.page.fire("pointermove");
  await world.show("hidden");
  await world.show("visible");
  assert.deepEqual(world.socket.types, ["start"]);
  session.activity();
  assert.equal(sent(), 1);
  world.socket.ends(1006);
  world.window.fire("online");
  await world.settle();
  assert.equal(world.sockets.length, 2);
});

test("no more switches are held back than the server takes at once", async () => {
  await started(world, session);
  world.socket.ends(1006);
  for (let turn = 0; turn < 150; turn += 1) session.tabSwitch();
  await world.pass(500);
  await joined(world);
  assert.equal(world.socket.count("tabSwitch"), 100);
});

test("what a script dispatches is no sign of the user", async () => {
  await started(world, session);
  await world.pass(20_000);
  for (const type of ["keydown", "pointermove", "wheel", "scroll"])
    world.page.fire(type, { isTrusted: false });
  assert.equal(sent(), 0);
  world.page.fire("keydown");
  assert.equal(sent(), 1);
});

test("a page that scrolls itself is no sign, a scroll right after input is one", async () => {
  await started(world, session);
  await world.pass(20_000);
  for (let turn = 0; turn < 45; turn += 1) {
    world.page.fire("scroll");
    await world.pass(1_000);
  }
  assert.equal(sent(), 0);
  world.page.fire("pointerdown"); // on a scroll bar
  await world.pass(900);
  world.page.fire("scroll");
  await world.pass(4_100);
  assert.equal(sent(), 2); // what was held back is sent
  world.page.fire("scroll");
  await world.pass(30_000);
  assert.equal(sent(), 2);
});

test("a page that scrolls itself does not take over a session that rests", async () => {
  await started(world, session);
  world.socket.ends(4409);
  world.page.fire("scroll");
  await world.pass(60_000);
  assert.equal(world.sockets.length, 1);
  world.page.fire("pointermove");
  await world.settle();
  assert.equal(world.sockets.length, 2);
});

// A frame as an element: its document is null when it is of another origin.
const frame = (contentDocument) => ({ contentDocument });

test("work in frames of the same origin counts, as deep as they are", async () => {
  const inner = new Target(),
    outer = new Target();
  outer.frames = [frame(inner)];
  world.page.frames = [frame(outer), frame(null)];
  await started(world, session);
  await world.pass(6_000);
  outer.fire("keydown");
  assert.equal(sent(), 1);
  await world.pass(6_000);
  inner.fire("wheel");
  assert.equal(sent(), 2);
  await world.pass(6_000);
  inner.fire("keydown", { isTrusted: false });
  assert.equal(sent(), 2);
});

test("a frame that comes later, or gets another document, is heard from then on", async () => {
  await started(world, session);
  const first = new Target(),
    second = new Target(),
    nested = new Target();
  const added = frame(first);
  world.page.fire("load", { target: added });
  await world.pass(6_000);
  first.fire("pointermove");
  assert.equal(sent(), 1);
  added.contentDocument = second;
  first.defaultView = null;
  world.page.fire("load", { target: added });
  second.fire("load", { target: frame(nested) });
  world.page.fire("load", { target: { src: "a picture" } });
  world.page.fire("load", { target: frame(null) });
  await world.pass(6_000);
  second.fire("pointermove");
  assert.equal(sent(), 2);
  await world.pass(6_000);
  nested.fire("keydown");
  assert.equal(sent(), 3);
  session.release();
  assert.equal(world.listeners + second.count + nested.count, 0);
});
