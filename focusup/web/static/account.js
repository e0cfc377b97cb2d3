// The signed-in account of this browser, and the API client that uses its token.
//
// Invariants:
// - one token refresh at a time across all tabs, and all tabs use its result;
// - signing out in one tab signs out all; the server is told at once, or when it is back.

import { connect } from "./focusup.js";
import { zoneHere } from "./dates.js";
import { $, $$, notice, say, show, t } from "./dom.js";

// Where the pages are on this host, such as `/focus`: another FocusUp may be at another place.
const BASE = document.documentElement.dataset.base ?? "";
export const HOME = `${BASE}/`;
const KEY = `focusup.account${BASE}`;
const OWED = `focusup.owed${BASE}`; // refresh tokens that were signed out while the server was out of reach
const ENDED = `focusup.ended${BASE}`; // the server ended the login: the first page says so
export const CURRENT = `focusup.session${BASE}`;
const EARLY_MS = 5_000; // refresh before a token expires in transit
// A copy of these pages on another host names the server in `<meta name="focusup-server">`.
export const SERVER = $("meta[name=focusup-server]")?.content ?? location.origin + BASE;

/**
 * @typedef {Omit<import("./focusup.js").FocusUp, "request"> & { request: (method: string,
 *   path: string, body?: unknown, options?: import("./focusup.js").RequestOptions) => Promise<any>
 * }} Client its answers are those of the documented interface (/openapi.json)
 */

/** @type {Client} */
export const focusup = connect({ url: SERVER, token: currentToken });

function stored() {
  try {
    return JSON.parse(localStorage.getItem(KEY));
  } catch {
    return null;
  }
}

function keep(signedIn) {
  const { token, refreshToken, expiresAt, user } = signedIn;
  localStorage.setItem(KEY, JSON.stringify({ token, refreshToken, expiresAt, user }));
}

export const user = () => stored()?.user ?? null;

// Whether localStorage is available; users can't stay signed in without it.
export function canStore() {
  try {
    localStorage.setItem(`${KEY}.probe`, "1");
    localStorage.removeItem(`${KEY}.probe`);
    return true;
  } catch {
    return false;
  }
}

export const wasEnded = () => canStore() && localStorage.getItem(ENDED) !== null;

// The session that this browser tracks, in all of its tabs.
export const current = () => localStorage.getItem(CURRENT);

// The current token; `fresh` requests a new one although the last has not expired.
async function currentToken({ fresh = false } = {}) {
  const before = stored();
  const holds = (kept) => Date.parse(kept.expiresAt) - EARLY_MS > Date.now();
  if (!before || (!fresh && holds(before))) return before?.token ?? null;
  // A prerendered page may never be shown, so it must not use up the refresh token.
  if (/** @type {any} */ (document).prerendering)
    await new Promise((resolve) =>
      document.addEventListener("prerenderingchange", resolve, { once: true }),
    );
  return alone(async () => {
    const now = stored();
    if (!now) return null;
    if (now.token !== before.token && holds(now)) return now.token; // another tab was quicker
    try {
      const signedIn = await post("refresh", { refreshToken: now.refreshToken });
      if (stored()?.refreshToken !== now.refreshToken) return null; // signed out meanwhile
      keep(signedIn);
      return signedIn.token;
    } catch (error) {
      if (error.status === 401) {
        localStorage.setItem(ENDED, "1");
        localStorage.removeItem(KEY); // not the session: it goes on after signing in
        location.assign(HOME);
      }
      throw error;
    }
  });
}

// A new token, with the user's current role.
export const renew = () => currentToken({ fresh: true });

// Anonymous: these calls obtain tokens.
const post = (path, body) =>
  focusup.request("POST", `/api/auth/${path}`, body, { anonymous: true });

function alone(act) {
  return navigator.locks ? navigator.locks.request(KEY, act) : act();
}

export async function signUp(email, password) {
  const account = { email, password, timeZone: zoneHere() };
  const signedUp = await post("signup", account).catch((error) => {
    // The server may not know a zone that the browser knows.
    if (!error.errors?.some(({ field }) => field === "timeZone")) throw error;
    return post("signup", { ...account, timeZone: "UTC" });
  });
  accept(signedUp, "signup");
}

export async function signIn(email, password) {
  accept(await post("login", { email, password }), "login");
}

function accept(answer, event) {
  keep(answer);
  localStorage.removeItem(ENDED);
  focusup.trackEvent(event).catch(() => {});
}

async function signOut() {
  if (current() && !confirm(t("all.signOutRunning"))) return;
  await alone(async () => {
    const { refreshToken } = stored() ?? {};
    if (refreshToken) localStorage.setItem(OWED, JSON.stringify([...owed(), refreshToken]));
    drop();
  });
  if (!navigator.onLine) signedOut();
  else if (await settle()) location.assign(HOME);
  else signedOut();
}

function owed() {
  try {
    return JSON.parse(localStorage.getItem(OWED)) ?? [];
  } catch {
    return [];
  }
}

// Tell the server of sign-outs made offline. Returns false if some are still pending.
export function settle() {
  return alone(async () => {
    const left = [];
    for (const refreshToken of owed()) {
      await post("logout", { refreshToken }).catch(({ retryable }) => {
        if (retryable) left.push(refreshToken);
      });
    }
    if (left.length) localStorage.setItem(OWED, JSON.stringify(left));
    else if (owed().length) localStorage.removeItem(OWED);
    return !left.length;
  });
}

// No other page can be loaded offline, so clear this one of the user's data.
function signedOut() {
  for (const each of $("#main").children) show(each, false);
  for (const element of $$("[data-signed-in]")) show(element, false);
  for (const dialog of $$("dialog[open]")) dialog.close();
  show($("[data-signed-out]"));
  const leave = async () => {
    if (await settle()) location.assign(HOME);
  };
  addEventListener("online", leave);
  $("[data-signed-out] button").addEventListener("click", leave);
}

function drop() {
  localStorage.removeItem(KEY);
  localStorage.removeItem(CURRENT);
}

export function forget() {
  drop();
  location.assign(HOME);
}

// Show the account. Visitors are sent to the first page, which returns them after sign-in.
export function begin({ needed = true } = {}) {
  const who = user();
  if (!who && needed) {
    location.replace(`${HOME}?next=${encodeURIComponent(location.pathname)}`);
    return null;
  }
  for (const element of $$("[data-signed-in]")) show(element, Boolean(who));
  for (const element of $$("[data-admin]")) show(element, who?.role === "admin");
  say($("[data-email]"), who?.email ?? "");
  $("[data-sign-out]").addEventListener("click", signOut);
  const look = () => {
    if (user()?.id === who?.id) return;
    if (navigator.onLine) location.reload();
    else signedOut();
  };
  addEventListener("storage", ({ key }) => {
    if (key === KEY) look();
  });
  addEventListener("pageshow", ({ persisted }) => {
    if (persisted) look();
  }); // by "Back"
  addEventListener("unhandledrejection", ({ reason }) => notice(reason));
  if (owed().length) settle().catch(() => {});
  addEventListener("online", () => {
    if (owed().length) settle().catch(() => {});
  });
  return who;
}

// Report visits, heartbeats and page views, as any other site does.
export function track() {
  focusup.trackVisit();
  focusup.trackPages().on("error", () => {});
  if (user()) focusup.heartbeat();
  focusup.trackEvent("app_open").catch(() => {});
}
