// Tables that keep their row elements on updates, so that focus and scroll position stay; and
// paging through them.

import { $, el, say, show, t } from "./dom.js";

// Show `items` in the table body `#id`, or the text for an empty table. `columns` are
// `{text, number, share}` with functions of an item: the cell's text, and the ratio of its bar;
// the first is the row header. `actions` returns the elements of the last cell.
export function fillTable(id, items, { key, columns, actions = null }) {
  const body = $(`#${id}`);
  show($(`#${id}-table`), items.length > 0);
  show($(`#${id}-empty`), items.length === 0);
  const rows = new Map([...body.children].map((row) => [row.dataset.key, row]));
  const keys = new Set(items.map(key));
  for (const [each, row] of rows) if (!keys.has(each)) row.remove();
  items.forEach((item, index) => {
    const row = rows.get(key(item)) ?? newRow(item, { key, columns, actions });
    fillRow(row, item, columns);
    if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
  });
}

function newRow(item, { key, columns, actions }) {
  return el(
    "tr",
    { "data-key": key(item) },
    columns.map(({ number }, index) =>
      index ? el("td", { class: number ? "n" : null }) : el("th", { scope: "row" }),
    ),
    actions ? el("td", { class: "right" }, actions(item)) : null,
  );
}

export function fillRow(row, item, columns) {
  columns.forEach(({ text, share }, index) => {
    const cell = row.children[index];
    say(cell, text(item));
    if (!share) return;
    cell.classList.add("share");
    cell.style.setProperty("--share", `${100 * share(item)}%`);
  });
}

// Paging by cursors: the query of the current page, and its buttons. `turned` is called when the
// user changes the page.
export class Pager {
  #cursors = [null];
  #next = null;
  #place;
  #turned;

  constructor(id, turned) {
    this.#place = $(`#${id}-pager`);
    this.#turned = turned;
    $("[data-previous]", this.#place).addEventListener("click", () =>
      this.#turn(() => this.#cursors.length > 1 && this.#cursors.pop()),
    );
    $("[data-next]", this.#place).addEventListener("click", () =>
      this.#turn(() => this.#next && this.#cursors.push(this.#next)),
    );
  }

  get query() {
    const cursor = this.#cursors.at(-1);
    return cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
  }

  first() {
    this.#cursors = [null];
    this.came(null);
  }

  // The requested page has loaded; `next` is the cursor of the page after it.
  came(next) {
    this.#next = next;
    const number = this.#cursors.length;
    // Not `disabled`, which would drop the keyboard focus.
    $("[data-previous]", this.#place).setAttribute("aria-disabled", String(number === 1));
    $("[data-next]", this.#place).setAttribute("aria-disabled", String(!next));
    say($("[data-page]", this.#place), t("admin.page", { number }));
    show(this.#place, number > 1 || Boolean(next));
  }

  #turn(move) {
    if (!move()) return;
    this.#next = null;
    this.#turned();
  }
}
