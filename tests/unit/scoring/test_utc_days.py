from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest

from scoring.utc_days import DAY, day_of, days_between, last_days, last_months

LAST_INSTANT = timedelta(milliseconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "name"),
    [
        ("2026-03-01", "2026-03-01"),
        ("2026-02-28T23:59:59.999", "2026-02-28"),
        ("2028-02-29T12:00", "2028-02-29"),
        ("2026-12-31T23:59:59.999", "2026-12-31"),
    ],
)
def test_a_day_begins_at_midnight_and_ends_before_the_next(now: str, name: str) -> None:
    day = day_of(at(now))
    assert day.name == name
    assert day.since <= at(now) < day.until == day.since + DAY
    assert day_of(day.until - LAST_INSTANT) == day
    assert day_of(day.until).since == day.until


def test_a_day_is_one_of_utc_whatever_the_offset() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert day_of(datetime(2026, 3, 1, 8, 59, tzinfo=tokyo)).name == "2026-02-28"


def test_the_last_days_reach_over_a_leap_day_and_end_today() -> None:
    days = last_days(at("2028-03-02T00:00"), 4)
    assert [day.name for day in days] == ["2028-02-28", "2028-02-29", "2028-03-01", "2028-03-02"]


@pytest.mark.parametrize(
    ("now", "names"),
    [
        ("2026-03-31T23:59", ["2026-01", "2026-02", "2026-03"]),
        ("2026-01-01T00:00", ["2025-11", "2025-12", "2026-01"]),
        ("2028-03-01T00:00", ["2028-01", "2028-02", "2028-03"]),
    ],
)
def test_the_last_months(now: str, names: list[str]) -> None:
    assert [month.name for month in last_months(at(now), 3)] == names


def test_months_follow_each_other_and_are_made_of_days() -> None:
    now = at("2028-03-02T12:00")
    months = last_months(now, 6)
    for before, after in pairwise(months):
        assert before.until == after.since
    assert months[-1].since <= now < months[-1].until
    days = days_between(months[0].since, now)
    assert days[-1] == day_of(now)
    lengths = [sum(day.name.startswith(month.name) for day in days) for month in months]
    assert lengths == [31, 30, 31, 31, 29, 2]


def test_days_up_to_midnight_hold_the_day_that_begins_then() -> None:
    assert [d.name for d in days_between(at("2026-02-28"), at("2026-03-01"))] == [
        "2026-02-28",
        "2026-03-01",
    ]
