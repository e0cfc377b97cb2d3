// Why a score moves, told from two ticks.

import assert from "node:assert/strict";
import { test } from "node:test";

import { moved, partsOf } from "../../focusup/web/static/score.js";

const tick = (activeSeconds, idleSeconds, tabSwitches) => {
  const counters = {
    activeSeconds,
    idleSeconds,
    tabSwitches,
    elapsedSeconds: activeSeconds + idleSeconds,
  };
  const { completion, activityRatio, penalty } = partsOf(counters, 1);
  return {
    ...counters,
    focusScore: Math.max(0, Math.round(100 * completion * activityRatio - penalty)),
  };
};

test("a score that stays has no reason", () => {
  assert.equal(moved(tick(10, 0, 0), tick(10, 0, 0), 1), null);
});

test("a second of work is time", () => {
  assert.deepEqual(moved(tick(10, 0, 0), tick(11, 0, 0), 1), { by: 1, reason: "time" });
});

test("a tab switch outweighs the second it came with", () => {
  assert.deepEqual(moved(tick(10, 0, 0), tick(11, 0, 2), 1), { by: -3, reason: "tabSwitch" });
});

test("a long silence is idle time", () => {
  assert.equal(moved(tick(30, 0, 0), tick(30, 30, 0), 1).reason, "idle");
});

test("a silence never adds", () => {
  assert.equal(moved(tick(30, 0, 0), tick(30, 30, 0), 1).by < 0, true);
});
