"""Sessions whose counters were set by hand before such seconds had a place of their own.

Schema version 1 wrote them as runs from the start of the session on: active, idle, then paused,
whatever had been tracked, which was kept in the edit alone; what was tracked later stands behind
them, perhaps in the future. `converted` takes each state of a session, the ones before its edits
and the present one, apart into tracked runs and entries by hand (`scoring.manual_seconds`).

Invariants: no counter changes, unless more than a day was entered by hand; a session that is
converted has the field `BY_HAND`, and is not converted again.
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

MOST_EDITS = 50
CHUNK = 25
WHY = "A session takes one day of seconds by hand: what was beyond it was taken back."


class _SetByHand(NamedTuple):
    """The last time that counters were set before a state."""

    former: Counted
    prefix_us: int
    """Runs that begin before this are those that were set."""
    at_us: int


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
    left = list(ids)
    while left:
        found = await sessions(db).find({"_id": {"$in": left}}).to_list(None)
        left = [
            each["_id"]
            for each in found
            if BY_HAND not in each
            and not await compare_and_set(db, each, converted(each), stamps.fresh())
        ]


def converted(document: Document) -> Document:
    """Return what is to be set in a session of schema version 1 that is marked as edited."""
    edits: list[Document] = document.get("edits", [])
    if not edits:  # edited before edits were kept
        everything = {name: document[name] for name in ("status", "endedAt")}
        edits = [{"what": "counters", "editedAt": document["updatedAt"], "before": everything}]
    states = [{**document, **each["before"]} for each in edits] + [document]
    counted: list[Counted] = []
    by_hand: _SetByHand | None = None
    for number, state in enumerate(states):
        runs = runs_in(state)
        if number == 0 and not document.get("edits"):
            runs = []
        if number and edits[number - 1]["what"] == "counters":
            by_hand = _set_by_hand(edits[number - 1], states[number - 1], counted[-1], runs)
        counted.append(_taken_apart(state, runs, by_hand, is_last=number == len(edits)))
    changes: Document = {
        "timeline": pack(counted[-1].runs),
        BY_HAND: entry_rows(counted[-1].entries),
    }
    if document.get("edits"):
        changes["edits"] = [
            {**edit, "before": {**edit["before"], **_stored(each)}}
            for edit, each in zip(edits, counted, strict=False)
        ]
    return changes | _within_a_day({**document, **changes}, counted[-1])


def _stored(counted: Counted) -> Document:
    return {"timeline": pack(counted.runs), BY_HAND: entry_rows(counted.entries)}


def _set_by_hand(
    edit: Mapping[str, Any], former: Mapping[str, Any], counted: Counted, runs: Sequence[Run]
) -> _SetByHand:
    ended = former["status"] in FINAL
    end_us = at = 0
    for kind in (Kind.ACTIVE, Kind.IDLE):
        if at < len(runs) and runs[at].kind == kind and runs[at].start_us == end_us:
            end_us = runs[at].end_us
            at += 1
    end_us += paused_us_in(former)
    if ended:  # nothing was tracked any more
        end_us = max((run.end_us for run in runs), default=0)
    moment = former["endedAt"] if ended else edit["editedAt"]
    return _SetByHand(counted, end_us, instant_us(milliseconds(moment)))


def _taken_apart(
    state: Document, runs: list[Run], by_hand: _SetByHand | None, *, is_last: bool
) -> Counted:
    if by_hand is None:
        return Counted(runs, [])
    prefix: list[Run] = []
    later: list[Run] = []
    for run in runs:
        if run.kind == Kind.PAUSED and run.start_us < by_hand.prefix_us < run.end_us:
            beyond_us = run.end_us - by_hand.prefix_us  # a pause that went on
            later.append(Run(Kind.PAUSED, by_hand.prefix_us, beyond_us))
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
    if later and later[0].start_us == by_hand.prefix_us:  # it was pushed back
        until = (state["endedAt"] or state["lastBookedAt"]) if is_last else None
        until_us = None if until is None else (until - origin_of(state)) // MICROSECOND
        later = _moved(later, reached_us, until_us)
    return Counted([*before.runs, *later], before.entries)


def _with_tab_switches(counts: Counts, state: Document, runs: Sequence[Run]) -> Counts:
    """Tab switches that no run has, since no second was counted, were set by hand."""
    missing = state["tabSwitches"] - counts_of(runs).tab_switches
    return counts._replace(tab_switches=counts.tab_switches + max(missing, 0))


def _moved(runs: Sequence[Run], reached_us: int, until_us: int | None) -> list[Run]:
    """Return runs that were pushed back by those set by hand where they were, as far as that is
    known: the last one ends at `until_us`, else the first one begins at `reached_us`; none begins
    before that."""
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


def _within_a_day(document: Document, counted: Counted) -> Document:
    """What is to be set where more than a day was entered by hand, which is an edit."""
    active, idle, tab_switches = total_of(counted.entries)
    if active + idle <= MAX_MANUAL_SECONDS:
        return {}
    kept = Counts(
        min(active, MAX_MANUAL_SECONDS),
        min(idle, max(MAX_MANUAL_SECONDS - active, 0)),
        tab_switches,
    )
    tracked = counts_of(counted.runs)
    wanted = Counts(tracked.active + kept.active, tracked.idle + kept.idle, document["tabSwitches"])
    fewer = set_counters(counted, wanted, 0, UTC_NAME, may_join=lambda _: True)
    changes: Document = {
        **_stored(fewer),
        "activeSeconds": wanted.active,
        "idleSeconds": wanted.idle,
        "elapsedSeconds": wanted.elapsed,
    }
    if document["status"] in FINAL:
        changes |= score_fields({**document, **changes})
    edits = document.get("edits", [])
    if len(edits) < MOST_EDITS:
        before = {
            name: document[name]
            for name in (*changes, "tabSwitches", "targetMinutes", "edited", "status")
            if name in document
        }
        edit = {"editedAt": milliseconds(document["updatedAt"]), "what": "counters", "reason": WHY}
        changes["edits"] = [*edits, {**edit, "before": before}]
    return changes
