// Who is signed in, in all tabs of this browser, and the connection that speaks for them.
//
// Invariants: one refresh at a time, whichever tab needs it, and all tabs get what it gave; a user
// who signs out in one tab is signed out in all, and the server hears of it, now or when it can be
// reached again.

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
const EARLY_MS = 5_000; // a token that ends while it is on its way helps nobody
// A copy of these pages on another host names the server in `<meta name="focusup-server">`.
export const SERVER = $("meta[name=focusup-server]")?.content ?? location.origin + BASE;

export const focusup = connect({ url: SERVER, token });

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

// Whether this browser lets the pages store anything; without that nobody stays signed in.
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

// The token that holds now; `fresh` asks for another than the last one.
async function token({ fresh = false } = {}) {
  const before = stored();
  const holds = (kept) => Date.parse(kept.expiresAt) - EARLY_MS > Date.now();
  if (!before || (!fresh && holds(before))) return before?.token ?? null;
  // A page that is loaded in advance may never be looked at: it exchanges no token.
  if (document.prerendering) await new Promise((resolve) => document.addEventListener("prerenderingchange", resolve, { once: true }));
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

// Another token, which says what its user may do now.
export const renew = () => token({ fresh: true });

// Without a token of its own: it is how tokens are got.
const post = (path, body) => focusup.request("POST", `/api/auth/${path}`, body, { anonymous: true });

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
  signedIn(signedUp, "signup");
}

export async function signIn(email, password) {
  signedIn(await post("login", { email, password }), "login");
}

function signedIn(answer, event) {
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

// Sign out at the server what was signed out here; false if some of it has to wait.
export function settle() {
  return alone(async () => {
    const left = [];
    for (const refreshToken of owed()) {
      await post("logout", { refreshToken }).catch(({ retryable }) => { if (retryable) left.push(refreshToken); });
    }
    if (left.length) localStorage.setItem(OWED, JSON.stringify(left));
    else if (owed().length) localStorage.removeItem(OWED);
    return !left.length;
  });
}

// Without the server there is no other page to go to: nothing of the user stays on this one.
function signedOut() {
  for (const each of $("#main").children) show(each, false);
  for (const element of $$("[data-signed-in]")) show(element, false);
  for (const dialog of $$("dialog[open]")) dialog.close();
  show($("[data-signed-out]"));
  const leave = async () => { if (await settle()) location.assign(HOME); };
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

// Show who is signed in; others are sent to the first page, which brings them back.
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
  addEventListener("storage", ({ key }) => { if (key === KEY) look(); });
  addEventListener("pageshow", ({ persisted }) => { if (persisted) look(); }); // by "Back"
  addEventListener("unhandledrejection", ({ reason }) => notice(reason));
  if (owed().length) settle().catch(() => {});
  addEventListener("online", () => { if (owed().length) settle().catch(() => {}); });
  return who;
}

// Visits, presence and page views of these pages, as of any other site.
export function track() {
  focusup.trackVisit();
  focusup.trackPages().on("error", () => {});
  if (user()) focusup.heartbeat();
  focusup.trackEvent("app_open").catch(() => {});
}
