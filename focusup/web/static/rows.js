// Tables whose rows stay the same elements while their figures change, so that neither the
// focus nor the place to which one has scrolled is lost; and going through their pages.

import { $, el, say, show, t } from "./dom.js";

// Shows `items` in the table body `#id`, or says that there are none. `columns` are
// `{text, number, share}` with functions of an item: what the cell says, and how much of it is
// filled (a ratio); the first is the head of its row. `actions` makes the last cell's elements.
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
  return el("tr", { "data-key": key(item) },
    columns.map(({ number }, index) => (index ? el("td", { class: number ? "n" : null }) : el("th", { scope: "row" }))),
    actions ? el("td", { class: "right" }, actions(item)) : null);
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

// The pages of a list that goes on by cursors: the query of the one that is looked at, and the
// buttons beside it. `turned` is called when another one is wanted.
export class Pager {
  #cursors = [null]; #next = null; #place; #turned;

  constructor(id, turned) {
    this.#place = $(`#${id}-pager`);
    this.#turned = turned;
    $("[data-previous]", this.#place).addEventListener("click", () => this.#turn(() => this.#cursors.length > 1 && this.#cursors.pop()));
    $("[data-next]", this.#place).addEventListener("click", () => this.#turn(() => this.#next && this.#cursors.push(this.#next)));
  }

  get query() {
    const cursor = this.#cursors.at(-1);
    return cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
  }

  first() {
    this.#cursors = [null];
    this.came(null);
  }

  // The page that was asked for is there; `next` is the cursor of the one after it.
  came(next) {
    this.#next = next;
    const number = this.#cursors.length;
    // Not `disabled`, which would drop the focus of who presses it.
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
