"""Test the conversion of sessions that schema version 1 has stored."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.accounts.settings import Learner
from models.migrations import schema_version
from models.sessions.queries import new_id, sessions
from models.sessions.session import paused_and_away
from models.sessions.timeline import BY_HAND, by_hand_in, counts_in, origin_of, runs_in
from models.sessions.timeline_view import timeline_view
from models.study import day_cache
from models.study.day_cache import DayCache
from models.study.day_summary import lived_of
from models.study.periods import Dates
from scoring.local_days import MICROSECOND, date_of, instant_us
from scoring.study_days import tally
from scoring.timeline import counts_of, unpack
from tests.support.embedded import embedded_database

Database = AsyncIOMotorDatabase[dict[str, Any]]
AS_STORED = Path(__file__).with_name("sessions_of_version_1.json")
"""By a server of version 1: each session is named by its title."""
SECOND = timedelta(seconds=1)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        await sessions(db).insert_many(stored())
        yield db


def stored() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json_util.loads(
        AS_STORED.read_text(), json_options=json_util.JSONOptions(tz_aware=True, tzinfo=UTC)
    )
    return found


async def migrated(db: Database) -> dict[str, dict[str, Any]]:
    await schema_version.migrate(db)
    return {each["title"]: each async for each in sessions(db).find()}


async def test_counters_stay_and_are_told_by_runs_and_entries(db: Database) -> None:
    before = {each["title"]: each for each in stored()}
    for title, after in (await migrated(db)).items():
        runs = unpack(after["timeline"], counts_in(after)) if BY_HAND not in after else None
        runs = runs_in(after) if runs is None else runs
        tracked, by_hand = counts_of(runs), by_hand_in(after)
        assert tracked.active + by_hand.active == after["activeSeconds"], title
        assert tracked.idle + by_hand.idle == after["idleSeconds"], title
        if title != "ten days by hand":
            assert counts_in(after) == counts_in(before[title]), title
            assert after["focusScore"] == before[title]["focusScore"]


async def test_what_was_by_hand(db: Database) -> None:
    found = {title: by_hand_in(each)[:2] for title, each in (await migrated(db)).items()}
    assert found == {
        "by hand alone": (3600, 0),
        "ten days by hand": (86_400, 0),
        "by hand, then tracked": (36_000, 0),
        "raised after the end": (3600, 0),
        "lowered after the end": (0, 0),
        "open, by hand": (100, 20),
        "by hand, tracked, by hand, ended": (38, 0),
        "only tracked": (0, 0),
        "another target": (0, 0),
        "never tracked": (0, 0),
        "reassigned": (35, 0),
    }


async def test_no_second_was_tracked_after_the_end(db: Database) -> None:
    for title, after in (await migrated(db)).items():
        if after["endedAt"] is None or not (runs := runs_in(after)):
            continue
        life_us = (after["endedAt"] - origin_of(after)) // MICROSECOND
        assert runs[-1].end_us <= life_us, title
        counted = counts_of(runs).elapsed + sum(paused_and_away(after, after["endedAt"]))
        assert counted == (after["endedAt"] - after["startedAt"]) // SECOND, title


async def test_days_hold_everything_and_none_is_to_come(db: Database) -> None:
    found = await migrated(db)
    today = date_of(instant_us(max(each["updatedAt"] for each in found.values())), "UTC")
    days = tally([lived_of(each) for each in found.values()])
    assert sum(day.focused for day in days.values()) == sum(
        each["activeSeconds"] for each in found.values()
    )
    assert max(days) <= today
    assert sum(day.hours.total() for day in days.values()) < 60  # what was really tracked


async def test_more_than_a_day_is_taken_back_and_told(db: Database) -> None:
    after = (await migrated(db))["ten days by hand"]
    assert (after["activeSeconds"], after["idleSeconds"]) == (86_400, 0)
    edits = timeline_view(after, now=after["updatedAt"], tracked=False).edits
    assert [edit.what for edit in edits] == ["counters", "counters"]
    assert "one day" in (edits[-1].reason or "")
    assert edits[-1].before.active_seconds == 864_000


async def test_the_states_before_edits_are_told_as_they_were(db: Database) -> None:
    for title, after in (await migrated(db)).items():
        for edit in timeline_view(after, now=after["updatedAt"], tracked=False).edits:
            counted = [run for run in edit.before.runs if run.kind in ("active", "manual")]
            active = sum(run.seconds for run in counted if run.counts_as in (None, "active"))
            assert active == edit.before.active_seconds, title


async def test_a_second_time_nothing_changes(db: Database) -> None:
    first = await migrated(db)
    await db["meta"].delete_many({})
    assert await migrated(db) == first


async def test_what_was_remembered_by_the_former_rules_is_not_used(db: Database) -> None:
    """A month as version 1 remembered it."""
    created = datetime(2026, 1, 20, tzinfo=UTC)
    document = next(each for each in stored() if each["title"] == "by hand alone")
    at = dict.fromkeys(("createdAt", "startedAt", "updatedAt"), created)
    ended = {"_id": new_id(created), **at, "endedAt": created + SECOND}
    await sessions(db).delete_many({})
    document["edits"][0]["editedAt"] = created
    await sessions(db).insert_one({**document, **ended})
    wrong = {"kept": {"open": [], "marks": []}, "days": [], "built": True, "stamp": "old.1"}
    period = {"userId": "ada", "period": "2026-01", "touchedAt": created, **wrong}
    await db[day_cache.COLLECTION].insert_one({"_id": "2026-01 ada", **period})
    await schema_version.migrate(db)
    periods, later = DayCache(db), created + timedelta(days=90)
    dates = Dates(created.date(), later.date())
    for _ in range(2):
        found = await periods.read(Learner("ada", "UTC", ()), later, dates)
        assert {day: each.focused for day, each in found.days.items()} == {created.date(): 3600}
        assert found.total.focused == 3600
