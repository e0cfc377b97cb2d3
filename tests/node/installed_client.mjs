// A study app in Node, with the package as it is installed: one session, from its creation to
// its score. Prints what was told, and ends by itself: nothing of the library goes on.

import { connect } from "focusup";

const [url, token, ws] = process.argv.slice(2);
const env = globalThis.WebSocket ? {} : { WebSocket: (await import(ws)).WebSocket };
let given = 0;
const focusup = connect({
  url,
  token: ({ fresh }) => {
    given += 1;
    return fresh ? token : "expired";
  },
  env,
});

const session = await focusup.createSession({ targetMinutes: 1, title: "from npm" });
const told = [];
for (const type of ["started", "tick", "paused", "resumed", "stopped", "connection", "error"]) {
  session.on(type, (detail) => told.push([type, detail.state ?? detail.code ?? null]));
}
const ticks = (count) =>
  new Promise((resolve) => {
    const off = session.on("tick", () => {
      count -= 1;
      if (!count) {
        off();
        resolve();
      }
    });
  });

const begun = await session.start();
session.activity();
session.tabSwitch();
await ticks(2);
const paused = await session.pause();
await session.resume();
await ticks(1);
const [ended] = await Promise.all([session.stop(), session.stop()]);
const again = await focusup.request("GET", `/api/sessions/${session.id}`);

const pages = focusup.trackPages();
const viewing = new Promise((resolve) => pages.on("viewing", resolve));
pages.view("/kiosk", { floor: 2 });
const { page, visitorId } = await viewing;
pages.stop();
await focusup.trackEvent("action", "done");
focusup.trackVisit("a-visit-of-node")();
focusup.heartbeat()();

console.log(
  JSON.stringify({ told, begun, paused, ended, again: again.session, page, visitorId, given }),
);
