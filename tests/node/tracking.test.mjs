// Page views, visits, presence, events, and calls of the REST interface.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { connect } from "../../focusup/web/static/focusup.js";
import { inhabited } from "./world.mjs";

let world, focusup;

beforeEach(() => ({ world, focusup } = inhabited()));

async function tracked(options) {
  const tracker = focusup.trackPages(options);
  await world.settle();
  await viewing();
  return tracker;
}

async function viewing(message = {}) {
  if (world.socket.readyState === 0) world.socket.opens();
  world.socket.answers("view", {
    type: "viewing",
    viewId: "v",
    visitor: "key",
    idleThresholdSeconds: 15,
    ...message,
  });
  await world.settle();
}

const pages = () => world.socket.sent.filter(({ type }) => type === "view").map(({ page }) => page);
const { pushState, replaceState } = {
  pushState: (path) => world.window.history.pushState({}, "", path),
  replaceState: (path) => world.window.history.replaceState({}, "", path),
};

test("pages are followed through the history", async () => {
  const tracker = await tracked();
  assert.deepEqual(world.socket.sent[0], {
    type: "view",
    page: "/a",
    params: {},
    title: "A page",
    visible: true,
    updates: "none",
    id: "c1",
  });
  pushState("/b");
  world.page.title = "Page B"; // set after the move, as apps do
  await world.pass(0);
  assert.equal(world.socket.sent.at(-1).title, "Page B");
  world.window.location = { pathname: "/a" };
  world.window.fire("popstate");
  await world.pass(0);
  replaceState("/a");
  await world.pass(0);
  tracker.view("/a#two", { tab: 2 });
  replaceState("/a"); // an app that notes how far one has scrolled
  await world.pass(0);
  assert.deepEqual(pages(), ["/a", "/b", "/a", "/a#two"]);
});

test("a page that sends on at once was not viewed", async () => {
  await tracked();
  pushState("/private");
  replaceState("/login");
  await world.pass(0);
  assert.deepEqual(pages(), ["/a", "/login"]);
});

test("a view that the app names itself is not named again", async () => {
  const tracker = await tracked();
  pushState("/b");
  tracker.view("/b", { id: 7 });
  await world.pass(0);
  assert.deepEqual(pages(), ["/a", "/b"]);
});

test("names are of the app's choice, and none is no view", async () => {
  const name = ({ pathname }) => (pathname.startsWith("/private") ? null : `page ${pathname}`);
  await tracked({ name });
  pushState("/private/letters");
  await world.pass(0);
  assert.deepEqual(pages(), ["page /a"]);
});

test("when tracking stops the history is as it was, and nothing listens", async () => {
  const { pushState: before } = world.window.history;
  const tracker = await tracked();
  assert.notEqual(world.window.history.pushState, before);
  tracker.stop();
  assert.equal(world.socket.types.at(-1), "leave");
  assert.equal(world.socket.closedWith, 1000);
  assert.equal(world.window.history.pushState, before);
  assert.equal(world.listeners + world.timers.size, 0);
  tracker.view("/b");
  await world.pass(60_000);
  assert.equal(world.sockets.length, 1);
});

test("who changed the history after us keeps the change", async () => {
  const tracker = await tracked();
  const ours = world.window.history.pushState;
  const theirs = function theirs(...given) {
    return ours.apply(this, given);
  };
  world.window.history.pushState = theirs;
  tracker.stop();
  assert.equal(world.window.history.pushState, theirs);
  pushState("/b");
  assert.equal(world.timers.size, 0);
});

test("an answer to a view that is over changes nothing", async () => {
  const tracker = await tracked();
  const seen = [];
  tracker.on("viewing", ({ viewId }) => seen.push(viewId));
  tracker.view("/b");
  assert.equal(tracker.viewId, null);
  const { id: second } = world.socket.sent.at(-1);
  tracker.view("/c");
  const { id: third } = world.socket.sent.at(-1);
  tracker.view("/d");
  world.socket.hears({ type: "viewing", id: second, viewId: "b" });
  world.socket.hears({
    type: "error",
    id: third,
    code: "too_many_pages",
    message: "No.",
    retryable: false,
  });
  await world.settle();
  assert.equal(world.socket.closedWith, undefined);
  await viewing({ viewId: "d" });
  assert.deepEqual(seen, ["d"]);
});

