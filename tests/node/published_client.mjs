// The client as it was published, run in Node: the part between the lines is its text,
// with the address and the key `token` left as they were. Around it stands what a browser
// gives: localStorage, window, document, and a WebSocket that the user's actions come to
// only after it has opened (the published text sends at once).
import WebSocketOfNode from "ws";

const [origin, userToken] = process.argv.slice(2);
const listeners = {};
const page = { hidden: false };
globalThis.localStorage = { getItem: (key) => (key === "token" ? userToken : null) };
globalThis.window = { addEventListener: (name, act) => (listeners[name] = act) };
globalThis.document = {
  addEventListener: (name, act) => (listeners[name] = act),
  get hidden() { return page.hidden; },
};
globalThis.WebSocket = class extends WebSocketOfNode {
  constructor(url) { super(url.replace("ws://localhost:5000", origin.replace("http", "ws"))); }
  send(data) {
    if (this.readyState === this.OPEN) super.send(data);
    else this.once("open", () => super.send(data));
  }
};
const fetchOfNode = globalThis.fetch;
globalThis.fetch = (url, options) =>
  fetchOfNode(url.replace("http://localhost:5000", origin), options);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// ---------------------------------------------------------------------------------------
// 1. Get JWT token from login
const token = localStorage.getItem('token')

// 2. Create session via REST
const response = await fetch('http://localhost:5000/api/sessions', {
  method: 'POST',
  headers: { 
    'Content-Type': 'application/json',
    'Authorization': `Bearer ${token}`
  },
  body: JSON.stringify({ targetMinutes: 25, contentId: 'xyz' })
})
const { session } = await response.json()

// 3. Connect to WebSocket
const ws = new WebSocket(`ws://localhost:5000/ws/sessions?token=${token}`)

// 4. Start tracking
ws.send(JSON.stringify({ type: 'start', sessionId: session._id }))

// 5. Send activity events (from useFocusTracking.js)
window.addEventListener('mousemove', () => {
  ws.send(JSON.stringify({ type: 'activity' }))
}, { passive: true })

// 6. Send tab switches (from useFocusTracking.js)
document.addEventListener('visibilitychange', () => {
  if (document.hidden) {
    ws.send(JSON.stringify({ type: 'tabSwitch' }))
  }
})
// ---------------------------------------------------------------------------------------

const told = [];
ws.on("message", (data) => told.push(JSON.parse(data)));
for (let frame = 0; frame < 150; frame += 1) {
  listeners.mousemove();
  await sleep(1000 / 60);
}
page.hidden = true;
listeners.visibilitychange();
await sleep(700);

// 7. Stop session (from useSessionTimer.js when timer completes)
ws.send(JSON.stringify({ type: 'stop', status: 'completed' }))

while (!told.some((message) => message.type === "stopped")) await sleep(20);
ws.close();
console.log(JSON.stringify({ sessionId: session._id, told }));
