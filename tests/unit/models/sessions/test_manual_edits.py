"""Edits: runs made active, changes by hand, and what was before them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from models.base.errors import Conflict, NotFound
from models.sessions.manual_edits import MOST_EDITS, Reassignment, changed_by_hand, reassigned
from models.sessions.session import NewSession, ended_fields, new_document, paused_and_away
from models.sessions.timeline import counts_in, runs_in
from models.sessions.timeline_view import TimelineView, timeline_view
from scoring.timeline import SECOND_US, Kind, Run, counts_of, pack, unpack

START = datetime(2026, 5, 4, 9, 0, 0, 123_000, UTC)
LATER = datetime(2026, 5, 9, 9, 0, 0, 777_777, UTC)
MIDDLE_US = 37_000_423
"""An instant within a millisecond."""
RUNS = (
    Run(Kind.ACTIVE, 0, 20 * SECOND_US, 1),
    Run(Kind.IDLE, 20 * SECOND_US, 10 * SECOND_US, 2),
    Run(Kind.PAUSED, 30 * SECOND_US, 7_000_423),
    Run(Kind.ACTIVE, MIDDLE_US, 13 * SECOND_US),
    # then 9.4 seconds away
    Run(Kind.ACTIVE, MIDDLE_US + 22_400_000, 5 * SECOND_US),
)
LASTED_S = 65.2


def session(runs: tuple[Run, ...] = RUNS, **fields: Any) -> dict[str, Any]:
    """One that has ended."""
    counts = counts_of(runs)
    found = {
        "_id": ObjectId(),
        **new_document("ada", NewSession(target_minutes=1), stamp="p.1", now=START),
        "startedAt": START,
        "elapsedSeconds": counts.active + counts.idle,
        "activeSeconds": counts.active,
        "idleSeconds": counts.idle,
        "tabSwitches": counts.tab_switches,
        "pausedMs": sum(run.length_us for run in runs if run.kind == Kind.PAUSED) / 1000,
        "timeline": pack(runs),
    }
    ended = ended_fields(found, "completed", START + timedelta(seconds=LASTED_S))
    return {**found, **ended, **fields}


def at(start_us: int) -> datetime:
    return START + timedelta(microseconds=start_us)


def reassign(document: dict[str, Any], start_us: int, reason: str = "I read") -> dict[str, Any]:
    body = Reassignment(started_at=at(start_us), reason=reason)
    return {**document, **reassigned(document, body, LATER)}


def seen(document: dict[str, Any]) -> TimelineView:
    return timeline_view(document, now=LATER, tracked=False)


def summed(document: dict[str, Any]) -> dict[str, int]:
    each = seen(document).runs
    return {
        kind: sum(run.seconds for run in each if run.kind == kind)
        for kind in ("active", "idle", "paused", "away")
    }


def assert_adds_up(document: dict[str, Any]) -> None:
    """Rule 2, and the counters and the timeline are of the same session."""
    runs = unpack(document["timeline"], counts_in(document))
    assert counts_of(runs) == counts_in(document)
    paused, away = paused_and_away(document, LATER)
    assert summed(document) == {
        "active": document["activeSeconds"],
        "idle": document["idleSeconds"],
        "paused": paused,
        "away": away,
    }
    assert document["elapsedSeconds"] == document["activeSeconds"] + document["idleSeconds"]
    assert document["elapsedSeconds"] + paused + away == int(LASTED_S)


def test_it_is_told_as_it_was() -> None:
    document = session()
    assert_adds_up(document)
    told = [
        (run.kind, run.started_at, run.seconds, run.tab_switches) for run in seen(document).runs
    ]
    assert told == [
        ("active", START, 20, 1),
        ("idle", START + timedelta(seconds=20), 10, 2),
        ("paused", START + timedelta(seconds=30), 7, None),
        ("active", START + timedelta(seconds=37), 13, 0),
        ("away", START + timedelta(seconds=50), 9, None),
        ("active", START + timedelta(seconds=59, milliseconds=400), 5, 0),
        ("away", START + timedelta(seconds=64, milliseconds=400), 1, None),
    ]


def test_idle_becomes_active_and_the_score_follows() -> None:
    before = session()
    after = reassign(before, 20 * SECOND_US)
    assert (after["elapsedSeconds"], after["activeSeconds"], after["idleSeconds"]) == (48, 48, 0)
    assert (after["tabSwitches"], after["edited"], after["updatedAt"]) == (3, True, LATER)
    assert (before["focusScore"], after["focusScore"]) == (57, 74)
    assert after["endedAt"] == before["endedAt"]
    assert_adds_up(after)


def test_time_away_becomes_active_in_whole_seconds() -> None:
    before = session()
    after = reassign(before, MIDDLE_US + 13 * SECOND_US)
    assert (after["elapsedSeconds"], after["activeSeconds"], after["idleSeconds"]) == (57, 47, 10)
    assert paused_and_away(after, LATER) == (7, 1)
    assert_adds_up(after)
    run = unpack(after["timeline"], counts_in(after))[4]
    assert run == Run(Kind.ACTIVE, MIDDLE_US + 13 * SECOND_US, 9 * SECOND_US)


def test_a_session_that_was_never_tracked_has_no_time_away() -> None:
    document = session(())
    assert summed(document) == dict.fromkeys(("active", "idle", "paused", "away"), 0)
    with pytest.raises(NotFound, match="run_not_found"):
        reassign(document, 0)


def test_what_was_before_stays_readable() -> None:
    document = session()
    first = reassign(document, 20 * SECOND_US, "one")
    second = reassign(first, MIDDLE_US + 13 * SECOND_US, "two")
    third = {**second, **changed_by_hand(second, {"targetMinutes": 2.0}, LATER)}
    fourth = {**third, **changed_by_hand(third, {"activeSeconds": 1, "idleSeconds": 1}, LATER)}
    edits = seen(fourth).edits
    assert [edit.what for edit in edits] == ["reassigned", "reassigned", "target", "counters"]
    assert [edit.reason for edit in edits] == ["one", "two", None, None]
    for edit, former in zip(edits, (document, first, second, third), strict=True):
        assert edit.edited_at == LATER.replace(microsecond=777_000)
        before = edit.before
        assert before.runs == seen(former).runs
        assert before.focus_score == former["focusScore"]
        assert before.target_minutes == former["targetMinutes"]
        assert before.active_seconds == former["activeSeconds"]
        assert (before.paused_seconds, before.away_seconds) == paused_and_away(former, LATER)


@pytest.mark.parametrize(
    ("start_us", "code"),
    [
        (0, "run_not_reassignable"),  # active
        (30 * SECOND_US, "run_not_reassignable"),  # paused
        (64_400_423, "run_not_reassignable"),  # what was left of a second, in the end
        (20 * SECOND_US + 1000, "run_not_found"),
        (-1000, "run_not_found"),
        (10**12, "run_not_found"),
    ],
)
def test_not_every_run_can_be_reassigned(start_us: int, code: str) -> None:
    with pytest.raises((Conflict, NotFound)) as refused:
        reassign(session(), start_us)
    assert refused.value.code == code
    assert isinstance(refused.value, NotFound) == (code == "run_not_found")


def test_a_run_is_reassigned_once() -> None:
    after = reassign(session(), 20 * SECOND_US)
    with pytest.raises(Conflict, match="run_not_reassignable"):
        reassign(after, 20 * SECOND_US)


def test_among_runs_of_the_same_millisecond_the_one_that_can_be_is_meant() -> None:
    runs = (
        Run(Kind.ACTIVE, 0, 2 * SECOND_US),
        Run(Kind.PAUSED, 2 * SECOND_US, 600),
        Run(Kind.IDLE, 2 * SECOND_US + 600, 10 * SECOND_US),
    )
    assert reassign(session(runs), 2 * SECOND_US)["activeSeconds"] == 12


@pytest.mark.parametrize("status", ["active", "paused"])
def test_only_what_has_ended_can_be_reassigned(status: str) -> None:
    with pytest.raises(Conflict, match="session_not_ended"):
        reassign(session(status=status), 20 * SECOND_US)


def test_a_document_of_an_earlier_version() -> None:
    document = session()
    del document["timeline"], document["timeZone"]
    assert seen(document).time_zone == "UTC"
    assert summed(document) == {"active": 38, "idle": 10, "paused": 7, "away": 10}
    after = reassign(document, 38 * SECOND_US)  # idle time, of which it is not known when it was
    assert_adds_up(after)
    (edit,) = seen(after).edits
    assert edit.before.runs == seen(document).runs


def test_there_are_no_more_than_fifty() -> None:
    document = session()
    for number in range(MOST_EDITS):
        document |= changed_by_hand(document, {"tabSwitches": 100 + number}, LATER)
    assert len(seen(document).edits) == MOST_EDITS
    for given in ({"tabSwitches": 0}, {"targetMinutes": 3.0}):
        with pytest.raises(Conflict, match="too_many_edits"):
            changed_by_hand(document, given, LATER)
    with pytest.raises(Conflict, match="too_many_edits"):
        reassign(document, 20 * SECOND_US)
    # What is no edit is not refused.
    assert changed_by_hand(document, {"title": "x"}, LATER)["title"] == "x"
    same = {"tabSwitches": 149, "targetMinutes": document["targetMinutes"]}
    assert "edits" not in changed_by_hand(document, same, LATER)


def test_before_the_end_only_counters_are_edits() -> None:
    paused_at = START + timedelta(seconds=100)
    document = session(status="paused", endedAt=None, focusScore=None, pausedAt=paused_at)
    now = START + timedelta(seconds=130)
    assert "edits" not in changed_by_hand(document, {"targetMinutes": 3.0}, now)
    assert "edits" not in changed_by_hand(document, {"status": "active"}, now)
    after = {**document, **changed_by_hand(document, {"activeSeconds": 50}, now)}
    (edit,) = seen(after).edits
    assert (edit.what, edit.before.focus_score) == ("counters", None)
    # As it was then, in its second pause.
    assert (edit.before.paused_seconds, edit.before.away_seconds) == (37, 45)
    assert edit.before.runs == timeline_view(document, now=now, tracked=False).runs


def test_counters_set_while_a_pause_ends_keep_it() -> None:
    document = session(status="paused", endedAt=None, pausedAt=START + timedelta(seconds=100))
    given = {"status": "active", "activeSeconds": 40}
    after = {**document, **changed_by_hand(document, given, START + timedelta(seconds=130))}
    runs = runs_in(after)
    paused_us = sum(run.length_us for run in runs if run.kind == Kind.PAUSED)
    assert paused_us == round(after["pausedMs"] * 1000) == 37_000_423


def test_tab_switches_without_a_second_are_told() -> None:
    (run,) = seen(session((), tabSwitches=2)).runs
    assert (run.kind, run.seconds, run.tab_switches) == ("active", 0, 2)


def test_a_client_that_counts_itself_makes_one_edit_of_it() -> None:
    """It sets counters again and again, until something is counted or the session ends."""
    document = {
        "_id": ObjectId(),
        **new_document("ada", NewSession(), stamp="p.1", now=START),
    }
    for number in range(1, 100):
        now = START + number * timedelta(seconds=30)
        document |= changed_by_hand(document, {"activeSeconds": number * 30}, now)
    (only,) = document["edits"]
    assert only["before"]["activeSeconds"] == 0
    document |= {"lastBookedAt": LATER}  # a socket tracked it meanwhile
    document |= changed_by_hand(document, {"activeSeconds": 1}, LATER + timedelta(seconds=9))
    assert [edit["before"]["activeSeconds"] for edit in document["edits"]] == [0, 2970]
    document |= ended_fields(document, "completed", LATER + timedelta(hours=1))
    for number in range(2):
        document |= changed_by_hand(document, {"activeSeconds": number}, LATER)
    assert len(document["edits"]) == 4
