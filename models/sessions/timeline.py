"""Read and write the timeline in the document of a session (`scoring.timeline`).

Invariants:

- A write that sets counters or ends a pause also sets the timeline, so the two always agree.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Any

from models.base.database import Document
from models.base.schema_types import milliseconds
from scoring.local_days import MICROSECOND, date_of, instant_us, utc_datetime
from scoring.manual_seconds import Counted, Entry, set_counters
from scoring.timeline import (
    SECOND_US,
    Counts,
    Kind,
    Run,
    Timeline,
    pack,
    runs_from_counts,
    subtract_counts,
    unpack,
)

EMPTY = b""
BY_HAND = "manual"
"""The field with what was entered by hand; a session without it has nothing of the kind."""


def counts_in(document: Mapping[str, Any]) -> Counts:
    """Return the counters of a document."""
    return Counts(document["activeSeconds"], document["idleSeconds"], document["tabSwitches"])


def origin_of(document: Mapping[str, Any]) -> datetime:
    """Return the instant from which the timeline counts."""
    origin: datetime = document["startedAt"] or document["createdAt"]
    return milliseconds(origin)


def by_hand_in(document: Mapping[str, Any]) -> Counts:
    """Return the seconds and tab switches that were entered by hand."""
    rows = document.get(BY_HAND, ())
    return Counts(
        sum(row["active"] for row in rows),
        sum(row["idle"] for row in rows),
        sum(row["tabSwitches"] for row in rows),
    )


def entries_in(document: Mapping[str, Any]) -> list[Entry]:
    """Return the entries by hand, in order of time."""
    return [
        Entry(
            instant_us(row["at"]),
            row["zone"],
            Counts(row["active"], row["idle"], row["tabSwitches"]),
        )
        for row in document.get(BY_HAND, ())
    ]


def entry_rows(entries: Iterable[Entry]) -> list[Document]:
    """Return entries as they are stored."""
    return [
        {
            "at": milliseconds(utc_datetime(entry.at_us)),
            "zone": entry.zone,
            "active": entry.counts.active,
            "idle": entry.counts.idle,
            "tabSwitches": entry.counts.tab_switches,
        }
        for entry in entries
    ]


def tracked_in(document: Mapping[str, Any]) -> Counts:
    """Return the counters without entries by hand."""
    return subtract_counts(counts_in(document), by_hand_in(document))


def runs_in(document: Mapping[str, Any]) -> list[Run]:
    """Return the tracked runs of a session, without time away."""
    counts = tracked_in(document)
    try:
        return unpack(document["timeline"], counts)
    except (LookupError, ValueError):  # written by other hands than ours
        return runs_from_counts(counts, paused_us_in(document))


def carry_us_in(document: Mapping[str, Any]) -> int:
    """Return the remainder of a second, in microseconds."""
    carry_ms: float = document["carryMs"]
    return min(max(round(carry_ms * 1000), 0), SECOND_US - 1)


def paused_us_in(document: Mapping[str, Any]) -> int:
    """Return the time of finished pauses, in microseconds."""
    paused_ms: float = document["pausedMs"]
    return round(paused_ms * 1000)


def going_on(document: Mapping[str, Any], now: datetime) -> Timeline:
    """Return the timeline of a session that is tracked from `now` on.

    Its next run is begun if the session counts.
    """
    timeline = Timeline(runs_in(document), by_hand_in(document))
    if document["status"] == "active":
        start_us = (now - origin_of(document)) // MICROSECOND - carry_us_in(document)
        timeline.start_run(Kind.ACTIVE, start_us, counts_in(document))
    return timeline


def pause_ended(document: Mapping[str, Any], until: datetime) -> Document:
    """Return the fields that change when an untracked session is resumed."""
    since: datetime | None = document["pausedAt"]
    if since is None:
        return {"pausedAt": None, "pausedMs": document["pausedMs"]}
    length_us = max((until - since) // MICROSECOND, 0)
    start_us = (since - origin_of(document)) // MICROSECOND - carry_us_in(document)
    timeline = Timeline(runs_in(document), by_hand_in(document))
    timeline.add_pause(start_us, length_us, counts_in(document))
    return {
        "pausedAt": None,
        "pausedMs": document["pausedMs"] + length_us / 1000,
        "timeline": timeline.pack(),
    }


def counters_set(
    document: Mapping[str, Any],
    counters: Mapping[str, int],
    *,
    at: datetime,
    zone: str,
    day_of: Callable[[int, str], date],
) -> Document:
    """Return the timeline and the entries by hand for counters that are set by hand.

    Args:
        document: The session as it was.
        counters: All of its counters, as they are to be.
        at: The moment for which they are set, in `zone`.
        day_of: Returns the learner's date of an instant in a zone.
        zone: The time zone of `at`.
    """
    at_us = instant_us(milliseconds(at))
    dates = (date_of(at_us, zone), day_of(at_us, zone))

    def may_join(entry: Entry) -> bool:
        there = (date_of(entry.at_us, zone), day_of(entry.at_us, zone))
        return entry.zone == zone and there == dates and entry.at_us <= at_us

    before = Counted(runs_in(document), entries_in(document))
    after = set_counters(
        before, counts_in({**document, **counters}), at_us, zone, may_join=may_join
    )
    changes: Document = {}
    if after.runs != before.runs:
        changes["timeline"] = pack(after.runs)
    if after.entries != before.entries:
        changes[BY_HAND] = entry_rows(after.entries)
    return changes
