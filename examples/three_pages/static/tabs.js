// Page C: switching tabs changes the address without loading a page.
//
// What must always hold: the address, the title, the selected tab and the panel that is
// shown belong together, whether one came by a link, a key, or back and forward. Without
// this script each tab is a page.

const tabs = [...document.querySelectorAll("[role=tab]")];
const KEYS = { ArrowLeft: -1, ArrowRight: 1 };

function show(selected) {
  for (const tab of tabs) {
    tab.ariaSelected = String(tab === selected);
    tab.tabIndex = tab === selected ? 0 : -1;
    document.getElementById(tab.getAttribute("aria-controls")).hidden = tab !== selected;
  }
  document.title = `Page C, ${selected.textContent}`;
  document.dispatchEvent(new Event("tabshown"));
}

const selected = () => tabs.find((tab) => tab.ariaSelected === "true");

function select(tab) {
  if (tab === selected()) return;
  history.pushState({ tab: tab.id }, "", tab.href);
  show(tab);
}

for (const [at, tab] of tabs.entries()) {
  tab.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return; // a new tab or window
    event.preventDefault();
    select(tab);
  });
  tab.addEventListener("keydown", (event) => {
    if (!(event.key in KEYS)) return;
    const next = tabs.at((at + KEYS[event.key]) % tabs.length);
    next.focus();
    select(next);
  });
}

history.replaceState({ tab: selected().id }, "");
addEventListener("popstate", ({ state }) => {
  const tab = tabs.find(({ id }) => id === state?.tab);
  if (tab && tab !== selected()) show(tab);
});
