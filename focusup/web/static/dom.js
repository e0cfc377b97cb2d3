// What every page does: elements, texts, numbers and dates in the language of the page.

import { knownZone } from "./dates.js";

const texts = JSON.parse(document.getElementById("texts").textContent);
const language = document.documentElement.lang;
const dates = dateLocale();
const plurals = new Intl.PluralRules(language);
const SVG = "http://www.w3.org/2000/svg";

// The user's own variant of the page's language, with 24 hours where these are used.
function dateLocale() {
  const wanted = navigator.languages ?? [];
  try {
    const own = wanted.find((each) => each.split("-")[0] === language) ?? language;
    const { hourCycle } = new Intl.DateTimeFormat([...wanted], { hour: "numeric" }).resolvedOptions();
    return new Intl.Locale(own, { hourCycle }).toString();
  } catch {
    return language; // some browsers name languages that there are not, such as en-US@posix
  }
}

// A text of the page; `{name}` stands for what is given, and `count` chooses between
// `key.one` and `key.other`, as the language has them.
export function t(key, given = {}) {
  const exact = "count" in given ? `${key}.${plurals.select(given.count)}` : key;
  const text = texts[exact] ?? texts[`${key}.other`] ?? texts[key];
  if (text === undefined) throw new Error(`there is no text ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof given[name] === "number" ? number(given[name]) : given[name]));
}

export const has = (key) => key in texts;

export const $ = (selector, within = document) => within.querySelector(selector);
export const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

// An element: `on…` are listeners, `class` and the like attributes, and what is null is left out.
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function show(element, visible = true) {
  element.hidden = !visible;
}

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
export const percent = (ratio) =>
  new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(ratio);

// 754 s is "12:34", 3 h are "3:00:00".
export function clock(seconds) {
  const two = (value) => String(value).padStart(2, "0");
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

// In words: "2 h 5 min", "40 s".
export function duration(seconds) {
  if (seconds < 60) return t("all.seconds", { seconds });
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return t("all.minutes", { minutes });
  const rest = minutes % 60;
  return rest ? t("all.hoursMinutes", { hours: Math.floor(minutes / 60), minutes: rest }) : t("all.hours", { hours: minutes / 60 });
}

// A date such as "2026-01-31" has no zone; it is shown as it is.
export function day(date, style = { day: "numeric", month: "short", year: "numeric" }) {
  return new Intl.DateTimeFormat(dates, { ...style, timeZone: "UTC" }).format(new Date(`${date}T00:00:00Z`));
}

export function instant(iso, style = { dateStyle: "medium", timeStyle: "short" }, timeZone) {
  return new Intl.DateTimeFormat(dates, { ...style, timeZone: knownZone(timeZone) }).format(new Date(iso));
}

// An error as a sentence, in the language of the page where it has one for its code. What has no
// code was thrown by the page or the browser, in words for developers.
export function sentence(error) {
  if (!error?.code) return t("all.error.unexpected");
  return has(`all.error.${error.code}`) ? t(`all.error.${error.code}`) : error.message;
}

export function notice(error) {
  const place = $("[data-notice]");
  say(place, error ? sentence(error) : "");
  show(place, Boolean(error));
}

// What is wrong with the field of this id, beside it; an empty text takes that back.
export function wrong(id, text) {
  say($(`#${id}-wrong`), text);
  $(`#${id}`).setAttribute("aria-invalid", String(Boolean(text)));
}