test("long names and titles are cut to what the server takes", async () => {
  const tracker = await tracked();
  tracker.view("p".repeat(300), {}, "t".repeat(300));
  const { page, title } = world.socket.sent.at(-1);
  assert.deepEqual([page.length, title.length], [200, 200]);
});

test("hidden and visible are told, also of a page that is hidden from the beginning", async () => {
  world.page.visibilityState = "hidden";
  await tracked();
  assert.equal(world.socket.sent[0].visible, false);
  await world.show("visible");
  await world.show("hidden");
  assert.deepEqual(world.socket.types, ["view", "visible", "hidden"]);
});

test("activity is told as often as the page's silence needs it", async () => {
  focusup.trackPages();
  await world.settle();
  await viewing({ idleThresholdSeconds: 6 });
  for (let tenth = 0; tenth < 100; tenth += 1) {
    world.page.fire("pointermove");
    await world.pass(100);
  }
  assert.equal(world.socket.count("activity"), 5);
});

test("the view is announced anew on every connection, as it is then", async () => {
  const tracker = await tracked({ updates: "tick" });
  const seen = [];
  tracker.on("viewing", ({ viewId }) => seen.push(viewId));
  tracker.on("tick", ({ visibleSeconds }) => seen.push(visibleSeconds));
  world.socket.ends(1006);
  pushState("/b");
  await world.show("hidden");
  await world.pass(500);
  await viewing({ viewId: "w" });
  world.socket.hears({
    type: "tick",
    viewId: "w",
    visibleSeconds: 1,
    engagedSeconds: 1,
    engaged: true,
  });
  assert.deepEqual(seen, ["w", 1]);
  assert.equal(tracker.viewId, "w");
  const [{ page, visible, updates }] = world.socket.sent;
  assert.deepEqual([page, visible, updates], ["/b", false, "tick"]);
});

test("a server that said no is not asked again, wherever the user goes", async () => {
  const tracker = await tracked();
  const told = [];
  tracker.on("error", ({ status }) => told.push(status));
  world.socket.ends(4403);
  pushState("/b");
  world.page.fire("pointermove");
  tracker.view("/c");
  await world.pass(600_000);
  assert.equal(world.sockets.length, 1);
  assert.deepEqual(told, [4403]);
  assert.equal(world.listeners + world.timers.size, 0);
});

test("a page that is refused is not offered again; the next one is", async () => {
  const tracker = focusup.trackPages();
  tracker.on("error", () => {});
  await world.settle();
  world.socket.opens();
  world.socket.answers("view", {
    type: "error",
    code: "too_many_pages",
    message: "No.",
    retryable: false,
  });
  await world.settle();
  world.page.fire("pointermove");
  await world.pass(600_000);
  assert.equal(world.sockets.length, 1);
  pushState("/b");
  await world.pass(0);
  assert.equal(world.sockets.length, 2);
  world.socket.opens();
  assert.deepEqual(pages(), ["/b"]);
});

test("a page that is left lets go, and is viewed anew when it comes back", async () => {
  await tracked();
  world.window.fire("pagehide", { persisted: true });
  assert.equal(world.socket.closedWith, 1000);
  world.window.fire("pageshow", { persisted: true });
  await world.settle();
  world.socket.opens();
  assert.deepEqual(pages(), ["/a"]);
});

test("the visitor's key is kept while no cookie carries it", async () => {
  const tracker = await tracked();
  assert.equal(world.kept.get("focusup.visitor"), "key");
  tracker.stop();
  focusup.trackPages();
  await world.settle();
  assert.equal(world.socket.address, "wss://focusup.example/ws/pageviews?visitor=key");
  await viewing({ visitor: null });
  assert.equal(world.kept.has("focusup.visitor"), false);
});

