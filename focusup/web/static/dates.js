// Local dates such as "2026-01-31", and the instants at which they begin in a time zone. Pure.

const DAY_MS = 86_400_000;

export const daysAfter = (date, days) =>
  new Date(Date.parse(date) + days * DAY_MS).toISOString().slice(0, 10);

const isKnown = (zone) => {
  try {
    return Boolean(new Intl.DateTimeFormat("en", { timeZone: zone }));
  } catch {
    return false;
  }
};

// The given zone if this browser supports it, else UTC.
export const knownZone = (zone) => (zone === undefined || isKnown(zone) ? zone : "UTC");

// The browser's zone. Some report none, or one that they don't support (Etc/Unknown).
export function zoneHere() {
  const { timeZone } = new Intl.DateTimeFormat().resolvedOptions();
  return timeZone && timeZone !== "Etc/Unknown" && isKnown(timeZone) ? timeZone : "UTC";
}

// The local date and minute in this zone, read as if they were UTC, in ms.
function shown(instant, zone) {
  /** @type {Intl.DateTimeFormatOptions} */
  const style = {
    timeZone: knownZone(zone),
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  };
  const parts = new Intl.DateTimeFormat("en-u-ca-iso8601", style).formatToParts(instant);
  const { year, month, day, hour, minute } = Object.fromEntries(
    parts.map(({ type, value }) => [type, Number(value)]),
  );
  return Date.UTC(year, month - 1, day, hour, minute);
}

// The year of an instant in a zone.
export const yearOf = (instant, zone) => new Date(shown(new Date(instant), zone)).getUTCFullYear();

// The instant at which a date begins in a zone. Computed twice, because the offset may change
// between midnight UTC and local midnight.
export function beginOf(date, zone) {
  const wanted = Date.parse(date);
  const first = wanted - (shown(wanted, zone) - wanted);
  return new Date(first - (shown(first, zone) - wanted)).toISOString();
}
