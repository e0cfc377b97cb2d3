// Makes tests/unit/scoring/focus_cases.json: the focus score as JavaScript computes it.
//
//   node scripts/score_cases.mjs                  write the table
//   node scripts/score_cases.mjs --check [FILE]   compare with the table; exit 1 if it differs
//
// The table is what holds scoring/focus.py to JavaScript's arithmetic. Needs Node alone.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const TABLE = fileURLToPath(new URL("../tests/unit/scoring/focus_cases.json", import.meta.url));
const FORMULA_VERSION = 1;

function score({ elapsedSeconds, activeSeconds, idleSeconds, tabSwitches, targetMinutes }) {
  const completion = elapsedSeconds / (targetMinutes * 60 || 1);
  const activityRatio = activeSeconds / (elapsedSeconds || 1);
  const distractionPenalty = tabSwitches * 2 + idleSeconds / 30;
  const focusScore = Math.max(0, Math.round(100 * completion * activityRatio - distractionPenalty));
  return { completion, activityRatio, penalty: distractionPenalty, focusScore };
}

// [active, idle, tab switches, target in minutes, why]; elapsed is active + idle.
const SESSIONS = [
  [0, 0, 0, 25, "nothing happened yet"],
  [0, 0, 1, 25, "zero elapsed: a penalty alone stays at zero"],
  [0, 0, 0, 0, "zero elapsed and a target of zero: both guards at once"],
  [60, 0, 0, 0, "a target of zero counts as one second"],
  [1500, 0, 0, 25, "the target met exactly, all active"],
  [1499, 0, 0, 25, "one second short of the target: 99.93 rounds up"],
  [1, 0, 0, 25, "the first second: 0.067 rounds down"],
  [7, 0, 0, 25, "the last second below a half: 0.4667"],
  [8, 0, 0, 25, "the first second above a half: 0.5333"],
  [3, 0, 0, 10, "exactly 0.5 goes up"],
  [9, 0, 0, 10, "exactly 1.5 goes up"],
  [15, 0, 0, 10, "exactly 2.5 goes up, where Python's round goes to 2"],
  [27, 0, 0, 10, "exactly 4.5 goes up, where Python's round goes to 4"],
  [21, 0, 0, 40, "0.875 is exact and goes up"],
  [29, 0, 0, 10, "4.833333333333333"],
  [87, 0, 0, 10, "14.5 by hand, 14.499999999999998 in doubles: rounds down"],
  [171, 0, 0, 10, "28.5 by hand, 28.499999999999996 in doubles: rounds down"],
  [327, 0, 0, 10, "54.5 by hand, 54.50000000000001 in doubles"],
  [345, 0, 0, 10, "57.5 by hand, 57.49999999999999 in doubles: rounds down"],
  [339, 0, 0, 10, "56.5 by hand, 56.49999999999999 in doubles: rounds down"],
  [3000, 0, 0, 25, "over the target: 200, nothing caps it"],
  [86400, 0, 0, 25, "a whole day against 25 minutes: 5760"],
  [1500, 0, 1, 25, "one tab switch costs 2"],
  [1500, 0, 49, 25, "penalties leave 2"],
  [1500, 0, 50, 25, "penalties leave exactly zero"],
  [1500, 0, 51, 25, "penalties below zero stop at zero"],
  [1500, 0, 100000, 25, "heavy penalties stop at zero"],
  [750, 0, 24, 25, "50 - 48"],
  [1485, 15, 0, 25, "an idle quarter of a minute costs a half: 98.5 goes up"],
  [1455, 45, 0, 25, "97 - 1.5 = 95.5 goes up"],
  [1470, 30, 0, 25, "98 - 1 = 97"],
  [1499, 1, 0, 25, "one idle second"],
  [1490, 10, 0, 25, "a third of a point: 10/30 has no exact double"],
  [1480, 20, 0, 25, "two thirds of a point"],
  [1493, 7, 0, 25, "7/30 has no exact double"],
  [24, 3, 0, 25, "order: cancelling elapsed first would give 2"],
  [27, 9, 0, 25, "order: completion * activityRatio first would give 2"],
  [30, 15, 0, 25, "order: completion * activityRatio first would give 1"],
  [57, 9, 1, 25, "order: the same with a tab switch"],
  [38, 1, 1, 25, "order: subtracting the two penalties one by one would give 0"],
  [53, 1, 1, 25, "order: the same, one higher"],
  [0, 1500, 0, 25, "all idle: ratio 0, penalty 50"],
  [0, 15, 0, 25, "all idle: -0.5 rounds to zero, not to -1"],
  [0, 45, 0, 25, "all idle: -1.5 stops at zero"],
  [1, 1, 0, 25, "half active, tiny"],
  [900, 600, 3, 25, "60 - 6 - 20"],
  [35, 5, 2, 25, "forty seconds with five idle and two switches"],
  [35, 5, 0, 1, "the same against one minute: 58.33 - 0.167"],
  [35, 5, 2, 1, "the same with two switches"],
  [30, 0, 0, 0.5, "half a minute, met"],
  [6, 0, 0, 0.1, "a tenth of a minute: 0.1 * 60 is 6 in doubles"],
  [5, 1, 0, 0.1, "a tenth of a minute, one second idle"],
  [1, 0, 0, 0.1, "a sixth of a tenth of a minute"],
  [18, 0, 0, 0.3, "0.3 * 60 is 18 in doubles"],
  [42, 0, 0, 0.7, "0.7 * 60 is 42 in doubles"],
  [1, 0, 0, 0.01, "a target shorter than a second: 166.67"],
  [3, 2, 1, 0.01, "a target shorter than a second, with penalties"],
  [1, 0, 0, 0.015, "a target of 0.9 s: 111.11"],
  [1, 0, 0, 1e-9, "a target of sixty nanoseconds: the score is 1666666667"],
  [86400, 0, 7, 1e-9, "a day against sixty nanoseconds, still a safe integer"],
  [3599, 1, 3, 1e-6, "large scores keep their penalties"],
  [100, 20, 1, 33.3, "a fractional target"],
  [1234, 567, 8, 37.5, "a fractional target, everything at once"],
  [2000, 1, 0, 33.333333333333336, "a target with all its digits"],
  [777, 222, 5, 16.65, "16.65 * 60 is 998.9999999999999 in doubles: completion is above 1"],
  [86400, 0, 0, 1440, "the longest target, met"],
  [43200, 43200, 0, 1440, "half of the longest target, and 1440 off"],
  [432, 0, 0, 1440, "the longest target: 0.5 goes up"],
  [431, 0, 0, 1440, "the longest target: just below a half"],
  [31536000, 0, 12345, 1440, "a year of seconds"],
  [2147483647, 0, 0, 25, "as many seconds as 32 bits hold"],
  [2147483647, 2147483647, 1000000, 0.1, "more seconds than 32 bits hold"],
  [9007199254740991, 0, 0, 1440, "the largest safe integer of seconds"],
  [4503599627370497, 4503599627370494, 0, 1440, "active and idle near 2^52"],
  [1, 0, 0, 1.7976931348623157e308, "the target overflows: completion is zero"],
].map(([activeSeconds, idleSeconds, tabSwitches, targetMinutes, why]) => ({
  why,
  elapsedSeconds: activeSeconds + idleSeconds,
  activeSeconds,
  idleSeconds,
  tabSwitches,
  targetMinutes,
}));