test("who signs out leaves the browser to another visitor", async () => {
  await tracked();
  focusup.forgetVisitor();
  assert.equal(world.kept.has("focusup.visitor"), false);
  await world.pass(500);
  assert.equal(world.socket.address, "wss://focusup.example/ws/pageviews");
  assert.equal(world.socket.readyState, 0);
});

test("where storage is blocked the key lives as long as the page", async () => {
  const storage = () => {
    throw new DOMException("blocked", "SecurityError");
  };
  ({ world, focusup } = inhabited({ env: { storage } }));
  focusup.trackPages();
  await world.settle();
  await viewing();
  world.socket.ends(1006);
  await world.pass(500);
  assert.match(world.socket.address, /visitor=key/);
});

test("pages are viewed without a token as well", async () => {
  ({ world, focusup } = inhabited({
    token: () => {
      throw new Error("signed out");
    },
  }));
  await tracked();
  assert.deepEqual(world.socket.protocols, ["focusup.v1"]);
});

test("without a page views are named by the app", async () => {
  ({ world, focusup } = inhabited({
    env: { page: undefined, window: undefined, visible: () => true },
  }));
  const tracker = focusup.trackPages();
  assert.equal(world.sockets.length, 0);
  tracker.view("/kiosk");
  await world.settle();
  world.socket.opens();
  assert.deepEqual(pages(), ["/kiosk"]);
});

test("visits keep the cadence that the server tells, and their id", async () => {
  world.answers.push([200, { nextInSeconds: 300 }], [200, { nextInSeconds: 300 }]);
  const stop = focusup.trackVisit();
  await world.pass(300_000);
  assert.equal(world.calls.length, 2);
  const [first, second] = world.calls.map(({ body }) => JSON.parse(body).sessionId);
  assert.equal(first, second);
  assert.equal(first, world.kept.get("focusup.visit"));
  assert.equal(world.calls[0].headers.Authorization, undefined);
  stop();
  await world.pass(900_000);
  assert.equal(world.calls.length, 2);
  assert.equal(world.timers.size, 0);
});

test("a call that fails is made again when the server says, never in a hurry", async () => {
  world.answers.push(
    [503, {}, { "Retry-After": "120" }],
    [429, {}],
    new TypeError("Failed to fetch"),
    [200, {}],
    [200, undefined],
    [200, { nextInSeconds: 30 }],
  );
  const at = [];
  for (const answer of [...world.answers])
    world.answers.push(() => {
      at.push(world.now);
      return answer;
    });
  world.answers.splice(0, 6);
  focusup.trackVisit("visit");
  await world.pass(3_600_000);
  const gaps = at.slice(1).map((each, index) => (each - at[index]) / 1000);
  assert.deepEqual(gaps, [120, 60, 60, 60, 60]);
});

test("a call that the server refuses is reported and not made again", async () => {
  world.answers.push([422, { code: "invalid", detail: "No." }]);
  focusup.trackVisit("no\u0000id");
  await world.pass(3_600_000);
  assert.equal(world.calls.length, 1);
  assert.deepEqual(
    world.reported.map(({ code }) => code),
    ["invalid"],
  );
});

test("a heartbeat goes on with a fresh token", async () => {
  world.answers.push([401, { code: "token_expired" }], [200, { nextInSeconds: 60 }]);
  const stop = focusup.heartbeat();
  await world.settle();
  stop();
  assert.deepEqual(
    world.calls.map(({ headers }) => headers.Authorization),
    ["Bearer token1", "Bearer token2"],
  );
});

test("events are told, and arrive although the page is left", async () => {
  world.answers.push([204]);
  assert.equal(await focusup.trackEvent("action", "chapter_done"), null);
  const [{ body, keepalive }] = world.calls;
  assert.deepEqual(
    [JSON.parse(body), keepalive],
    [{ type: "action", actionName: "chapter_done" }, true],
  );
});

