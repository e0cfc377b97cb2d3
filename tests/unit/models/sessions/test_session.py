"""What is derived from a session's document: paused, away, scores, changes by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.base.errors import Conflict, Invalid
from models.base.schema_types import iso_utc
from models.sessions.list_query import DatedQuery
from models.sessions.session import (
    EndSession,
    NewSession,
    changed_fields,
    ended_fields,
    new_document,
    paused_and_away,
    view,
)
from scoring.local_days import LocalClock

START = datetime(2026, 5, 4, 9, 0, 0, 123_000, UTC)


def document(**fields: Any) -> dict[str, Any]:
    created = START - timedelta(minutes=1)
    base = new_document("ada", NewSession(), stamp="p.1", now=created)
    return {"_id": ObjectId(), **base, **fields}


def ended(seconds: float, **fields: Any) -> dict[str, Any]:
    found = document(startedAt=START, **fields)
    return {**found, **ended_fields(found, "completed", START + timedelta(seconds=seconds))}


def test_a_session_without_gaps_has_neither_paused_nor_away() -> None:
    found = ended(100.9, elapsedSeconds=100, activeSeconds=100)
    assert paused_and_away(found, START) == (0, 0)


def test_what_is_neither_counted_nor_paused_was_away() -> None:
    found = ended(100, elapsedSeconds=60, activeSeconds=60, pausedMs=12_400.0)
    assert paused_and_away(found, START) == (12, 28)


def test_a_pause_never_makes_away_negative() -> None:
    found = ended(100.9, elapsedSeconds=90, activeSeconds=90, pausedMs=10_900.0)
    assert paused_and_away(found, START) == (10, 0)


def test_ending_in_a_pause_ends_the_pause() -> None:
    paused_at = START + timedelta(seconds=30)
    found = ended(50, elapsedSeconds=30, activeSeconds=30, status="paused", pausedAt=paused_at)
    assert (found["pausedMs"], found["pausedAt"]) == (20_000, None)
    assert paused_and_away(found, START) == (20, 0)


@pytest.mark.parametrize("paused", [False, True])
def test_a_session_never_tracked_was_neither_away_nor_paused(paused: bool) -> None:
    """Created on Monday, ended on Friday."""
    found = document()
    if paused:
        found |= changed_fields(found, {"status": "paused"}, found["createdAt"])
    now = found["createdAt"] + timedelta(days=4)
    seen = view({**found, **ended_fields(found, "cancelled", now)}, now=now, tracked=False)
    assert (seen.started_at, seen.ended_at) == (found["createdAt"], now)
    assert (seen.elapsed_seconds, seen.paused_seconds, seen.away_seconds) == (0, 0, 0)


def test_a_clock_set_back_never_shortens_what_was_counted() -> None:
    found = ended(-3600, elapsedSeconds=60, activeSeconds=60)
    assert found["endedAt"] == START + timedelta(seconds=60)
    assert paused_and_away(found, START) == (0, 0)


@given(
    active=st.integers(0, 5000),
    idle=st.integers(0, 5000),
    gap_ms=st.integers(0, 10_000_000),
    paused_ms=st.integers(0, 10_000_000),
    carry_ms=st.integers(0, 999),
)
def test_every_second_is_exactly_one_of_four(
    active: int, idle: int, gap_ms: int, paused_ms: int, carry_ms: int
) -> None:
    tracked_ms = (active + idle) * 1000 + carry_ms
    life = timedelta(milliseconds=tracked_ms + gap_ms + paused_ms)
    found = ended(
        life.total_seconds(),
        elapsedSeconds=active + idle,
        activeSeconds=active,
        idleSeconds=idle,
        pausedMs=float(paused_ms),
    )
    paused, away = paused_and_away(found, START)
    assert paused >= 0
    assert away >= 0
    whole = (found["endedAt"] - found["startedAt"]) // timedelta(seconds=1)
    assert active + idle + paused + away == whole
    assert abs(paused - paused_ms / 1000) <= 1
    # The life loses less than a second by its floor, the pause up to half by its rounding,
    # and the remainder of a second that was not booked is away.
    assert -1.5 < away - gap_ms / 1000 < 1.5


@pytest.mark.parametrize(
    ("given_fields", "expected"),
    [
        ({"elapsedSeconds": 100, "activeSeconds": 70}, (100, 70, 30)),
        ({"elapsedSeconds": 100, "idleSeconds": 70}, (100, 30, 70)),
        ({"activeSeconds": 70}, (75, 70, 5)),
        ({"idleSeconds": 70}, (80, 10, 70)),
        ({"activeSeconds": 1, "idleSeconds": 2}, (3, 1, 2)),
        ({"elapsedSeconds": 9, "activeSeconds": 4, "idleSeconds": 5}, (9, 4, 5)),
        ({"tabSwitches": 3}, (15, 10, 5)),
    ],
)
def test_counters_by_hand_come_out_consistent(
    given_fields: dict[str, int], expected: tuple[int, int, int]
) -> None:
    found = document(elapsedSeconds=15, activeSeconds=10, idleSeconds=5)
    changes = changed_fields(found, given_fields, START)
    assert (changes["elapsedSeconds"], changes["activeSeconds"], changes["idleSeconds"]) == expected
    assert changes["edited"] is True


@pytest.mark.parametrize(
    "given_fields",
    [
        {"elapsedSeconds": 99},
        {"elapsedSeconds": 5, "activeSeconds": 6},
        {"elapsedSeconds": 9, "activeSeconds": 4, "idleSeconds": 4},
        {"activeSeconds": 2**31 - 1, "idleSeconds": 1},
    ],
)
def test_counters_that_do_not_add_up_are_refused(given_fields: dict[str, int]) -> None:
    found = document(elapsedSeconds=15, activeSeconds=10, idleSeconds=5)
    with pytest.raises(Invalid) as caught:
        changed_fields(found, given_fields, START)
    assert caught.value.code == "counters_inconsistent"


def test_the_score_of_an_ended_session_follows() -> None:
    found = ended(60, elapsedSeconds=60, activeSeconds=60, targetMinutes=1)
    assert found["focusScore"] == 100
    assert changed_fields(found, {"targetMinutes": 2}, START)["focusScore"] == 50
    assert changed_fields(found, {"tabSwitches": 5}, START)["focusScore"] == 90
    assert "focusScore" not in changed_fields(found, {"title": "x"}, START)


def test_status_by_hand_moves_between_active_and_paused() -> None:
    now = START + timedelta(seconds=30)
    found = document(startedAt=START)
    paused = {**found, **changed_fields(found, {"status": "paused"}, START)}
    assert (paused["status"], paused["pausedAt"]) == ("paused", START)
    active = changed_fields(paused, {"status": "active"}, now)
    assert (active["status"], active["pausedMs"], active["pausedAt"]) == ("active", 30_000, None)
    with pytest.raises(Conflict, match="session_ended"):
        changed_fields(ended(1), {"status": "paused"}, now)


def test_nothing_internal_is_shown() -> None:
    shown = view(document(), now=START, tracked=False).model_dump(mode="json")
    assert not {"stamp", "owner", "carryMs", "pausedMs", "pausedAt", "lastBookedAt"} & set(shown)
    assert shown["createdAt"] == "2026-05-04T08:59:00.123Z"


def test_names_have_one_spelling_and_come_once() -> None:
    body = NewSession(
        title=" I\u0307stanbul ", content_id="Cafe\u0301", tags=["math", "math ", "Cafe\u0301"]
    )
    assert (body.title, body.content_id, body.tags) == ("İstanbul", "Café", ["math", "Café"])
    assert NewSession(notes=" e\u0301\n").notes == " é\n"


@pytest.mark.parametrize("tag", ["", " ", "\u3000", "\u200b"])
def test_a_tag_is_not_blank(tag: str) -> None:
    with pytest.raises(ValidationError):
        NewSession(tags=[tag])


@pytest.mark.parametrize("mode", [4, "4", 601, "VIDEO", float("nan"), [], True])
def test_a_wrong_idle_mode_is_one_error_of_its_field(mode: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        NewSession.model_validate({"idleMode": mode})
    assert [error["loc"] for error in caught.value.errors()] == [("idleMode",)]


def test_null_is_as_good_as_left_out() -> None:
    assert EndSession.model_validate({"status": None}).status == "completed"
    assert NewSession.model_validate({"idleMode": None}).idle_mode == "interactive"


@pytest.mark.parametrize(
    ("given", "instant"),
    [
        ("2026-11-27", "2026-11-26T19:00:00.000Z"),
        ("2026-11-27T00:00:00Z", "2026-11-27T00:00:00.000Z"),
        ("2026-11-27T00:00:00+02:00", "2026-11-26T22:00:00.000Z"),
    ],
)
def test_a_bare_date_is_the_day_where_the_user_is(given: str, instant: str) -> None:
    asked = DatedQuery.model_validate_strings({"from": given, "to": given, "limit": "5"})
    query = asked.of(LocalClock("Asia/Tokyo", 4 * 60))
    assert query.from_ is not None
    assert query.to is not None
    assert (iso_utc(query.from_), iso_utc(query.to), query.limit) == (instant, instant, 5)


@pytest.mark.parametrize("given", ["27.11.2026", "2026-11-31", "2026-11-27T00:00", "1764201600"])
def test_what_is_no_date_is_one_error_of_its_field(given: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DatedQuery.model_validate_strings({"from": given}, by_alias=True)
    assert [error["loc"] for error in caught.value.errors()] == [("from",)]
