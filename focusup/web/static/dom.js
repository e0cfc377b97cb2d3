// Helpers of all pages: elements, and texts, numbers and dates in the language of the page.

import { knownZone } from "./dates.js";

const texts = JSON.parse(document.getElementById("texts").textContent);
const language = document.documentElement.lang;
const dates = dateLocale();
const plurals = new Intl.PluralRules(language);
const SVG = "http://www.w3.org/2000/svg";

// The user's variant of the page's language, with their 12 or 24 hour clock.
function dateLocale() {
  const wanted = navigator.languages ?? [];
  try {
    const own = wanted.find((each) => each.split("-")[0] === language) ?? language;
    const { hourCycle } = new Intl.DateTimeFormat([...wanted], {
      hour: "numeric",
    }).resolvedOptions();
    return new Intl.Locale(own, { hourCycle }).toString();
  } catch {
    return language; // some browsers name languages that there are not, such as en-US@posix
  }
}

// A text of the page, with `{name}` replaced by the given values. `count` selects the plural form
// (`key.one`, `key.other`).
/** @param {string} key @param {Record<string, any>} given @returns {string} */
export function t(key, given = {}) {
  const exact = "count" in given ? `${key}.${plurals.select(given.count)}` : key;
  const text = texts[exact] ?? texts[`${key}.other`] ?? texts[key];
  if (text === undefined) throw new Error(`there is no text ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) =>
    typeof given[name] === "number" ? number(given[name]) : given[name],
  );
}

export const has = (key) => key in texts;

export const $ = (selector, within = document) => within.querySelector(selector);
export const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

// Create an element. `on…` are listeners, all else attributes; null and false are left out.
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
  return rest
    ? t("all.hoursMinutes", { hours: Math.floor(minutes / 60), minutes: rest })
    : t("all.hours", { hours: minutes / 60 });
}

/** @typedef {Intl.DateTimeFormatOptions} Style */

// Format a date such as "2026-01-31", which has no time zone.
/** @param {string} date @param {Style} style */
export function day(date, style = { day: "numeric", month: "short", year: "numeric" }) {
  return new Intl.DateTimeFormat(dates, { ...style, timeZone: "UTC" }).format(
    new Date(`${date}T00:00:00Z`),
  );
}

/** @param {string} iso @param {Style} [style] @param {string} [timeZone] */
export function instant(iso, style = { dateStyle: "medium", timeStyle: "short" }, timeZone) {
  return new Intl.DateTimeFormat(dates, { ...style, timeZone: knownZone(timeZone) }).format(
    new Date(iso),
  );
}

// The message for an error, translated by its code if there is a text. An error without a code
// is a bug: its message is for developers, so a general one is shown.
export function sentence(error) {
  if (!error?.code) return t("all.error.unexpected");
  return has(`all.error.${error.code}`) ? t(`all.error.${error.code}`) : error.message;
}

export function notice(error) {
  const place = $("[data-notice]");
  say(place, error ? sentence(error) : "");
  show(place, Boolean(error));
}

// Show an error at the field with this id, or clear it if the text is empty.
export function wrong(id, text) {
  say($(`#${id}-wrong`), text);
  $(`#${id}`).setAttribute("aria-invalid", String(Boolean(text)));
}
