// What focusup.d.ts declares compiles, and is what focusup.js exports.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import ts from "typescript";

import * as library from "../../focusup/web/static/focusup.js";
import { inhabited } from "./world.mjs";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const DECLARED = path("../../focusup/web/static/focusup.d.ts");
const program = ts.createProgram([DECLARED, path("sample.ts")], {
  strict: true,
  noEmit: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  types: [],
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
});
const checker = program.getTypeChecker();
const exported = new Map(
  checker
    .getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(DECLARED)))
    .map((each) => [each.name, each]),
);
const members = (name) =>
  [...exported.get(name).members.keys()].filter((each) => !each.startsWith("__")).sort();
const methods = (thing) =>
  Object.getOwnPropertyNames(thing).filter((name) => name !== "constructor");

test("the declarations and a study app compile in strict mode", () => {
  const found = ts.getPreEmitDiagnostics(program);
  assert.equal(
    ts.formatDiagnostics(found, {
      getCanonicalFileName: (name) => name,
      getCurrentDirectory: () => "",
      getNewLine: () => "\n",
    }),
    "",
  );
});

test("what is declared as a value is exported, and the other way round", () => {
  const values = [...exported.values()]
    .filter(({ flags }) => flags & ts.SymbolFlags.Value)
    .map(({ name }) => name);
  assert.deepEqual(values.sort(), Object.keys(library).sort());
});

test("what is declared of a session, a tracker, the whole and an error is what they have", () => {
  const { focusup } = inhabited();
  const tracker = focusup.trackPages();
  const error = new library.FocusUpError("no");
  const session = focusup.session("id");
  assert.deepEqual(
    members("FocusSession"),
    ["id", "on", "session", ...methods(library.FocusSession.prototype)].sort(),
  );
  assert.ok("id" in session && "on" in session && "session" in session);
  assert.deepEqual(
    members("PageTracker"),
    ["on", "viewId", ...methods(Object.getPrototypeOf(tracker))].sort(),
  );
  assert.ok("on" in tracker && "viewId" in tracker);
  assert.deepEqual(members("FocusUp"), methods(Object.getPrototypeOf(focusup)).sort());
  assert.deepEqual(members("FocusUpError"), Object.keys(error).sort());
  tracker.stop();
});

test("the surroundings are those that can be replaced", () => {
  const { focusup } = inhabited();
  assert.deepEqual(members("Surroundings"), Object.keys(focusup.session("id").env).sort());
});

test("each close code is followed by what is declared", () => {
  const type = checker.getTypeOfSymbol(exported.get("AFTER_CLOSE"));
  const declared = checker
    .getIndexTypeOfType(type, ts.IndexKind.Number)
    .types.map(({ value }) => value)
    .sort();
  assert.deepEqual([...new Set(Object.values(library.AFTER_CLOSE))].sort(), declared);
});
