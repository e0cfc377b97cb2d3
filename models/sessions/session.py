"""Define a focus session: its bodies on the wire, its document, and what is derived from both.

Invariants (docs/accuracy.md, rule 2):

- `elapsed = active + idle`.
- In an ended session that was tracked, every second between start and end is exactly one of active,
  idle, paused and away, beside seconds by hand.
- Paused and away seconds are derived when read, and are never negative.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictBool, StringConstraints

from models.base.database import Document
from models.base.errors import Conflict, FieldError, Invalid
from models.base.schema_types import (
    COMPOSED,
    EACH_ONCE,
    NOT_BLANK,
    ONE_SPELLING,
    WHOLE,
    UtcDatetime,
    WireModel,
    or_default,
    without_defaults,
)
from models.base.time_zones import UTC, TimeZone
from models.sessions.idle_modes import DEFAULT, IdleMode
from models.sessions.timeline import EMPTY, by_hand_in, counters_set, pause_ended, tracked_in
from scoring.focus import Score, focus_score, round_half_up
from scoring.local_days import LocalClock, date_of, instant_us
from scoring.manual_seconds import MAX_MANUAL_SECONDS

Status = Literal["active", "paused", "completed", "abandoned", "cancelled"]
FinalStatus = Literal["completed", "abandoned", "cancelled"]
FINAL: frozenset[str] = frozenset({"completed", "abandoned", "cancelled"})
COUNTERS = ("elapsedSeconds", "activeSeconds", "idleSeconds", "tabSwitches")
TARGET_REACHED = "targetReached"
"""Internal: whether the target was reached before it was changed. Clients are told of it once."""
MAX_COUNTER = 2**31 - 1
SECOND = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)


TargetMinutes = Annotated[float, Field(gt=0, le=1440)]
ShortText = Annotated[str, StringConstraints(max_length=200), ONE_SPELLING]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=50), NOT_BLANK, ONE_SPELLING]
Tags = Annotated[list[Tag], Field(max_length=20), EACH_ONCE]
Notes = Annotated[str, StringConstraints(max_length=5000), COMPOSED]
Counter = Annotated[int, Field(ge=0, le=MAX_COUNTER), WHOLE]
SessionId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{24}$")]


class SessionFields(WireModel):
    """The fields that describe a session."""

    target_minutes: TargetMinutes = 25
    content_id: ShortText | None = None
    title: ShortText | None = None
    tags: Tags = Field(default_factory=list)
    notes: Notes | None = None


class NewSession(SessionFields):
    """Body of `POST /api/sessions`.

    Without a `timeZone`, the session has the one of the user's settings. `timeZone` and `idleMode`
    cannot be changed later.
    """

    idle_mode: Annotated[IdleMode, or_default(DEFAULT, IdleMode)] = DEFAULT
    time_zone: TimeZone | None = None


class SessionChange(SessionFields):
    """Body of `PUT /api/sessions/:id`: only the given fields change."""

    model_config = ConfigDict(json_schema_extra=without_defaults)

    elapsed_seconds: Counter = 0
    active_seconds: Counter = 0
    idle_seconds: Counter = 0
    tab_switches: Counter = 0
    status: Literal["active", "paused"] = "active"

    def given(self) -> dict[str, Any]:
        """Return the given fields by their names in the document."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class EndSession(WireModel):
    """Body of `PUT /api/sessions/:id/end`; it may be empty."""

    status: Annotated[FinalStatus, or_default("completed", FinalStatus)] = "completed"


class ScoreBreakdown(WireModel):
    """The parts of the focus score (docs/accuracy.md has the formula)."""

    completion: float
    activity_ratio: float
    penalty: float
    formula_version: int


class SessionView(WireModel):
    """A session as clients see it."""

    id: Annotated[SessionId, Field(alias="_id")]
    user_id: str
    target_minutes: float
    content_id: str | None
    title: str | None
    tags: list[str]
    notes: str | None
    idle_mode: IdleMode = DEFAULT
    time_zone: str = UTC
    status: Status
    elapsed_seconds: int
    active_seconds: int
    idle_seconds: int
    manual_seconds: Annotated[int, Field(description="Of the elapsed seconds, those by hand.")]
    tab_switches: int
    paused_seconds: int
    away_seconds: int
    tracked: StrictBool
    focus_score: int | None
    score_breakdown: ScoreBreakdown | None
    started_at: UtcDatetime | None
    ended_at: UtcDatetime | None
    last_active_at: UtcDatetime | None
    created_at: UtcDatetime
    updated_at: UtcDatetime
    edited: StrictBool


