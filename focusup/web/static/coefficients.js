// Attention coefficients: factors of the idle limit for pages that match a pattern.

import { focusup } from "./account.js";
import { $, el, instant, number, say, sentence, t } from "./dom.js";
import { fillTable } from "./rows.js";

const PATH = "/api/admin/page-coefficients";
const form = $("#coefficient");
const FIELDS = { pattern: form.pattern, coefficient: form.coefficient };

const COLUMNS = [
  { text: ({ pattern }) => pattern },
  { text: ({ coefficient }) => number(coefficient, 2), number: true },
  {
    text: ({ updatedAt }) =>
      instant(updatedAt, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" }, "UTC"),
  },
];

export function coefficients(refresher) {
  let known = new Map();
  const source = refresher.add(
    async () => (await focusup.request("GET", PATH)).pageCoefficients,
    (all) => {
      known = new Map(all.map((each) => [each.pattern, each]));
      fillTable("coefficients", all, { key: ({ pattern }) => pattern, columns: COLUMNS, actions });
    },
  );
  const actions = ({ pattern }) =>
    el(
      "div",
      { class: "row end" },
      el(
        "button",
        {
          type: "button",
          class: "secondary",
          "aria-label": t("admin.changeOf", { pattern }),
          onclick: () => edit(known.get(pattern)),
        },
        t("admin.change"),
      ),
      el(
        "button",
        {
          type: "button",
          class: "danger",
          "aria-label": t("admin.deleteOf", { pattern }),
          onclick: () => remove(known.get(pattern)),
        },
        t("admin.delete"),
      ),
    );

  async function remove(each) {
    await attempt(async () => {
      await focusup.request("DELETE", `${PATH}?pattern=${encodeURIComponent(each.pattern)}`);
      edit(each); // so that it can be set again at once
      say($("#coefficient-told"), t("admin.deleted", { pattern: each.pattern }));
    });
    source.again();
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = {
      pattern: form.pattern.value.trim(),
      coefficient: form.coefficient.valueAsNumber,
    };
    if (!valid(body)) return;
    await attempt(async () => {
      await focusup.request("PUT", PATH, body);
      say(
        $("#coefficient-told"),
        t("admin.wasSet", { pattern: body.pattern, coefficient: number(body.coefficient, 2) }),
      );
      form.pattern.value = "";
    });
    source.again();
  });
}

function edit({ pattern, coefficient }) {
  form.pattern.value = pattern;
  form.coefficient.value = coefficient;
  form.coefficient.focus();
}

function wrong(name, text) {
  say($(`#${FIELDS[name].id}-wrong`), text);
  FIELDS[name].setAttribute("aria-invalid", String(Boolean(text)));
}

function valid({ pattern, coefficient }) {
  const found = {
    pattern: pattern ? "" : t("admin.patternMissing"),
    coefficient: coefficient >= 0.1 && coefficient <= 100 ? "" : t("admin.coefficientWrong"),
  };
  for (const name in FIELDS) wrong(name, found[name]);
  const first = Object.keys(FIELDS).find((name) => found[name]);
  if (first) FIELDS[first].focus();
  return !first;
}

async function attempt(act) {
  say($("#coefficient-wrong"), "");
  say($("#coefficient-told"), "");
  try {
    await act();
  } catch (error) {
    say($("#coefficient-wrong"), sentence(error));
    for (const { field, message } of error.errors ?? []) if (field in FIELDS) wrong(field, message);
  }
}
