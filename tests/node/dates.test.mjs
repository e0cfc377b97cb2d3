// Where dates begin, also where clocks change, and in which year an instant is.

import assert from "node:assert/strict";
import { test } from "node:test";

import { beginOf, daysAfter, knownZone, yearOf, zoneHere } from "../../focusup/web/static/dates.js";

const BEGINNINGS = [
  ["2026-01-31", "UTC", "2026-01-31T00:00:00.000Z"],
  ["2026-01-31", "Asia/Kathmandu", "2026-01-30T18:15:00.000Z"],
  ["2026-01-31", "America/New_York", "2026-01-31T05:00:00.000Z"],
  ["2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00.000Z"], // clocks change at 2:00 that night
  ["2026-03-30", "Europe/Berlin", "2026-03-29T22:00:00.000Z"],
  ["2026-10-25", "Europe/Berlin", "2026-10-24T22:00:00.000Z"],
  ["2026-10-26", "Europe/Berlin", "2026-10-25T23:00:00.000Z"],
  ["2026-03-08", "America/New_York", "2026-03-08T05:00:00.000Z"],
  ["2026-04-05", "Pacific/Auckland", "2026-04-04T11:00:00.000Z"],
  ["2026-09-27", "Pacific/Kiritimati", "2026-09-26T10:00:00.000Z"],
];

for (const [date, zone, begin] of BEGINNINGS) {
  test(`${date} begins in ${zone}`, () => assert.equal(beginOf(date, zone), begin));
}

test("days are counted over months, years and leap days", () => {
  assert.equal(daysAfter("2026-12-31", 1), "2027-01-01");
  assert.equal(daysAfter("2028-03-01", -1), "2028-02-29");
  assert.equal(daysAfter("2026-03-29", 365), "2027-03-29");
});

test("the year of an instant is that of the place", () => {
  assert.equal(yearOf("2026-12-31T23:30:00Z", "UTC"), 2026);
  assert.equal(yearOf("2026-12-31T23:30:00Z", "Europe/Berlin"), 2027);
  assert.equal(yearOf("2027-01-01T03:00:00Z", "America/New_York"), 2026);
});

test("a zone that a browser does not know is counted in UTC", () => {
  assert.equal(knownZone("Europe/Berlin"), "Europe/Berlin");
  assert.equal(knownZone("Nowhere/Land"), "UTC");
  assert.equal(knownZone(undefined), undefined); // the browser's own
  assert.equal(yearOf("2026-01-01T00:00:00Z", "Nowhere/Land"), 2026);
});

for (const [told, zone] of [
  ["Asia/Tokyo", "Asia/Tokyo"],
  ["Etc/Unknown", "UTC"],
  ["Nowhere/Land", "UTC"],
  [undefined, "UTC"],
]) {
  test(`a browser whose zone is ${told} is in ${zone}`, (t) => {
    t.mock.method(Intl.DateTimeFormat.prototype, "resolvedOptions", () => ({ timeZone: told }));
    assert.equal(zoneHere(), zone);
  });
}