def new_document(
    user_id: str, body: NewSession, *, stamp: str, now: datetime, zone: str = UTC
) -> Document:
    """Return the document of a new session, without its `_id`.

    `zone` is its time zone unless the body has one.
    """
    return {
        "userId": user_id,
        "targetMinutes": body.target_minutes,
        "contentId": body.content_id,
        "title": body.title,
        "tags": body.tags,
        "notes": body.notes,
        "idleMode": body.idle_mode,
        "timeZone": body.time_zone or zone,
        "status": "active",
        **dict.fromkeys(COUNTERS, 0),
        "focusScore": None,
        "scoreBreakdown": None,
        "startedAt": None,
        "endedAt": None,
        "lastActiveAt": None,
        "createdAt": now,
        "updatedAt": now,
        "edited": False,
        "timeline": EMPTY,
        # internal, never shown:
        "stamp": stamp,
        "owner": None,
        "carryMs": 0.0,
        "pausedMs": 0.0,
        "pausedAt": None,
        "lastBookedAt": None,
        "leftAt": None,
    }


def score_of(document: Mapping[str, Any]) -> Score:
    """Return the focus score of these counters."""
    return focus_score(
        elapsed_seconds=document["elapsedSeconds"],
        active_seconds=document["activeSeconds"],
        idle_seconds=document["idleSeconds"],
        tab_switches=document["tabSwitches"],
        target_minutes=document["targetMinutes"],
    )


