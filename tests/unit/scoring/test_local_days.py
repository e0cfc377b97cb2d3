"""Test that every second has a local day, and that days are as long as the zone's rules say."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scoring.local_days import (
    Calendar,
    date_of,
    instant_us,
    local_day,
    midnight_us,
)
from scoring.timeline import SECOND_US


def us(text: str) -> int:
    return instant_us(datetime.fromisoformat(text))


INSTANTS = st.integers(us("2005-01-01T00:00Z"), us("2040-01-01T00:00Z"))
HOUR_US = 3600 * SECOND_US
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",  # clocks change at midnight
    "Africa/Cairo",  # and here
    "Asia/Kathmandu",  # +05:45
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Apia",  # skipped 2011-12-30
    "Pacific/Kiritimati",
]


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        ("2026-03-29", "Europe/Berlin", 23),
        ("2026-10-25", "Europe/Berlin", 25),
        ("2026-10-24", "Europe/Berlin", 24),
        ("2026-03-08", "America/New_York", 23),
        ("2026-11-01", "America/New_York", 25),
        ("2026-03-08", "America/Havana", 23),
        ("2026-11-01", "America/Havana", 25),
        ("2026-04-05", "Australia/Lord_Howe", 24.5),
        ("2028-02-29", "UTC", 24),
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(day: str, zone: str, hours: float) -> None:
    found = local_day(date.fromisoformat(day), zone)
    assert (found.end_us - found.start_us) / HOUR_US == hours


def test_an_hour_that_comes_twice_and_one_that_is_missing() -> None:
    assert local_day(date(2026, 10, 25), "Europe/Berlin").hours == tuple(range(24))
    assert 2 not in local_day(date(2026, 3, 29), "Europe/Berlin").hours
    long = local_day(date(2026, 10, 25), "Europe/Berlin")
    assert long.begins_us[3] - long.begins_us[2] == 2 * HOUR_US


def test_a_date_that_was_skipped() -> None:
    with pytest.raises(ValueError, match="2011-12-30"):
        local_day(date(2011, 12, 30), "Pacific/Apia")
    end_us = midnight_us(date(2011, 12, 31), "Pacific/Apia")
    parts = list(Calendar("Pacific/Apia").parts_of(end_us - HOUR_US, 2 * 3600))
    assert [(part.date, part.hour) for part in parts] == [
        (date(2011, 12, 29), 23),
        (date(2011, 12, 31), 0),
    ]


@given(INSTANTS, st.integers(0, 200_000), st.sampled_from(ZONES))
@example(us("2026-10-25T00:30:00.000001Z"), 10_000, "Europe/Berlin")
@example(us("2011-12-30T09:59:59.5Z"), 5, "Pacific/Apia")
def test_parts_are_the_seconds_by_the_clock_on_the_wall(
    start_us: int, seconds: int, zone: str
) -> None:
    parts = list(Calendar(zone).parts_of(start_us, seconds))
    assert sum(part.seconds for part in parts) == seconds
    at_us = start_us
    for part in parts:
        assert part.start_us == at_us
        assert part.seconds > 0
        for second in (0, part.seconds // 2, part.seconds - 1):
            instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
                microseconds=at_us + second * SECOND_US
            )
            local = instant.astimezone(ZoneInfo(zone))
            assert (local.date(), local.hour) == (part.date, part.hour)
        at_us += part.seconds * SECOND_US


@given(INSTANTS, st.sampled_from(ZONES))
def test_each_instant_is_within_its_day(at_us: int, zone: str) -> None:
    day = local_day(date_of(at_us, zone), zone)
    assert day.start_us <= at_us < day.end_us
    assert len(day.hours) == len(day.begins_us)
    assert list(day.begins_us) == sorted(set(day.begins_us))
