"""Convert sessions whose counters were set by hand: schema version 1 to 2.

When counters were set by hand, schema version 1 replaced all runs by one active, one idle and one
paused run from the start of the session on, and kept the tracked runs only in the edit. Runs that
were tracked later follow those, perhaps in the future. `convert_session` separates each state of
a session (before each edit, and the present one) into tracked runs and entries by hand
(`scoring.manual_seconds`).

Invariants:

- No counter changes, unless more than a day was entered by hand.
- A converted session has the field `BY_HAND`, and is not converted again.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bson import ObjectId

from models.base.compare_and_set import Stamps
from models.base.database import Database, Document
from models.base.paging import BY_ID, newest_first
from models.base.schema_types import milliseconds
from models.base.time_zones import UTC as UTC_NAME
from models.sessions.queries import compare_and_set, sessions
from models.sessions.session import FINAL, score_fields
from models.sessions.timeline import BY_HAND, entry_rows, origin_of, paused_us_in, runs_in
from scoring.local_days import MICROSECOND, instant_us
from scoring.manual_seconds import MAX_MANUAL_SECONDS, Counted, set_counters, total_of
from scoring.timeline import Counts, Kind, Run, counts_of, pack

MAX_EDITS = 50
"""More edits of a session are not kept."""
CHUNK = 25
"""Sessions that are read at once."""
WHY = "A session takes one day of seconds by hand: what was beyond it was taken back."


class _SetByHand(NamedTuple):
    """The last edit of the counters before a state."""

    former: Counted
    """The counted time before the edit."""
    prefix_us: int
    """Runs that start before this offset were written by the edit."""
    at_us: int
    """The instant for which the edit entered seconds."""


async def convert_all(db: Database) -> None:
    """Convert each session whose counters were set by hand."""
    stamps = Stamps()
    fields = {"edited": 1, BY_HAND: 1}
    windows = newest_first(sessions(db), {}, BY_ID, now=datetime.now(UTC), fields=fields)
    async for documents in windows:
        ids = [each["_id"] for each in documents if each["edited"] and BY_HAND not in each]
        for at in range(0, len(ids), CHUNK):
            await _convert(db, ids[at : at + CHUNK], stamps)


async def _convert(db: Database, ids: Sequence[ObjectId], stamps: Stamps) -> None:
    remaining = list(ids)
    while remaining:  # sessions that were changed meanwhile are read again
        found = await sessions(db).find({"_id": {"$in": remaining}}).to_list(None)
        remaining = [
            each["_id"]
            for each in found
            if BY_HAND not in each
            and not await compare_and_set(db, each, convert_session(each), stamps.fresh())
        ]


def convert_session(document: Document) -> Document:
    """Return the fields to set in an edited session of schema version 1."""
    edits: list[Document] = document.get("edits", [])
    if not edits:  # it was edited by a version that did not keep edits
        everything = {name: document[name] for name in ("status", "endedAt")}
        edits = [{"what": "counters", "editedAt": document["updatedAt"], "before": everything}]
    states = [{**document, **each["before"]} for each in edits] + [document]
    counted: list[Counted] = []
    by_hand: _SetByHand | None = None
    for number, state in enumerate(states):
        runs = runs_in(state)
        if number == 0 and not document.get("edits"):
            runs = []  # unknown: all counted time becomes entries by hand
        if number and edits[number - 1]["what"] == "counters":
            by_hand = _set_by_hand(edits[number - 1], states[number - 1], counted[-1], runs)
        counted.append(_separate(state, runs, by_hand, is_last=number == len(edits)))
    changes: Document = {
        "timeline": pack(counted[-1].runs),
        BY_HAND: entry_rows(counted[-1].entries),
    }
    if document.get("edits"):
        changes["edits"] = [
            {**edit, "before": {**edit["before"], **_stored(each)}}
            for edit, each in zip(edits, counted, strict=False)
        ]
    return changes | _limit_to_a_day({**document, **changes}, counted[-1])


def _stored(counted: Counted) -> Document:
    return {"timeline": pack(counted.runs), BY_HAND: entry_rows(counted.entries)}


def _set_by_hand(
    edit: Mapping[str, Any], former: Mapping[str, Any], counted: Counted, runs: Sequence[Run]
) -> _SetByHand:
    """Find out which of the runs after an edit were written by it.

    Args:
        edit: The edit of the counters.
        former: The state of the session before it.
        counted: The counted time of that state.
        runs: The runs of the state after it.
    """
    ended = former["status"] in FINAL
    end_us = at = 0
    for kind in (Kind.ACTIVE, Kind.IDLE):
        if at < len(runs) and runs[at].kind == kind and runs[at].start_us == end_us:
            end_us = runs[at].end_us
            at += 1
    end_us += paused_us_in(former)
    if ended:  # nothing was tracked after the edit
        end_us = max((run.end_us for run in runs), default=0)
    moment = former["endedAt"] if ended else edit["editedAt"]
    return _SetByHand(counted, end_us, instant_us(milliseconds(moment)))


def _separate(
    state: Document, runs: list[Run], by_hand: _SetByHand | None, *, is_last: bool
) -> Counted:
    """Return the tracked runs of a state, and its entries by hand."""
    if by_hand is None:
        return Counted(runs, [])
    prefix: list[Run] = []
    later: list[Run] = []
    for run in runs:
        if run.kind == Kind.PAUSED and run.start_us < by_hand.prefix_us < run.end_us:
            later_us = run.end_us - by_hand.prefix_us  # the pause went on after the edit
            later.append(Run(Kind.PAUSED, by_hand.prefix_us, later_us))
        else:
            (prefix if run.start_us < by_hand.prefix_us else later).append(run)
    before = set_counters(
        by_hand.former,
        _with_tab_switches(counts_of(prefix), state, runs),
        by_hand.at_us,
        state.get("timeZone", UTC_NAME),
        may_join=lambda _: False,
    )
    reached_us = before.runs[-1].end_us if before.runs else 0
    if later and later[0].start_us == by_hand.prefix_us:  # the edit shifted it
        until = (state["endedAt"] or state["lastBookedAt"]) if is_last else None
        until_us = None if until is None else (until - origin_of(state)) // MICROSECOND
        later = _shift_back(later, reached_us, until_us)
    return Counted([*before.runs, *later], before.entries)


def _with_tab_switches(counts: Counts, state: Document, runs: Sequence[Run]) -> Counts:
    """Return the counts with tab switches that no run holds: those were set by hand."""
    missing = state["tabSwitches"] - counts_of(runs).tab_switches
    return counts._replace(tab_switches=counts.tab_switches + max(missing, 0))


def _shift_back(runs: Sequence[Run], reached_us: int, until_us: int | None) -> list[Run]:
    """Return runs that an edit had shifted at the offsets at which they were tracked.

    Args:
        runs: Runs that follow the runs of the edit.
        reached_us: The end of the runs tracked before the edit; no run starts before it.
        until_us: The end of the last run. If it is None, the first run starts at `reached_us`.
    """
    if until_us is None:
        until_us = reached_us + runs[-1].end_us - runs[0].start_us
    moved: list[Run] = []
    for run in reversed(runs):
        until_us = min(run.end_us, until_us) - run.length_us
        moved.append(run._replace(start_us=until_us))
    found: list[Run] = []
    for run in reversed(moved):
        found.append(run._replace(start_us=max(run.start_us, reached_us)))
        reached_us = found[-1].end_us
    return found


def _limit_to_a_day(document: Document, counted: Counted) -> Document:
    """Return the fields to set so that at most a day is entered by hand, as a further edit."""
    active, idle, tab_switches = total_of(counted.entries)
    if active + idle <= MAX_MANUAL_SECONDS:
        return {}
    kept = Counts(
        min(active, MAX_MANUAL_SECONDS),
        min(idle, max(MAX_MANUAL_SECONDS - active, 0)),
        tab_switches,
    )
    tracked = counts_of(counted.runs)
    target = Counts(tracked.active + kept.active, tracked.idle + kept.idle, document["tabSwitches"])
    fewer = set_counters(counted, target, 0, UTC_NAME, may_join=lambda _: True)
    changes: Document = {
        **_stored(fewer),
        "activeSeconds": target.active,
        "idleSeconds": target.idle,
        "elapsedSeconds": target.elapsed,
    }
    if document["status"] in FINAL:
        changes |= score_fields({**document, **changes})
    edits = document.get("edits", [])
    if len(edits) < MAX_EDITS:
        before = {
            name: document[name]
            for name in (*changes, "tabSwitches", "targetMinutes", "edited", "status")
            if name in document
        }
        edit = {"editedAt": milliseconds(document["updatedAt"]), "what": "counters", "reason": WHY}
        changes["edits"] = [*edits, {**edit, "before": before}]
    return changes
