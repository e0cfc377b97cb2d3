"""One user's sessions as a list: filters together, search as text, pages without gaps."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from motor.motor_asyncio import AsyncIOMotorDatabase
from pydantic import ValidationError

from models.base.indexes import ensure_indexes
from models.sessions.list_query import DatedQuery, SessionQuery
from models.sessions.listing import list_sessions
from models.sessions.queries import COLLECTION, INDEXES, new_id, sessions
from models.sessions.session import NewSession, new_document
from scoring.text import fold
from tests.support.embedded import embedded_database

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TITLES = (
    "Cell biology",
    "cellular automata",
    "History 100%",
    "a.b*c",
    "$where (x)",
    "STRASSE",
    None,
)
NOTES = (None, "the cell", "ÉCOLE", "e\u0301cole", "a+b=[c]", "a\\d", "two\nlines")
STATUSES = ("active", "completed", "cancelled")

Database = AsyncIOMotorDatabase[dict[str, Any]]
Row = dict[str, Any]


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        await ensure_indexes(db, {COLLECTION: INDEXES})
        yield db


async def fill(db: Database, count: int = 420) -> list[Row]:
    """Sessions of two users, three hours apart, in every combination; the newest first."""
    rows = []
    for number in range(count):
        at = NOW - number * 3 * HOUR
        body = NewSession(
            title=TITLES[number % 7],
            notes=NOTES[number // 7 % 7],
            tags=["x", "y"][: number % 3],
            content_id="c" if number % 2 else None,
        )
        user = "bob" if number % 5 == 0 else "ada"
        document = new_document(user, body, stamp="test.1", now=at)
        rows.append({**document, "_id": new_id(at), "status": STATUSES[number % 3]})
    await sessions(db).insert_many(rows)
    return [row for row in rows if row["userId"] == "ada"]


async def pages(db: Database, **filters: Any) -> list[Any]:
    found: list[Any] = []
    cursor = None
    while True:
        query = SessionQuery(**filters, cursor=cursor)
        page, cursor = await list_sessions(db, "ada", query, NOW)
        found += [row["_id"] for row in page]
        if cursor is None:
            return found
        assert len(page) == query.limit
        assert cursor == str(found[-1])


def ids(rows: list[Row], fits: Callable[[Row], bool]) -> list[Any]:
    return [row["_id"] for row in rows if fits(row)]


def has(row: Row, text: str) -> bool:
    return any(text in (row[name] or "").lower() for name in ("title", "notes"))


async def test_filters_narrow_each_other_on_every_page(db: Database) -> None:
    rows = await fill(db)
    since, until = NOW - 1000 * HOUR, NOW - 200 * HOUR
    cases: list[tuple[dict[str, Any], Callable[[Row], bool]]] = [
        ({}, lambda row: True),
        ({"status": "completed"}, lambda row: row["status"] == "completed"),
        ({"content_id": "c"}, lambda row: row["contentId"] == "c"),
        ({"tag": "y"}, lambda row: "y" in row["tags"]),
        ({"from_": since, "to": until}, lambda row: since <= row["createdAt"] < until),
        ({"q": "CELL"}, lambda row: has(row, "cell")),
        (
            {"q": "cell", "tag": "x", "content_id": "c", "from_": since, "status": "completed"},
            lambda row: (
                has(row, "cell")
                and "x" in row["tags"]
                and row["contentId"] == "c"
                and row["createdAt"] >= since
                and row["status"] == "completed"
            ),
        ),
    ]
    for filters, fits in cases:
        for limit in (1 if len(filters) > 2 else 7, 100):
            assert await pages(db, **filters, limit=limit) == ids(rows, fits), filters


@pytest.mark.parametrize("waited", [timedelta(minutes=3), timedelta(days=4)])
async def test_history_is_by_when_it_was_studied(db: Database, waited: timedelta) -> None:
    """Created on one day, started on another; a session that was never started has its creation."""
    created = NOW - 10 * 24 * HOUR
    for started_at in (created + waited, None):
        document = new_document("ada", NewSession(), stamp="test.1", now=created)
        fields = {"_id": new_id(created), "startedAt": started_at}
        await sessions(db).insert_one({**document, **fields})
        studied = started_at or created
        minute = timedelta(minutes=1)
        assert await pages(db, from_=studied, to=studied + minute) == [fields["_id"]]
        if started_at is not None:
            assert await pages(db, from_=created, to=created + minute) == []


@pytest.mark.parametrize(
    "text", [".", "*", "^", "$", "[", "\\", "a.b", "100%", "$where", "(x)", "a+b=[c]", "\\d", "%"]
)
async def test_text_is_never_a_pattern(db: Database, text: str) -> None:
    rows = await fill(db)
    assert await pages(db, q=text, limit=100) == ids(rows, lambda row: has(row, text))


@pytest.mark.parametrize(
    ("text", "note"),
    [("école", "ÉCOLE"), ("E\u0301cole", "école"), ("ecole", "ÉCOLE"), ("straße", None)],
)
async def test_neither_case_nor_composition_matters(
    db: Database, text: str, note: str | None
) -> None:
    await fill(db)
    query = SessionQuery(q=text, limit=100)
    page, _ = await list_sessions(db, "ada", query, NOW)
    assert page
    assert all(fold(text) in fold(f"{row['title']} {row['notes']}") for row in page)
    if note is not None:
        assert note in {row["notes"] for row in page}


async def test_texts_of_earlier_versions_are_found_as_they_were_typed(db: Database) -> None:
    document = new_document("ada", NewSession(), stamp="test.1", now=NOW)
    typed = {"title": "I\u0307stanbul", "tags": ["Cafe\u0301 "], "contentId": " Cafe\u0301"}
    await sessions(db).insert_one({**document, **typed, "_id": new_id(NOW)})
    for filters in ({"q": "istanbul"}, {"tag": "Café"}, {"content_id": "Café"}):
        assert len(await pages(db, **filters)) == 1, filters


@pytest.mark.parametrize("text", ["", " ", "\u00a0\u200b", "x" * 201])
def test_what_is_searched_for_has_a_length(text: str) -> None:
    with pytest.raises(ValidationError):
        SessionQuery(q=text)


@given(st.text(max_size=50), st.text(min_size=1, max_size=50), st.text(max_size=50))
def test_a_text_is_found_in_itself(before: str, text: str, after: str) -> None:
    assert fold(text) in fold(f"{before} {text} {after}")


async def test_nobody_finds_what_is_somebody_elses(db: Database) -> None:
    await fill(db)
    assert await list_sessions(db, "eve", SessionQuery(q="cell"), NOW) == ([], None)


def test_a_plus_that_came_as_a_blank_is_a_plus() -> None:
    query = DatedQuery.model_validate({"from": "2026-05-04T00:00:00 02:00"})
    assert query.from_ == datetime(2026, 5, 3, 22, tzinfo=UTC)
