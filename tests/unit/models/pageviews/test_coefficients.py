"""Test which pattern decides, and when processes read changed coefficients."""

import asyncio
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.base.errors import Conflict, NotFound
from models.pageviews import coefficients
from models.pageviews.coefficients import Coefficients, PageCoefficient, coefficient_of, matches

NOW = datetime(2026, 3, 1, tzinfo=UTC)
Database = AsyncIOMotorDatabase[dict[str, Any]]
few_letters = st.text(alphabet="ab/", max_size=8)
patterns = st.text(alphabet="ab/*", max_size=8)


@pytest.fixture
def db() -> Database:
    made: Database = AsyncMongoMockClient(tz_aware=True)["focusup"]
    return made


@given(patterns, few_letters)
def test_a_star_is_any_run_of_characters(pattern: str, page: str) -> None:
    expected = ".*".join(re.escape(part) for part in pattern.split("*"))
    assert matches(pattern, page) == (re.fullmatch(expected, page, re.DOTALL) is not None)


def test_everything_else_stands_for_itself() -> None:
    assert matches("/a?[b].c", "/a?[b].c")
    assert not matches("/a?c", "/abc")
    assert matches("*", "any\nthing")


def test_a_hostile_pattern_takes_no_time() -> None:
    began_s = time.perf_counter()
    assert not matches("*a" * 99 + "*b", "a" * 200)
    assert time.perf_counter() - began_s < 0.01


def test_the_longest_pattern_decides() -> None:
    known = {"*": 2.0, "/articles/*": 3.0, "/articles/menu": 0.5, "*/menuuuuuuuu": 9.0}
    assert coefficient_of("/articles/1", known) == 3.0
    assert coefficient_of("/articles/menu", known) == 0.5
    assert coefficient_of("/else", known) == 2.0
    assert coefficient_of("/else", {"/a": 3.0}) == 1.0
    assert coefficient_of("/ab", {"/*b": 1.5, "/a*": 2.5}) == 1.5  # equally long: by name


async def test_a_change_here_counts_at_once(db: Database) -> None:
    known = Coefficients(db)
    assert known.coefficient("/long") == 1.0
    stored = await known.put(PageCoefficient(pattern="/l*", coefficient=4), NOW)
    assert (stored.coefficient, stored.updated_at) == (4, NOW)
    assert known.coefficient("/long") == 4.0
    await known.put(PageCoefficient(pattern="/l*", coefficient=2.5), NOW)
    assert known.coefficient("/long") == 2.5
    assert [each.pattern for each in await known.all()] == ["/l*"]
    await known.delete("/l*")
    assert known.coefficient("/long") == 1.0
    with pytest.raises(NotFound):
        await known.delete("/l*")


async def test_a_change_elsewhere_is_read(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coefficients, "REFRESH_S", 0.01)
    here, elsewhere = Coefficients(db), Coefficients(db)
    task = asyncio.create_task(here.run())
    await elsewhere.put(PageCoefficient(pattern="/l*", coefficient=4), NOW)
    async with asyncio.timeout(5):
        while here.coefficient("/long") != 4.0:  # noqa: ASYNC110 - it reads on its own
            await asyncio.sleep(0.01)
    task.cancel()


async def test_there_are_only_so_many(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coefficients, "MAX_PATTERNS", 2)
    monkeypatch.setattr(coefficients, "MAX_CACHED_PAGES", 2)
    known = Coefficients(db)
    for pattern in ("/a", "/b", "/a"):
        await known.put(PageCoefficient(pattern=pattern, coefficient=2), NOW)
    with pytest.raises(Conflict) as refused:
        await known.put(PageCoefficient(pattern="/c", coefficient=2), NOW)
    assert refused.value.code == "too_many_patterns"
    assert [known.coefficient(page) for page in ("/a", "/b", "/c", "/a")] == [2, 2, 1, 2]