def score_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return `focusScore` and `scoreBreakdown` of these counters."""
    score = score_of(document)
    return {
        "focusScore": score.focus_score,
        "scoreBreakdown": {
            "completion": score.completion,
            "activityRatio": score.activity_ratio,
            "penalty": score.penalty,
            "formulaVersion": score.formula_version,
        },
    }


def ended_fields(document: Mapping[str, Any], status: str, ended_at: datetime) -> dict[str, Any]:
    """Return the fields that change when a session ends at `ended_at`.

    A session that was never tracked starts with its creation. If the wall clock was set back since,
    the end moves so that the counted seconds fit before it.
    """
    started_at = document["startedAt"] or document["createdAt"]
    counted = SECOND * tracked_in(document).elapsed
    return {
        "status": status,
        "startedAt": started_at,
        "endedAt": max(ended_at, started_at + counted),
        **pause_ended(document, ended_at),
        "owner": None,
        "updatedAt": ended_at,
        **score_fields(document),
    }


def has_reached_target(document: Mapping[str, Any]) -> bool:
    """Return whether the session has reached its target, or a lower one before."""
    reached: bool = document.get(TARGET_REACHED, False)
    return reached or document["elapsedSeconds"] >= document["targetMinutes"] * 60


def changed_fields(
    document: Mapping[str, Any],
    given: Mapping[str, Any],
    now: datetime,
    here: LocalClock | None = None,
) -> dict[str, Any]:
    """Return the fields that change when `given` fields are set by hand.

    Args:
        document: The session as it is.
        given: Fields by their names in the document.
        now: When they are set.
        here: The learner's own clock; without it, the clock of the session.

    Raises:
        Invalid: `counters_inconsistent`; `invalid_body` for more than `MAX_MANUAL_SECONDS` by hand.
        Conflict: `session_ended` for another status of an ended session.
    """
    changes = {name: value for name, value in given.items() if name not in COUNTERS}
    status = changes.pop("status", None)
    if status is not None:
        changes |= status_fields(document, status, now)
    if "targetMinutes" in given and has_reached_target(document):
        changes[TARGET_REACHED] = True
    counters = {name: given[name] for name in COUNTERS if name in given}
    if counters:
        wanted = consistent_counters(document, counters)
        at, zone = entered_for(document, now, here)
        starts_at = here.starts_at if here else 0
        changes |= counters_set(
            {**document, **changes},
            wanted,
            at=at,
            zone=zone,
            day_of=lambda at_us, zone: date_of(at_us, zone, starts_at),
        )
        changes |= {**wanted, "edited": True}
        _refuse_more_than_a_day(document, changes, counters)
    if document["status"] in FINAL and (counters or "targetMinutes" in given):
        changes |= score_fields({**document, **changes})
    return {**changes, "updatedAt": now}


def entered_for(
    document: Mapping[str, Any], now: datetime, here: LocalClock | None
) -> tuple[datetime, str]:
    """Return the moment for which seconds by hand are entered now, and its time zone.

    It is the end of the session, else now, by the clock of the session. Where that is a day ahead
    of the learner's clock, it is by the learner's: no seconds by hand belong to a day after today.
    """
    at = min(document["endedAt"] or now, now)
    zone = document.get("timeZone", UTC)
    if here is not None:
        today = here.date_of(instant_us(now))
        if date_of(instant_us(at), zone, here.starts_at) > today:
            zone = here.zone
    return at, zone


def _refuse_more_than_a_day(
    document: Mapping[str, Any], changes: Mapping[str, Any], given: Mapping[str, int]
) -> None:
    if by_hand_in({**document, **changes}).elapsed <= max(
        MAX_MANUAL_SECONDS, by_hand_in(document).elapsed
    ):
        return
    raised = [name for name in given if given[name] > document[name]] or list(given)
    message = f"must leave at most {MAX_MANUAL_SECONDS} seconds (a day) by hand in a session"
    errors = [FieldError(field=name, message=message) for name in raised]
    raise Invalid("invalid_body", "A session takes one day of seconds by hand.", errors)


def status_fields(document: Mapping[str, Any], status: str, now: datetime) -> dict[str, Any]:
    """Return the fields that change when an untracked session is paused or resumed by hand."""
    current = document["status"]
    if current in FINAL:
        raise Conflict("session_ended", f"The session has ended ({current}).")
    if current == status:
        return {}
    if status == "paused":
        return {"status": status, "pausedAt": now}
    # Who resumes it was there just now, though no client tracks it.
    return {"status": status, **pause_ended(document, now), "leftAt": now}


def consistent_counters(document: Mapping[str, Any], given: Mapping[str, int]) -> dict[str, int]:
    """Return all counters after some are set by hand, so that elapsed = active + idle.

    A missing counter follows from the others: one of active and idle keeps its stored value, and
    elapsed is their sum. Elapsed alone is refused, because it leaves open which of the two is
    meant.
    """
    merged = {name: given.get(name, document[name]) for name in COUNTERS}
    elapsed, active, idle = (name in given for name in COUNTERS[:3])
    if elapsed and active and not idle:
        merged["idleSeconds"] = merged["elapsedSeconds"] - merged["activeSeconds"]
    elif elapsed and idle and not active:
        merged["activeSeconds"] = merged["elapsedSeconds"] - merged["idleSeconds"]
    elif not elapsed:
        merged["elapsedSeconds"] = merged["activeSeconds"] + merged["idleSeconds"]
    fits = merged["elapsedSeconds"] == merged["activeSeconds"] + merged["idleSeconds"]
    if not fits or min(merged.values()) < 0 or merged["elapsedSeconds"] > MAX_COUNTER:
        raise Invalid(
            "counters_inconsistent",
            "elapsedSeconds must be activeSeconds + idleSeconds; give two of the three.",
        )
    return merged


def paused_and_away(document: Mapping[str, Any], until: datetime) -> tuple[int, int]:
    """Return the paused and away seconds (rule 2) up to the end, or to `until` if not ended."""
    started_at = document["startedAt"]
    if started_at is None or was_never_tracked(document):
        return 0, 0
    until = document["endedAt"] or until
    rest = max(0, (until - started_at) // SECOND - tracked_in(document).elapsed)
    paused_ms = document["pausedMs"]
    if document["pausedAt"] is not None:
        paused_ms += max(0.0, (until - document["pausedAt"]) / MILLISECOND)
    paused = min(rest, round_half_up(paused_ms / 1000))
    return paused, rest - paused


def was_never_tracked(document: Mapping[str, Any]) -> bool:
    """Return whether no client has tracked the session; then its end has set `startedAt`."""
    return (
        document["startedAt"] in (None, document["createdAt"])
        and document["lastBookedAt"] is None
        and not tracked_in(document).elapsed
    )


def known_until(document: Mapping[str, Any], *, now: datetime, tracked: bool) -> datetime:
    """Return the moment up to which each second of the session is known.

    It is the end; for a session that counts, the last booked second; otherwise `now`.
    """
    known: datetime | None = document["endedAt"]
    if known is None and tracked and document["status"] == "active":
        known = document["lastBookedAt"] or document["startedAt"]
    return known or now


def view(document: Mapping[str, Any], *, now: datetime, tracked: bool) -> SessionView:
    """Return a session as clients see it at `now`."""
    paused, away = paused_and_away(document, known_until(document, now=now, tracked=tracked))
    return SessionView.model_validate(
        {
            **document,
            "_id": str(document["_id"]),
            "manualSeconds": by_hand_in(document).elapsed,
            "pausedSeconds": paused,
            "awaySeconds": away,
            "tracked": tracked and document["status"] not in FINAL,
        },
        extra="ignore",
    )
