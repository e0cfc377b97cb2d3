// A session whose server is stopped, killed, and gone when the user stops. Prints a line for
// each event, and takes commands line by line.

import { createInterface } from "node:readline";
import { WebSocket } from "ws";

import { connect } from "../../focusup/web/static/focusup.js";

const [url, token] = process.argv.slice(2);
const focusup = connect({ url, token, env: { WebSocket } });
const session = await focusup.createSession({ targetMinutes: 1 });
const tell = (type, detail) => console.log(JSON.stringify({ type, ...detail }));
for (const type of ["started", "tick", "stopped", "connection"])
  session.on(type, (detail) => tell(type, detail));
session.on("error", ({ code, message }) => tell("error", { code, message }));

const commands = {
  start: () => session.start(),
  pause: () => session.pause().then((message) => tell("answered", { to: message.type })),
  stop: () => session.stop().then((ended) => tell("answered", { to: "stop", session: ended })),
};
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => commands[line]());