test("other calls are not bound by what a page that is left may send", async () => {
  await focusup.request("PUT", "/api/sessions/x", { notes: "n".repeat(5_000) });
  assert.equal(world.calls[0].keepalive, false);
});

test("a problem is told with all that the server says of it", async () => {
  const errors = [{ field: "targetMinutes", message: "too many" }];
  world.answers.push([422, { code: "invalid", detail: "Some fields are wrong.", errors }]);
  await assert.rejects(focusup.createSession({ targetMinutes: -1 }), {
    name: "FocusUpError",
    code: "invalid",
    message: "Some fields are wrong.",
    status: 422,
    retryable: false,
    errors,
  });
  world.answers.push([503, {}, { "Retry-After": "2" }]);
  await assert.rejects(focusup.request("GET", "/"), {
    status: 503,
    retryable: true,
    retryAfter: 2,
  });
  world.answers.push([429, {}, { "Retry-After": "30" }]);
  await assert.rejects(focusup.request("GET", "/"), {
    status: 429,
    retryable: true,
    retryAfter: 30,
  });
});

test("an answer that is no JSON is a problem of its own", async () => {
  world.answers.push([200, undefined]);
  await assert.rejects(focusup.createSession(), { code: "bad_answer", retryable: true });
  world.answers.push([502, undefined]);
  await assert.rejects(focusup.request("GET", "/"), {
    code: "unknown",
    status: 502,
    retryable: true,
  });
});

test("a request that hangs is given up", async () => {
  let signal;
  world.answers.push((options) => {
    ({ signal } = options);
    return new Promise(() => {});
  });
  const rejected = assert.rejects(focusup.request("GET", "/"), {
    code: "timeout",
    retryable: true,
  });
  await world.pass(20_000);
  await rejected;
  assert.equal(signal.aborted, true);
});

test("where the module has no origin the server's address is needed", () => {
  assert.throws(() => connect({}), /connect\(\{ url \}\)/);
});

test("a path of the server's address stands before all of its addresses", async () => {
  for (const url of ["https://host.example/focus", "https://host.example/focus/"]) {
    const fetched = [];
    const fetch = async (address) => {
      fetched.push(address);
      return new Response("{}");
    };
    const below = connect({ url, token: "t", env: { ...world.env, fetch } });
    await below.request("GET", "/api/sessions?limit=1");
    assert.deepEqual(fetched, ["https://host.example/focus/api/sessions?limit=1"]);
    assert.equal(below.socketAddress("/ws/sessions"), "wss://host.example/focus/ws/sessions");
  }
});

test("who stops while a call is under way makes no other", async () => {
  let answer;
  world.answers.push(
    () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  );
  const stop = focusup.trackVisit("visit");
  await world.settle();
  stop();
  answer([200, { nextInSeconds: 300 }]);
  await world.settle();
  assert.equal(world.timers.size, 0);
});

test("a page that is loaded in advance counts nothing until it is looked at", async () => {
  world.page.prerendering = true;
  focusup.trackEvent("app_open");
  const stops = [focusup.trackVisit("v1"), focusup.heartbeat()];
  const tracker = focusup.trackPages();
  const reading = focusup.request("GET", "/api/health");
  await world.pass(60_000);
  await reading;
  assert.deepEqual(
    world.calls.splice(0).map(({ method }) => method),
    ["GET"],
  );
  assert.equal(world.sockets.length, 0);
  world.page.prerendering = false;
  world.page.fire("prerenderingchange");
  await world.settle();
  assert.deepEqual(world.calls.map(({ address }) => new URL(address).pathname).sort(), [
    "/api/heartbeat",
    "/api/track-event",
    "/api/track-visit",
  ]);
  await viewing();
  assert.deepEqual(pages(), ["/a"]);
  tracker.stop();
  for (const stop of stops) stop();
});

