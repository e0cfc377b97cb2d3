// What this site tells the tracker, and what it shows of what was counted.

import { track } from "./tracker.js";

const server = document.querySelector("meta[name=focusup]").content;
const put = (id, text) => {
  document.getElementById(id).textContent = text;
};

const tracker = track(server, {
  onCount({ visibleSeconds, engagedSeconds, engaged }) {
    put("visible", visibleSeconds);
    put("engaged", engagedSeconds);
    put("state", engaged ? "Active" : "No sign of you");
  },
  onState(state) {
    put("state", state);
  },
});

function view() {
  const { page, ...params } = document.querySelector("[data-page]:not([hidden])").dataset;
  tracker.view(page, params, document.title);
}

document.addEventListener("tabshown", view);
view();
