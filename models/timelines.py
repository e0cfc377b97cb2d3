"""The timeline in the document of a session (`scoring.timeline` says what it is).

What must always hold: whatever sets counters or ends a pause in a document sets its
timeline along with them, so that the two never tell different stories.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from models.wire import milliseconds
from scoring.local_days import MICROSECOND
from scoring.timeline import SECOND_US, Counts, Kind, Run, Timeline, pack, set_by_hand, unpack

EMPTY = b""

Document = dict[str, Any]


def counts_in(document: Mapping[str, Any]) -> Counts:
    return Counts(document["activeSeconds"], document["idleSeconds"], document["tabSwitches"])


def origin_of(document: Mapping[str, Any]) -> datetime:
    """The instant from which the timeline counts."""
    origin: datetime = document["startedAt"] or document["createdAt"]
    return milliseconds(origin)


def runs_in(document: Mapping[str, Any]) -> list[Run]:
    """The runs of a session, without time away."""
    counts = counts_in(document)
    try:
        return unpack(document["timeline"], counts)
    except (LookupError, ValueError):  # written by other hands than ours
        return set_by_hand(counts, paused_us_in(document))


def carry_us_in(document: Mapping[str, Any]) -> int:
    """The remainder of a second, less than one."""
    carry_ms: float = document["carryMs"]
    return min(max(round(carry_ms * 1000), 0), SECOND_US - 1)


def paused_us_in(document: Mapping[str, Any]) -> int:
    """Time in pauses that are over."""
    paused_ms: float = document["pausedMs"]
    return round(paused_ms * 1000)


def going_on(document: Mapping[str, Any], now: datetime) -> Timeline:
    """The timeline of a session that somebody tracks from `now` on, its next run begun if
    it counts."""
    timeline = Timeline(runs_in(document))
    if document["status"] == "active":
        start_us = (now - origin_of(document)) // MICROSECOND - carry_us_in(document)
        timeline.begin(Kind.ACTIVE, start_us, counts_in(document))
    return timeline


def pause_ended(document: Mapping[str, Any], until: datetime) -> Document:
    """What the end of a pause sets in a document that nobody tracks."""
    since: datetime | None = document["pausedAt"]
    if since is None:
        return {"pausedAt": None, "pausedMs": document["pausedMs"]}
    length_us = max((until - since) // MICROSECOND, 0)
    start_us = (since - origin_of(document)) // MICROSECOND - carry_us_in(document)
    timeline = Timeline(runs_in(document))
    timeline.paused(start_us, length_us, counts_in(document))
    return {
        "pausedAt": None,
        "pausedMs": document["pausedMs"] + length_us / 1000,
        "timeline": timeline.pack(),
    }


def counters_set(document: Mapping[str, Any], counters: Mapping[str, int]) -> Document:
    """The timeline of counters that were set by hand."""
    runs = set_by_hand(counts_in({**document, **counters}), paused_us_in(document))
    return {"timeline": pack(runs)}
