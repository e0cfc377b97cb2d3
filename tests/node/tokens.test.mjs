// Tokens: asked for when they are needed, refreshed once however many need it, never stuck.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { ID, inhabited, joined, last, listening, started } from "./world.mjs";

let world, focusup, asked, fresh, session;

beforeEach(() => {
  ({ world, focusup, asked, fresh } = inhabited());
  session = focusup.session(ID);
});

const EXPIRED = [401, { code: "token_expired", detail: "It has expired." }];
const used = () => world.calls.map(({ headers }) => headers.Authorization);

test("an expiring token is renewed in band", async () => {
  await started(world, session);
  world.socket.hears({ type: "expiring", expiresAt: "" });
  await world.settle();
  assert.deepEqual(world.socket.sent.at(-1), { type: "auth", token: "token2", id: "c2" });
  assert.equal(world.sockets.length, 1);
});

test("a callback without another token is not asked again and again", async () => {
  let calls = 0;
  ({ world, focusup } = inhabited({
    token: () => {
      calls += 1;
      return "always";
    },
  }));
  session = focusup.session(ID);
  await started(world, session);
  for (let turn = 0; turn < 20; turn += 1) {
    world.socket.hears({ type: "expiring", expiresAt: "" });
    await world.settle();
  }
  assert.deepEqual([world.socket.count("auth"), calls], [0, 2]);
  world.socket.ends(4401);
  await world.pass(60_000);
  assert.equal(world.sockets.length, 1);
});

test("a token that is told to expire as soon as it is there is renewed now and then", async () => {
  await started(world, session);
  for (let turn = 0; turn < 50; turn += 1) {
    world.socket.hears({ type: "expiring", expiresAt: "" });
    await world.pass(100);
    if (world.socket.sent.at(-1).type === "auth")
      world.socket.answers("auth", { type: "authenticated" });
  }
  assert.equal(world.socket.count("auth"), 1);
});

test("a string can't be refreshed: 4401 is the end", async () => {
  ({ world, focusup } = inhabited({ token: "for good" }));
  session = focusup.session(ID);
  const told = listening(session);
  await started(world, session);
  world.socket.hears({ type: "expiring", expiresAt: "" });
  world.socket.ends(4401);
  await world.pass(60_000);
  assert.equal(world.sockets.length, 1);
  assert.equal(last(told), "closed");
});

test("a token that was taken may be renewed again later", async () => {
  await started(world, session);
  for (let hour = 0; hour < 3; hour += 1) {
    world.socket.ends(4401);
    await world.settle();
    await joined(world);
  }
  assert.deepEqual([world.sockets.length, fresh()], [4, 3]);
});

test("a callback that fails is asked again later, and tells why", async () => {
  for (const fail of [
    () => {
      throw new Error("no");
    },
    async () => {
      throw new Error("no");
    },
  ]) {
    let calls = 0;
    ({ world, focusup } = inhabited({ token: (how) => (calls++ < 2 ? fail(how) : "token") }));
    session = focusup.session(ID);
    const told = listening(session);
    const starting = session.start();
    await world.pass(500);
    await world.pass(1_000);
    assert.deepEqual(
      told.filter(([type]) => type === "error").map(([, code]) => code),
      Array(2).fill("token_unavailable"),
    );
    await joined(world);
    assert.equal((await starting)._id, ID);
  }
});

test("a callback that hangs is given up", async () => {
  let calls = 0;
  ({ world, focusup } = inhabited({ token: () => (calls++ ? "token" : new Promise(() => {})) }));
  session = focusup.session(ID);
  session.start();
  await world.pass(15_500);
  assert.equal(world.sockets.length, 1);
  assert.deepEqual(world.socket.protocols, ["focusup.v1", "bearer.token"]);
});

test("who is closed while a token is on its way opens nothing when it comes", async () => {
  let give;
  ({ world, focusup } = inhabited({
    token: () =>
      new Promise((resolve) => {
        give = resolve;
      }),
  }));
  session = focusup.session(ID);
  session.start().catch(() => {});
  await world.settle();
  const late = give;
  session.release();
  session.start().catch(() => {});
  await world.settle();
  late("old");
  give("new");
  await world.settle();
  assert.deepEqual(
    world.sockets.map(({ protocols }) => protocols[1]),
    ["bearer.new"],
  );
});

test("a 401 is asked again with a fresh token, once", async () => {
  world.answers.push(EXPIRED, [201, { session: { _id: ID } }]);
  assert.equal((await focusup.createSession({ targetMinutes: 5 })).id, ID);
  assert.deepEqual(used(), ["Bearer token1", "Bearer token2"]);
  world.answers.push(EXPIRED, EXPIRED);
  await assert.rejects(focusup.createSession(), {
    code: "token_expired",
    status: 401,
    retryable: false,
  });
  assert.equal(world.calls.length, 4);
});

test("however many are refused at a time, one fresh token is asked for", async () => {
  world.answers.push(...Array(20).fill(EXPIRED));
  await Promise.all(Array.from({ length: 20 }, () => focusup.request("GET", "/api/sessions")));
  assert.equal(fresh(), 1);
  assert.deepEqual(used().slice(20), Array(20).fill("Bearer token2"));
});

