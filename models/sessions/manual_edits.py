"""Change counted sessions by hand, and record what was there before.

Invariants:

- No counter of a session, and no score of an ended one, is changed by hand without an entry in its
  `edits`, which is part of the same write.
- An entry holds enough to show the whole session as it was.
- After an edit, every second of the session is still exactly one of active, idle, paused and away,
  beside seconds by hand.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import StringConstraints

from models.base.database import Document
from models.base.errors import Conflict, NotFound
from models.base.schema_types import NOT_BLANK, ONE_SPELLING, UtcDatetime, WireModel, milliseconds
from models.sessions.session import COUNTERS, FINAL, changed_fields, score_fields
from models.sessions.timeline import BY_HAND, EMPTY, by_hand_in, runs_in
from models.sessions.timeline_view import EditKind, started_at, told_of
from scoring.allocate import AllocatedRun, mark_active
from scoring.local_days import LocalClock
from scoring.timeline import Kind, counts_of, pack

MOST_EDITS = 50
AUDITED = (
    *COUNTERS,
    "targetMinutes",
    "timeline",
    BY_HAND,
    "focusScore",
    "scoreBreakdown",
    "edited",
)
KEPT = (*AUDITED, "status", "startedAt", "endedAt", "pausedMs", "pausedAt", "carryMs")
"""Of the session as it was. The rest of it are labels."""

Changes = dict[str, Any]


class Reassignment(WireModel):
    """Body of `POST /api/sessions/:id/reassign`.

    Names the idle or away segment by its `startedAt`, as the timeline shows it, and the reason why
    it was active.
    """

    started_at: UtcDatetime
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500), NOT_BLANK, ONE_SPELLING]


def changed_by_hand(
    document: Document, given: Mapping[str, Any], now: datetime, here: LocalClock | None = None
) -> Changes:
    """Return the fields that an edit changes (`session.changed_fields`), with its entry.

    Raises:
        Conflict: `too_many_edits`, and as `changed_fields` does.
        Invalid: As `changed_fields` does.
    """
    changes = changed_fields(document, given, now, here)
    what: EditKind
    if any(name in given for name in COUNTERS):
        what = "counters"
    elif document["status"] in FINAL and "targetMinutes" in given:
        what = "target"
    else:
        return changes
    former = _audited(document)
    if _audited({**document, **changes}) == former or _goes_on(document, changes, what):
        return changes
    return {**changes, **_noted(document, what, None, now)}


def reassigned(document: Document, body: Reassignment, now: datetime) -> Changes:
    """Return the fields that change when a run of an ended session becomes active.

    Time away joins the active and elapsed seconds.

    Raises:
        NotFound: `run_not_found`.
        Conflict: `session_not_ended`, `run_not_reassignable` or `too_many_edits`.
    """
    if document["status"] not in FINAL:
        raise not_ended()
    runs = mark_active(runs_in(document), _named(document, body.started_at, now))
    active, idle, _ = counts_of(runs)
    by_hand = by_hand_in(document)
    changes: Changes = {
        "elapsedSeconds": active + idle + by_hand.elapsed,
        "activeSeconds": active + by_hand.active,
        "idleSeconds": idle + by_hand.idle,
        "timeline": pack(runs),
        "edited": True,
        "updatedAt": now,
    }
    changes |= score_fields({**document, **changes})
    return {**changes, **_noted(document, "reassigned", body.reason, now)}


def _goes_on(document: Document, changes: Changes, what: EditKind) -> bool:
    """Return whether an edit continues the last one.

    It does if the last edit set counters on the same day, and nothing was counted since in a
    session that has not ended. Clients that count themselves set counters again and again; only
    the state before the first of these edits is kept, which bounds the number of entries.
    """
    edits = document.get("edits", [])
    if what != "counters" or document["status"] in FINAL or not edits:
        return False
    if len(changes.get(BY_HAND, ())) > len(document.get(BY_HAND, ())) > 0:
        return False
    booked_at: datetime | None = document["lastBookedAt"]
    return edits[-1]["what"] == what and (booked_at is None or booked_at <= edits[-1]["editedAt"])


def not_ended() -> Conflict:
    """Return the error of a change that needs an ended session."""
    return Conflict("session_not_ended", "Only a session that has ended can be corrected.")


def _named(document: Document, at: datetime, now: datetime) -> AllocatedRun:
    """Return the run that a reassignment names.

    Runs that may be reassigned last a second or more, so no two begin within a millisecond.
    """
    found = [one for one in told_of(document, now) if started_at(document, one) == at]
    if not found:
        raise NotFound("run_not_found", "No run of the session began at this time.")
    for one in found:
        if one.movable_seconds:
            return one
    if any(one.run.kind == Kind.AWAY for one in found):
        why = "There is no whole second in it that could become active."
    else:
        why = "Only idle time and time away can become active."
    raise Conflict("run_not_reassignable", why)


def _noted(document: Document, what: EditKind, reason: str | None, now: datetime) -> Changes:
    edits = document.get("edits", [])
    if len(edits) >= MOST_EDITS:
        raise Conflict("too_many_edits", f"A session can be edited {MOST_EDITS} times.")
    before = {
        "timeline": EMPTY,
        BY_HAND: [],
        **{name: document[name] for name in KEPT if name in document},
    }
    entry = {"editedAt": milliseconds(now), "what": what, "reason": reason, "before": before}
    return {"edits": [*edits, entry]}


def _audited(document: Mapping[str, Any]) -> Changes:
    return {name: document.get(name) or None for name in AUDITED}
