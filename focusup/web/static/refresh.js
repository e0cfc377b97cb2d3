// Polling: each source is requested every ten seconds while the page is visible and not paused.
//
// Invariants: one request per source at a time, unless its query changes; only the answer to the
// latest request is shown; polling continues after errors.

export const EVERY_MS = 10_000;
const LATE_MS = 5_000;

export class Refresher {
  #sources = new Set();
  #timer = null;
  #paused = false;
  #tell;
  #stopped = false;

  // `tell` is called on each change with `{asOf, error, late, paused}`: when the oldest data was
  // loaded (null: not yet), and why it may be out of date.
  constructor(tell) {
    this.#tell = tell;
    document.addEventListener("visibilitychange", () => this.#begin());
  }

  // Poll `ask` until the source is removed; `show` gets each answer that differs from the last.
  add(ask, show) {
    const source = new Source(ask, show, () => this.#changed());
    this.#sources.add(source);
    source.refresh();
    this.#schedule();
    return source;
  }

  remove(source) {
    this.#sources.delete(source);
    source.leave();
    this.#changed();
  }

  get paused() {
    return this.#paused;
  }

  pause(paused) {
    this.#paused = paused;
    this.#changed();
    this.#begin();
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  // Request all sources now, even if paused.
  refresh() {
    for (const source of this.#sources) source.refresh();
    this.#schedule();
  }

  #begin() {
    if (this.#runs()) this.refresh();
    else clearTimeout(this.#timer);
  }

  #runs() {
    return !this.#paused && !this.#stopped && document.visibilityState === "visible";
  }

  #schedule() {
    clearTimeout(this.#timer);
    if (this.#runs()) this.#timer = setTimeout(() => this.refresh(), EVERY_MS);
  }

  #changed() {
    if (this.#stopped) return;
    const sources = [...this.#sources];
    const read = sources.map(({ readAt }) => readAt).filter((at) => at !== null);
    this.#tell({
      asOf: read.length ? Math.min(...read) : null,
      error: sources.find(({ error }) => error)?.error ?? null,
      late: sources.some(({ late }) => late),
      paused: this.#paused,
    });
  }
}

class Source {
  readAt = null;
  error = null;
  late = false;
  #ask;
  #show;
  #changed;
  #number = 0;
  #asking = false;
  #shown = null;
  #timer = null;

  constructor(ask, show, changed) {
    this.#ask = ask;
    this.#show = show;
    this.#changed = changed;
  }

  async refresh() {
    if (!this.#asking) await this.again();
  }

  // Request again although a request may be under way: the query has changed.
  async again() {
    const number = ++this.#number;
    this.#asking = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.late = true;
      this.#changed();
    }, LATE_MS);
    const [answer, error] = await this.#ask().then(
      (found) => [found, null],
      (failed) => [null, failed],
    );
    if (number !== this.#number) return;
    clearTimeout(this.#timer);
    this.#asking = this.late = false;
    this.error = error;
    if (!error) this.#came(answer);
    this.#changed();
  }

  // Ignore the answer of a pending request.
  leave() {
    this.#number += 1;
    clearTimeout(this.#timer);
  }

  #came(answer) {
    this.readAt = Date.now();
    const text = JSON.stringify(answer);
    if (text === this.#shown) return;
    this.#shown = text;
    this.#show(answer);
  }
}
