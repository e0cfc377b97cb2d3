// A study app in TypeScript: compiled in strict mode, never run.

import {
  AFTER_CLOSE,
  connect,
  FocusSession,
  FocusUpError,
  type FocusUp,
  type Session,
  type SessionEvents,
  type Stopped,
} from "../../focusup/web/static/focusup.js";

const focusup: FocusUp = connect({
  url: "https://focusup.example",
  token: async ({ fresh }) => (fresh ? null : "token"),
  env: { WebSocket, random: () => 0.5 },
});

async function study(): Promise<number> {
  const session = await focusup.createSession(
    { targetMinutes: 25, idleMode: "reading" },
    { updates: "change" },
  );
  const off = session.on("tick", ({ elapsedSeconds, idle }) =>
    console.log(elapsedSeconds.toFixed(), idle === true),
  );
  session.on("connection", ({ state, code }) =>
    console.log(state === "waiting", AFTER_CLOSE[code ?? 1006] === "rest"),
  );
  session.on("error", (error) => error.errors.map(({ field }) => field.length));
  const begun: Session = await session.start();
  const { elapsedSeconds } = await session.pause();
  off();
  session.on("stopped", ({ stats }: Stopped) => stats?.currentStreak);
  const ended = await session.stop("cancelled").catch((error: unknown) => {
    if (error instanceof FocusUpError && error.retryable) return session.stop();
    throw error;
  });
  return begun.targetMinutes + elapsedSeconds + (ended.focusScore ?? 0);
}

const again: Promise<FocusSession> = FocusSession.create(focusup, {});
const pages = focusup.trackPages({ name: ({ pathname }) => pathname || null });
pages.on("viewing", ({ viewId }) => pages.view("/tab", { tab: 2, id: viewId }, "A tab"));
const names: (keyof SessionEvents)[] = ["superseded", "goalReached"];
const listed = focusup.request<{ sessions: Session[] }>("GET", "/api/sessions");
void [
  study,
  again,
  names,
  listed,
  focusup.trackVisit(),
  focusup.heartbeat(),
  focusup.trackEvent("action", "done"),
];

// What is wrong has to be found:
// @ts-expect-error no such event
focusup.session("id").on("tock", () => {});
// @ts-expect-error no such field of a tick
focusup.session("id").on("tick", ({ seconds }) => seconds);
// @ts-expect-error no such status
void focusup.session("id").stop("done");
// @ts-expect-error no such event type
void focusup.trackEvent("logout");
// @ts-expect-error read only
focusup.session("id").id = "other";
