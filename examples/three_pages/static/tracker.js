// Tells FocusUp what is viewed, and counts nothing itself:
//
//   const tracker = track("https://focusup.example.com", { onCount, onState });
//   tracker.view("/article", { id: 7 }, document.title);   // again when a tab is switched
//
// What must always hold: one view at a time, announced anew on every connection; no message
// says where a pointer is or which key was pressed; the visitor's key is kept here only
// while no cookie carries it; and a server that said no is not asked again.

const SIGNS = ["pointerdown", "pointermove", "keydown", "scroll", "touchstart", "touchmove"];
const SIGN_EVERY_MS = 1000;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 30_000;
const TOO_MANY = 4429;
const TOO_MANY_RETRY_MS = 60_000;
const REST = [1000, 1002, 1003, 1007, 1009, 4400, 4401, 4403, 4404];
const REST_UNTIL_NEEDED = [4408, 4409];
const KEY = "focusup.visitor";

export function track(server, { onCount = () => {}, onState = () => {} } = {}) {
  let viewed = null; // what is announced
  let viewId = null; // what the server calls it; null until it has answered
  let socket = null;
  let retrying = null; // the timer of the next attempt
  let failures = 0;
  let refused = false;
  let signedAt = -Infinity;
  let key = null; // where storage is blocked, it lives as long as the page

  const seen = () => document.visibilityState === "visible";

  function send(type, fields) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type, ...fields }));
  }

  function announce() {
    viewId = null;
    send("view", { ...viewed, visible: seen(), updates: "tick" });
  }

  function connect() {
    const address = new URL("/ws/pageviews", server.replace(/^http/, "ws"));
    const kept = recall();
    if (kept) address.searchParams.set("visitor", kept);
    const opened = new WebSocket(address, "focusup.v1");
    socket = opened;
    opened.onopen = () => {
      if (opened === socket) announce();
    };
    opened.onmessage = ({ data }) => {
      if (opened === socket) hear(JSON.parse(data));
    };
    opened.onclose = ({ code }) => {
      if (opened === socket) lost(code);
    };
  }

  function connectIfNeeded() {
    if (viewed && !socket && !retrying && !refused) connect();
  }

  function hear(message) {
    if (message.type === "viewing") {
      failures = 0;
      viewId = message.viewId;
      keep(message.visitor);
      onState(seen() ? "Active" : "Hidden");
    } else if (message.type === "tick" && message.viewId === viewId) {
      onCount(message);
    } else if (message.type === "error" && message.retryable) {
      socket.close(); // and so another attempt, later
    }
  }

  function lost(code) {
    socket = null;
    onState("Not connected");
    refused = REST.includes(code);
    if (refused || REST_UNTIL_NEEDED.includes(code)) return;
    const wait = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** failures++);
    retry(code === TOO_MANY ? TOO_MANY_RETRY_MS : wait);
  }

  function retry(wait) {
    // Jitter: all pages lose a server at the same moment.
    retrying = setTimeout(
      () => {
        retrying = null;
        if (seen()) connectIfNeeded(); // else when it is: nobody looks meanwhile
      },
      wait * (0.5 + Math.random() / 2),
    );
  }

  function leave() {
    send("leave");
    socket?.close(1000);
    socket = null;
    clearTimeout(retrying);
    retrying = null;
  }

  function recall() {
    try {
      return localStorage.getItem(KEY) ?? key;
    } catch {
      return key;
    }
  }

  function keep(given) {
    key = given;
    try {
      if (given) localStorage.setItem(KEY, given);
      else localStorage.removeItem(KEY);
    } catch {
      /* blocked */
    }
  }

  function sign() {
    if (!seen() || performance.now() < signedAt + SIGN_EVERY_MS) return;
    signedAt = performance.now();
    send("activity");
  }

  for (const name of SIGNS) addEventListener(name, sign, { passive: true, capture: true });
  document.addEventListener("visibilitychange", () => {
    send(seen() ? "visible" : "hidden");
    if (seen()) connectIfNeeded();
  });
  addEventListener("pagehide", leave);
  addEventListener("pageshow", ({ persisted }) => {
    if (persisted) connectIfNeeded();
  });

  return {
    view(page, params = {}, title = null) {
      viewed = { page, params, title };
      onCount({ visibleSeconds: 0, engagedSeconds: 0, engaged: seen() });
      announce();
      connectIfNeeded();
    },
  };
}