// Elapsed is whatever is stored: sessions edited by hand elsewhere need not add up.
const UNEVEN = [
  ["elapsed without active or idle", 600, 0, 0, 0, 10],
  ["active without elapsed", 0, 600, 0, 0, 10],
  ["more active than elapsed", 300, 600, 0, 0, 10],
].map(([why, elapsedSeconds, activeSeconds, idleSeconds, tabSwitches, targetMinutes]) => ({
  why,
  elapsedSeconds,
  activeSeconds,
  idleSeconds,
  tabSwitches,
  targetMinutes,
}));

const ROUNDED = [
  0,
  0.5,
  0.49999999999999994,
  0.5000000000000001,
  1,
  1.5,
  2.5,
  2.4999999999999996,
  3.5,
  -0.5,
  -0.49999999999999994,
  -0.5000000000000001,
  -1,
  -1.5,
  -2.5,
  -2.5000000000000004,
  -3.5,
  1e-17,
  -1e-17,
  5e-324,
  -5e-324,
  57.49999999999999,
  1e9 + 0.5,
  -1e9 - 0.5,
  2251799813685247.5,
  4503599627370495.5,
  -4503599627370495.5,
  4503599627370497.5,
  -4503599627370496.5,
  9007199254740991,
  -9007199254740991,
  9007199254740993,
  1e15 + 0.5,
];

function table() {
  const cases = [...SESSIONS, ...UNEVEN].map((session) => {
    const expected = score(session);
    if (!Number.isSafeInteger(expected.focusScore)) {
      throw new Error(`${session.why}: ${expected.focusScore} is not a safe integer`);
    }
    return { ...session, expected };
  });
  const rounding = ROUNDED.map((x) => ({ x, rounded: Math.round(x) }));
  const line = (value) => `    ${JSON.stringify(value)}`;
  return [
    "{",
    `  "formulaVersion": ${FORMULA_VERSION},`,
    '  "cases": [',
    cases.map(line).join(",\n"),
    "  ],",
    '  "rounding": [',
    rounding.map(line).join(",\n"),
    "  ]",
    "}",
    "",
  ].join("\n");
}

if (process.argv[2] === "--check") {
  const path = process.argv[3] ?? TABLE;
  // A checkout on Windows may have turned the line ends.
  const same = readFileSync(path, "utf8").replaceAll("\r\n", "\n") === table();
  console.log(same ? `${path} is what Node computes` : `${path} differs from what Node computes`);
  process.exitCode = same ? 0 : 1;
} else {
  writeFileSync(TABLE, table());
  console.log(`wrote ${TABLE}`);
}