test("texts are cut between characters, and half a character is never sent", async () => {
  world.page.title = `${"x".repeat(199)}😀 more`;
  const tracker = await tracked();
  assert.equal(world.socket.sent[0].title, `${"x".repeat(199)}😀`);
  tracker.view("/\ud83d", { "\ude00": "a\\ud83d\ud83d", emoji: "😀" }, "half \ud83d");
  assert.deepEqual(
    (({ page, params, title }) => ({ page, params, title }))(world.socket.sent.at(-1)),
    { page: "/\ufffd", params: { "\ufffd": "a\\ud83d\ufffd", emoji: "😀" }, title: "half \ufffd" },
  );
  await focusup.request("POST", "/api/sessions", { title: "\ud83d" });
  assert.equal(world.calls.at(-1).body, '{"title":"\\ufffd"}');
});

test("a view that the server can't even read is not offered again", async () => {
  const tracker = focusup.trackPages();
  const errors = [];
  tracker.on("error", ({ code }) => errors.push(code));
  await world.settle();
  world.socket.opens();
  world.socket.hears({
    type: "error",
    id: null,
    code: "invalid_message",
    message: "No.",
    retryable: false,
  });
  await world.pass(120_000);
  assert.deepEqual(errors, ["invalid_message"]);
  assert.equal(world.sockets.length, 1);
});

test("long paths of other alphabets are pages of their own, and read as they are", async () => {
  const tracker = await tracked();
  const sent = (path) => {
    tracker.view(path);
    return world.socket.sent.at(-1).page;
  };
  const encoded = (text) => encodeURI(text);
  assert.equal(sent(encoded("/учебник/глава-вторая")), "/учебник/глава-вторая");
  const long = `/${"глава-".repeat(33)}`; // 1,000 bytes when encoded, 199 letters
  assert.equal(sent(encoded(long)), long);
  const [one, other] = [sent(encoded(`${long}один`)), sent(encoded(`${long}два`))];
  assert.notEqual(one, other);
  assert.equal([...one].length, 200);
  assert.ok(one.startsWith(long.slice(0, 185)));
  assert.equal(sent("/a%2Fb%ff%D0"), "/a%2Fb%ff%D0");
  assert.equal(sent("/cafe\u0301"), "/café");
});

const keyOf = (call) => call.headers["Idempotency-Key"];

test("what makes something is sent again under the same key when its answer is lost", async () => {
  for (const lost of [
    new TypeError("Failed to fetch"),
    [502, undefined],
    [503, { code: "database_unavailable" }],
  ]) {
    const before = world.calls.length;
    world.answers.push(lost, lost, [201, { session: { _id: "s" } }]);
    const creating = focusup.request("POST", "/api/sessions", { title: "x" });
    await world.pass(4_000);
    assert.equal((await creating).session._id, "s");
    const keys = world.calls.slice(before).map(keyOf);
    assert.equal(keys.length, 3);
    assert.equal(new Set(keys).size, 1);
    assert.match(keys[0], /^[!-~]{1,255}$/);
  }
  assert.equal(world.timers.size, 0);
});

test("each thing to make has a key of its own, and what is safe as it is has none", async () => {
  world.answers.push([201, {}], [204, null], [200, {}], [200, {}]);
  await focusup.request("POST", "/api/sessions", {});
  await focusup.trackEvent("app_open");
  await focusup.request("POST", "/api/sessions/64/reassign", {});
  await focusup.request("POST", "/api/auth/login", {});
  const keys = world.calls.slice(-4).map(keyOf);
  assert.equal(new Set(keys.slice(0, 3)).size, 3);
  assert.equal(keys[3], undefined);
});

test("a refusal is told at once", async () => {
  world.answers.push([422, { code: "invalid_body" }]);
  await assert.rejects(focusup.request("POST", "/api/sessions", {}), { code: "invalid_body" });
  assert.equal(world.timers.size, 0);
});
