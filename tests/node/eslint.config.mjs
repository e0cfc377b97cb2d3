// Rules for all scripts of the repository: `make lint` runs them from its root.

import js from "@eslint/js";
import globals from "globals";

const browser = ["focusup/web/static/**", "examples/**", "routes/**"];
const node = ["tests/node/**", "scripts/**"];

export default [
  {
    ignores: [
      "**/node_modules/**",
      ".venv/**",
      "dist/**",
      "artifacts/**",
      "**/*.ts",
      "tests/node/published_client.mjs",
    ],
  },
  js.configs.recommended,
  { files: browser.map((each) => `${each}/*.js`), languageOptions: { globals: globals.browser } },
  { files: node.map((each) => `${each}/*.mjs`), languageOptions: { globals: globals.node } },
  {
    rules: {
      eqeqeq: "error",
      "max-lines": ["error", { max: 300 }],
      "no-shadow": "error",
      "no-var": "error",
      "no-unused-vars": ["error", { ignoreRestSiblings: true }],
      "object-shorthand": "error",
      "prefer-const": "error",
    },
  },
  // Tests stand in one file by subject, however many there are.
  { files: ["scripts/score_cases.mjs"], rules: { "no-loss-of-precision": "off" } },
  { files: ["tests/node/*.test.mjs"], rules: { "max-lines": "off" } },
];
