// Figures that stay fresh: each source is asked every ten seconds, while the page is seen and
// nobody has paused it.
//
// What must always hold: a source is asked once at a time, unless something else is wanted of
// it; only the answer to what was asked last is shown; whatever fails, it goes on trying.

export const EVERY_MS = 10_000;
const LATE_MS = 5_000;

export class Refresher {
  #sources = new Set(); #timer = null; #paused = false; #tell; #stopped = false;

  // `tell` is called whenever something changes with `{asOf, error, late, paused}`: when the
  // oldest figure was read (null: not yet), and why it may be old.
  constructor(tell) {
    this.#tell = tell;
    document.addEventListener("visibilitychange", () => this.#begin());
  }

  // Asks this now, and again and again until it is removed. `show` gets what `ask` resolves
  // with, where that has changed.
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

  // All of them at once, paused or not.
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
  readAt = null; error = null; late = false;
  #ask; #show; #changed; #number = 0; #asking = false; #shown = null; #timer = null;

  constructor(ask, show, changed) {
    this.#ask = ask;
    this.#show = show;
    this.#changed = changed;
  }

  async refresh() {
    if (!this.#asking) await this.again();
  }

  // Something else is wanted than what was asked for, if it was.
  async again() {
    const number = ++this.#number;
    this.#asking = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => { this.late = true; this.#changed(); }, LATE_MS);
    const [answer, error] = await this.#ask().then((found) => [found, null], (failed) => [null, failed]);
    if (number !== this.#number) return;
    clearTimeout(this.#timer);
    this.#asking = this.late = false;
    this.error = error;
    if (!error) this.#came(answer);
    this.#changed();
  }

  // What is still on its way is shown to nobody.
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
