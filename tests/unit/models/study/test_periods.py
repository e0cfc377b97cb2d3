"""The plan of a reading covers each day once, and caches what is settled alone."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from models.study.periods import (
    SETTLED_AFTER,
    day_of,
    days_between,
    month_of,
    months_until,
    plan_reading,
)
from scoring.utc_days import midnight

FIRST = date(2026, 1, 10)
DAY = timedelta(days=1)
SUMMARY = {"any": "summary"}


def known_period(name: str, until: date, *, kept: bool) -> dict[str, Any]:
    return {"period": name, "kept": SUMMARY if kept else None, "touchedAt": midnight(until)}


@st.composite
def situations(draw: st.DrawFn) -> tuple[dict[str, dict[str, Any]], datetime]:
    """What is stored of some days and months, and an instant up to four months later."""
    now = datetime(2026, 1, 10, tzinfo=UTC) + draw(st.timedeltas(timedelta(0), timedelta(days=120)))
    known = {}
    for period in (
        *(day_of(FIRST + number * DAY) for number in range(120)),
        *(month_of(date(2026, month, 1)) for month in range(1, 6)),
    ):
        if period.until <= now.date():
            state = draw(st.sampled_from(["unknown", "kept", "touched"]))
            if state != "unknown":
                known[period.name] = known_period(period.name, period.until, kept=state == "kept")
    return known, now


@given(situations())
def test_each_day_is_read_once_or_taken_from_the_cache_once(
    situation: tuple[dict[str, dict[str, Any]], datetime],
) -> None:
    known, now = situation
    today = now.date()
    months = months_until(today, [name for name in known if len(name) == len("2026-01")], FIRST)
    plan = plan_reading(months, known, now, today)
    spans = [(each.since, each.until) for each in plan.cached]
    spans += [(each.since, each.until) for each in plan.loads]
    covered = [day for since, until in spans for day in days_between(since, until)]
    assert len(covered) == len(set(covered))
    wanted = set(days_between(months[0].since, today + DAY))
    assert wanted <= set(covered)
    for load in plan.loads:
        for period in load.to_cache:
            assert load.since <= period.since < period.until <= load.until
            assert period.is_settled(now, known.get(period.name))
            assert period not in plan.cached


def test_a_period_is_settled_some_time_after_its_end_and_its_last_change() -> None:
    period = month_of(date(2026, 1, 31))
    over = midnight(date(2026, 2, 1))
    assert not period.is_settled(over + SETTLED_AFTER - timedelta(seconds=1), None)
    assert period.is_settled(over + SETTLED_AFTER, None)
    touched = {"touchedAt": over + DAY}
    assert not period.is_settled(over + DAY, touched)
    assert period.is_settled(over + DAY + SETTLED_AFTER, touched)
