// Who is signed in, in all tabs of this browser, and the connection that speaks for them.
//
// What must always hold: one refresh at a time, whichever tab needs it, and all tabs get what
// it gave; who signs out in one tab is signed out in all.

import { connect } from "./focusup.js";
import { $, $$, say, show, t } from "./dom.js";

const KEY = "focusup.account";
export const CURRENT = "focusup.session";
const EARLY_MS = 5_000; // a token that ends while it is on its way helps nobody
// A copy of these pages on another host names the server in `<meta name="focusup-server">`.
export const SERVER = $("meta[name=focusup-server]")?.content ?? location.origin;

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

// The session that this browser tracks, in all of its tabs.
export const current = () => localStorage.getItem(CURRENT);

// The token that holds now; `fresh` asks for another than the last one.
async function token({ fresh = false } = {}) {
  const before = stored();
  const holds = (kept) => Date.parse(kept.expiresAt) - EARLY_MS > Date.now();
  if (!before || (!fresh && holds(before))) return before?.token ?? null;
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
      if (error.status === 401) forget();
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
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  keep(await post("signup", { email, password, timeZone }));
  focusup.trackEvent("signup").catch(() => {});
}

export async function signIn(email, password) {
  keep(await post("login", { email, password }));
  focusup.trackEvent("login").catch(() => {});
}

async function signOut() {
  if (current() && !confirm(t("all.signOutRunning"))) return;
  await alone(async () => {
    const { refreshToken } = stored() ?? {};
    if (refreshToken) await post("logout", { refreshToken }).catch(() => {});
    forget();
  });
}

export function forget() {
  localStorage.removeItem(KEY);
  localStorage.removeItem(CURRENT);
  location.assign("/");
}

// Show who is signed in; others are sent to the first page, which brings them back.
export function begin({ needed = true } = {}) {
  const who = user();
  if (!who && needed) {
    location.replace(`/?next=${encodeURIComponent(location.pathname)}`);
    return null;
  }
  for (const element of $$("[data-signed-in]")) show(element, Boolean(who));
  for (const element of $$("[data-admin]")) show(element, who?.role === "admin");
  say($("[data-email]"), who?.email ?? "");
  $("[data-sign-out]").addEventListener("click", signOut);
  const look = () => { if (user()?.id !== who?.id) location.reload(); };
  addEventListener("storage", ({ key }) => { if (key === KEY) look(); });
  addEventListener("pageshow", ({ persisted }) => { if (persisted) look(); }); // by "Back"
  return who;
}

// Visits, presence and page views of these pages, as of any other site.
export function track() {
  focusup.trackVisit();
  focusup.trackPages().on("error", () => {});
  if (user()) focusup.heartbeat();
  focusup.trackEvent("app_open").catch(() => {});
}