test("who is refused late takes the token that another has got", async () => {
  let refuse;
  world.answers.push(
    () =>
      new Promise((resolve) => {
        refuse = () => resolve(EXPIRED);
      }),
    EXPIRED,
  );
  const late = focusup.request("GET", "/late");
  await world.settle();
  await focusup.request("GET", "/early");
  refuse();
  await late;
  assert.equal(fresh(), 1);
  assert.equal(used().at(-1), "Bearer token2");
});

test("an app that keeps only its first token goes on with the fresh one", async () => {
  ({ world, focusup } = inhabited({
    token: ({ fresh: another }) => (another ? "fresh" : "first"),
  }));
  world.answers.push(EXPIRED);
  await focusup.request("GET", "/one");
  await focusup.request("GET", "/two");
  assert.deepEqual(used(), ["Bearer first", "Bearer fresh", "Bearer fresh"]);
});

test("who signs out has no token any more, and who signs in has another's", async () => {
  let own = "ada";
  ({ world, focusup } = inhabited({ token: ({ fresh: another }) => (another ? "ada2" : own) }));
  world.answers.push(EXPIRED);
  await focusup.request("GET", "/one");
  own = null;
  await focusup.request("GET", "/two");
  own = "bob";
  await focusup.request("GET", "/three");
  assert.deepEqual(used().slice(2), [undefined, "Bearer bob"]);
});

test("sockets and requests that are refused together share a refresh", async () => {
  const other = focusup.session("f".repeat(24));
  await started(world, session);
  await started(world, other);
  let refuse;
  world.answers.push(
    () =>
      new Promise((resolve) => {
        refuse = () => resolve(EXPIRED);
      }),
  );
  const asking = focusup.request("GET", "/api/sessions");
  await world.settle();
  const [first, second] = world.sockets;
  first.ends(4401);
  second.ends(4401);
  refuse();
  await asking;
  assert.equal(fresh(), 1);
  assert.deepEqual(
    world.sockets.slice(2).map(({ protocols }) => protocols[1]),
    ["bearer.token2", "bearer.token2"],
  );
});

test("what does without a token does so when there is none", async () => {
  ({ world, focusup } = inhabited({
    token: () => {
      throw new Error("signed out");
    },
  }));
  world.answers.push([204]);
  assert.equal(await focusup.trackEvent("app_open"), null);
  assert.equal(world.calls[0].headers.Authorization, undefined);
  await assert.rejects(focusup.request("GET", "/api/sessions"), {
    code: "token_unavailable",
    retryable: true,
  });
});

test("the token is asked for each time, so that the app's newest is used", async () => {
  await focusup.request("GET", "/one");
  await focusup.request("GET", "/two");
  assert.deepEqual(asked, ["any", "any"]);
});

test("a token that comes too late to fail has failed nobody", async () => {
  let fail;
  ({ world, focusup } = inhabited({
    token: () =>
      new Promise((_, reject) => {
        fail = reject;
      }),
  }));
  session = focusup.session(ID);
  const told = listening(session);
  session.start();
  await world.settle();
  session.release();
  fail(new Error("no"));
  await world.settle();
  assert.equal(told.filter(([type]) => type === "error").length, 0);
  assert.equal(world.timers.size, 0);
});

test("who lets go when told of a failed token is not kept", async () => {
  ({ world, focusup } = inhabited({
    token: () => {
      throw new Error("signed out");
    },
  }));
  session = focusup.session(ID);
  session.on("error", () => session.release());
  session.start();
  await world.pass(60_000);
  assert.equal(world.timers.size, 0);
});

test("a renewal that comes after the connection was lost is not sent on the next one", async () => {
  let give,
    calls = 0;
  const token = ({ fresh: another }) => {
    calls += 1;
    return another && calls === 2
      ? new Promise((resolve) => {
          give = resolve;
        })
      : `token${calls}`;
  };
  ({ world, focusup } = inhabited({ token }));
  session = focusup.session(ID);
  await started(world, session);
  world.socket.hears({ type: "expiring", expiresAt: "" });
  world.socket.ends(1006);
  await world.pass(500);
  await joined(world);
  give("late");
  await world.settle();
  assert.equal(world.socket.count("auth"), 0);
});

test("each renewal is in place of the one before", async () => {
  await started(world, session);
  for (const expected of ["token2", "token3"]) {
    world.socket.hears({ type: "expiring", expiresAt: "" });
    await world.settle();
    assert.equal(world.socket.sent.findLast(({ type }) => type === "auth").token, expected);
    world.socket.answers("auth", { type: "authenticated" });
    await world.pass(11_000);
  }
});

test("a token that was refused once and is given again is asked for again when it is refused", async () => {
  const next = ["two", "one", "three"];
  let current = "one";
  ({ world, focusup } = inhabited({
    token: ({ fresh: another }) => (another ? (current = next.shift()) : current),
  }));
  for (const expected of ["two", "one", "three"]) {
    world.answers.push(EXPIRED);
    await focusup.request("GET", "/");
    assert.equal(used().at(-1), `Bearer ${expected}`);
  }
});

test("who was nobody at first is nobody again after signing out", async () => {
  let own = null;
  ({ world, focusup } = inhabited({ token: ({ fresh: another }) => (another ? "ada" : own) }));
  session = focusup.session(ID);
  await started(world, session);
  world.socket.ends(4401);
  await world.settle();
  assert.equal(world.socket.protocols[1], "bearer.ada");
  await focusup.request("GET", "/");
  assert.equal(used().at(-1), undefined);
  own = "ada";
  await focusup.request("GET", "/");
  assert.equal(used().at(-1), "Bearer ada");
});
