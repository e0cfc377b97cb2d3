// Reports the pages that are viewed.

import { Emitter, clipped, pageName } from "./common.js";
import { Connection } from "./connection.js";

export const VISITOR_KEY = "focusup.visitor";

export class PageTracker extends Emitter {
  #focusup;
  #link;
  #options;
  #viewed = null;
  #place = null;
  #moving = null;
  #key = null;
  #unfollow;
  #over = false;
  #stopped;
  viewId = null;

  constructor(focusup, options, stopped) {
    super(focusup.env);
    this.#focusup = focusup;
    this.#stopped = stopped;
    this.#options = { updates: "none", name: ({ pathname }) => pathname, ...options };
    this.#link = new Connection(this.env, {
      address: () => this.#address(),
      token: (refused) => focusup.token(refused).catch(() => null),
    });
    this.#link.on("open", () => this.#announce());
    this.#link.on("message", (message) => {
      if (message.type === "tick") this.#tick(message);
    });
    this.#link.on("problem", (error) => this.emit("error", error));
    this.#link.on("state", (detail) => this.#connection(detail));
    this.#link.on("shown", () => {
      if (this.#viewed) this.#link.send("visible");
    });
    this.#link.on("hidden", () => {
      if (this.#viewed) this.#link.send("hidden");
    });
    // The title follows the address.
    this.#unfollow = followHistory(this.env, () => {
      this.#moving ??= this.env.setTimeout(() => this.#moved(), 0);
    });
    this.#moved();
  }

  view(page, params = {}, title = this.env.page?.title) {
    this.#settle();
    this.#viewed = { page: pageName(page), params, ...(title && { title: clipped(title) }) };
    this.viewId = null;
    if (this.#link.open) this.#announce();
    else if (!this.#over) this.#link.want();
  }

  forgetVisitor() {
    this.#keep(null);
    this.viewId = null;
    if (this.#viewed && !this.#over) this.#link.again();
  }

  stop() {
    this.#settle();
    this.#unfollow();
    this.#stopped();
    if (this.#viewed) this.#link.send("leave");
    this.#viewed = null;
    this.#over = true;
    this.#link.close();
  }

  #settle() {
    this.env.clearTimeout(this.#moving);
    this.#moving = null;
    this.#place = this.#here();
  }

  #here() {
    const { window } = this.env;
    return window ? this.#options.name(window.location) : null;
  }

  #moved() {
    const before = this.#place;
    this.#settle();
    if (this.#place && this.#place !== before) this.view(this.#place);
  }

  async #announce() {
    const viewed = this.#viewed;
    try {
      const message = await this.#link.ask("view", {
        ...viewed,
        visible: this.env.visible(),
        updates: this.#options.updates,
      });
      this.#keep(message.visitor);
      if (viewed !== this.#viewed) return;
      this.viewId = message.viewId;
      this.#link.begun(message.idleThresholdSeconds);
      this.emit("viewing", message);
    } catch (error) {
      if (error.code === "offline" || error.code === "closed") return;
      this.emit("error", error);
      if (error.retryable) this.#link.again();
      else if (viewed === this.#viewed) this.#viewNothing();
    }
  }

  // The server closes a connection without a view.
  #viewNothing() {
    this.#viewed = null;
    this.#link.close();
  }

  #tick(message) {
    this.#link.idle = !message.engaged;
    this.emit("tick", message);
  }

  #connection({ state, code, error }) {
    this.emit("connection", { state, code });
    if (!error) return;
    this.#over = true;
    this.#unfollow();
    this.emit("error", error);
  }

  #address() {
    const key = this.#recall();
    return this.#focusup.socketAddress("/ws/pageviews", key ? { visitor: key } : {});
  }

  // For browsers that send no cookie.
  #keep(key) {
    this.#key = key;
    try {
      if (key) this.env.storage().setItem(VISITOR_KEY, key);
      else this.env.storage().removeItem(VISITOR_KEY);
    } catch {
      /* blocked: it lives as long as the page */
    }
  }

  #recall() {
    try {
      return this.#key ?? this.env.storage().getItem(VISITOR_KEY);
    } catch {
      return this.#key;
    }
  }
}

// Undoing would drop what other scripts wrapped around ours: then it only stops calling.
function followHistory({ window }, moved) {
  if (!window) return () => {};
  const { history } = window;
  let following = true;
  const undo = ["pushState", "replaceState"].map((name) => {
    const original = history[name];
    /** @this {any} */
    const ours = function changed(...given) {
      const result = original.apply(this, given);
      if (following) moved();
      return result;
    };
    history[name] = ours;
    return () => {
      if (history[name] === ours) history[name] = original;
    };
  });
  window.addEventListener("popstate", moved);
  return () => {
    following = false;
    for (const each of undo.splice(0)) each();
    window.removeEventListener("popstate", moved);
  };
}
