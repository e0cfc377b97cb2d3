// Tags in one line of text: what was typed, and what is shown of it, come to the same.

import assert from "node:assert/strict";
import { test } from "node:test";

import { read, written } from "../../focusup/web/static/tags.js";

const LINES = [
  ["exam, hard", ["exam", "hard"]],
  [" exam ,, hard,", ["exam", "hard"]],
  ["", []],
  [" , ", []],
  ['"Algebra, linear", exam', ["Algebra, linear", "exam"]],
  ['"Algebra, linear"', ["Algebra, linear"]],
  ['a "quoted" word', ['a "quoted" word']],
  ['"say ""hi"", twice"', ['say "hi", twice']],
  ['"never closed, b', ['"never closed', "b"]],
  ['"a" b, c', ['"a" b', "c"]],
  ["math, math", ["math"]],
];

for (const [line, tags] of LINES) {
  test(`${JSON.stringify(line)} is ${JSON.stringify(tags)}`, () =>
    assert.deepEqual(read(line), tags));
}

test("what is shown of tags is read as the same tags", () => {
  for (const tags of [
    ["Algebra, linear", "exam"],
    ['"', '""', '","'],
    ['5" pipe', "a"],
    [],
    ["😀, 😀"],
  ]) {
    assert.deepEqual(read(written(tags)), tags);
  }
});
