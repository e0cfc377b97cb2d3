"""Build the timeline of a session as clients see it, with the state before each edit.

Invariants:

- Every total of the session and its score can be computed from its segments and its target alone.
  The same holds for the state before an edit.
- Seconds by hand follow all segments, because their time of day is unknown.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from models.base.database import Document
from models.base.schema_types import UtcDatetime, WireModel
from models.base.time_zones import UTC
from models.sessions.session import ScoreBreakdown, SessionId, Status, known_until, paused_and_away
from models.sessions.timeline import entries_in, origin_of, pause_ended, runs_in, tracked_in
from scoring.allocate import COUNTED_KINDS, AllocatedRun, allocate_seconds
from scoring.local_days import MICROSECOND, utc_datetime
from scoring.manual_seconds import Entry
from scoring.timeline import Kind

EditKind = Literal["reassigned", "counters", "target"]
RunKind = Literal["active", "idle", "paused", "away", "manual"]
CountedAs = Literal["active", "idle"]
NAMES: Mapping[Kind, RunKind] = {
    Kind.ACTIVE: "active",
    Kind.IDLE: "idle",
    Kind.PAUSED: "paused",
    Kind.AWAY: "away",
}


def _is_none(value: object) -> bool:
    return value is None


class RunView(WireModel):
    """A segment of one kind of seconds; `tabSwitches` is null where none are counted.

    Seconds by hand (`manual`) have no `startedAt`. They have the moment for which they were
    entered, whose date they belong to, and `countsAs`, the kind of seconds that they count as.
    """

    kind: RunKind
    started_at: UtcDatetime | None
    seconds: int
    tab_switches: int | None
    entered_for: Annotated[UtcDatetime | None, Field(exclude_if=_is_none)] = None
    counts_as: Annotated[CountedAs | None, Field(exclude_if=_is_none)] = None


class BeforeEdit(WireModel):
    """The session as it was before an edit."""

    target_minutes: float
    elapsed_seconds: int
    active_seconds: int
    idle_seconds: int
    tab_switches: int
    paused_seconds: int
    away_seconds: int
    focus_score: int | None
    score_breakdown: ScoreBreakdown | None
    runs: list[RunView]


class EditView(WireModel):
    """A change by hand; `reason` is null where none is needed."""

    edited_at: UtcDatetime
    what: EditKind
    reason: str | None
    before: BeforeEdit


class TimelineView(WireModel):
    """The segments of a session in order, and its edits, oldest first."""

    session_id: SessionId
    status: Status
    time_zone: str
    started_at: UtcDatetime | None
    ended_at: UtcDatetime | None
    target_minutes: float
    runs: list[RunView]
    edits: list[EditView]


def told_of(document: Mapping[str, Any], until: datetime) -> list[AllocatedRun]:
    """Return the runs of a session with time away, up to its end, or to `until`."""
    until = document["endedAt"] or until
    paused, away = paused_and_away(document, until)
    if document["pausedAt"] is not None:
        document = {**document, **pause_ended(document, until)}
    return allocate_seconds(
        runs_in(document),
        (until - origin_of(document)) // MICROSECOND,
        paused_seconds=paused,
        away_seconds=away,
        tab_switches=tracked_in(document).tab_switches,
    )


def started_at(document: Mapping[str, Any], one: AllocatedRun) -> datetime:
    """Return when a run began, as clients see it."""
    return _at(origin_of(document), one)


def _at(origin: datetime, one: AllocatedRun) -> datetime:
    return origin + timedelta(milliseconds=one.run.start_us // 1000)


def timeline_view(document: Document, *, now: datetime, tracked: bool) -> TimelineView:
    """Return the timeline of a session as it is at `now`.

    That of a session with many edits is long: call it in a thread.
    """
    until = known_until(document, now=now, tracked=tracked)
    return TimelineView(
        session_id=str(document["_id"]),
        status=document["status"],
        time_zone=document.get("timeZone", UTC),
        started_at=document["startedAt"],
        ended_at=document["endedAt"],
        target_minutes=document["targetMinutes"],
        runs=_runs(document, until),
        edits=[_edit(document, each) for each in document.get("edits", ())],
    )


def _runs(document: Document, until: datetime) -> list[RunView]:
    origin = origin_of(document)
    tracked = [
        RunView.model_construct(  # there may be thousands, and they need no checking
            kind=NAMES[one.run.kind],
            started_at=_at(origin, one),
            seconds=one.seconds,
            tab_switches=one.run.tab_switches if one.run.kind in COUNTED_KINDS else None,
        )
        for one in told_of(document, until)
    ]
    return [*tracked, *(each for entry in entries_in(document) for each in _by_hand(entry))]


def _by_hand(entry: Entry) -> list[RunView]:
    active, idle, tab_switches = entry.counts
    views = []
    seconds_as: tuple[tuple[CountedAs, int], ...] = (("active", active), ("idle", idle))
    for counts_as, seconds in seconds_as:
        if seconds or (tab_switches and not idle):
            views.append(
                RunView.model_construct(
                    kind="manual",
                    started_at=None,
                    seconds=seconds,
                    tab_switches=tab_switches,
                    entered_for=utc_datetime(entry.at_us),
                    counts_as=counts_as,
                )
            )
            tab_switches = 0
    return views


def _edit(document: Document, edit: Mapping[str, Any]) -> EditView:
    edited_at, former = edit["editedAt"], {**document, **edit["before"]}
    until = known_until(former, now=edited_at, tracked=False)
    paused, away = paused_and_away(former, until)
    return EditView(
        edited_at=edited_at,
        what=edit["what"],
        reason=edit["reason"],
        before=BeforeEdit.model_validate(
            {
                **former,
                "pausedSeconds": paused,
                "awaySeconds": away,
                "runs": _runs(former, until),
            },
            extra="ignore",
        ),
    )
