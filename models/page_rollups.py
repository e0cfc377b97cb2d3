"""Tallies of days and months that are over: collection `page_rollups`.

What must always hold: a period is *closed* when its document (`_id` "2026-11-20" or
"2026-11") is there. That is written last, once, and never changed; it names the build
whose rows (`_id` "period/build/number", a page each) belong to it. So a build that was cut
off, or that another process did at the same time, is seen by nobody.
"""

import secrets
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from motor.motor_asyncio import AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo.errors import DuplicateKeyError

from models.page_views import page_views
from models.sessions import Document
from scoring.tallies import Breakdown, Counts, Tally

COLLECTION = "page_rollups"
FIRST = "first"
"""`_id` of the document that names the first day of all."""
CHUNK = 250
SUMMARY = ("counts", "visitorCount", "visibleMedian", "engagedMedian")

Database = AsyncIOMotorDatabase[Document]


def rollups(db: Database) -> AsyncIOMotorCollection[Document]:
    return db[COLLECTION]


def day_id(day: date) -> str:
    return day.isoformat()


def month_id(day: date) -> str:
    """That of the month in which the day lies."""
    return day.isoformat()[:7]


def next_month(day: date) -> date:
    """The first day of the month after the one in which the day lies."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


async def first_day(db: Database) -> date | None:
    """The day of the first view there ever was; None before it."""
    known = await rollups(db).find_one({"_id": FIRST})
    if known is not None:
        return date.fromisoformat(known["day"])
    # The embedded database reads all views for this, so it is asked once.
    views = page_views(db).find({}, {"startedAt": 1}).sort("startedAt", 1)
    oldest = await views.limit(1).to_list(None)
    if not oldest:
        return None
    day: date = oldest[0]["startedAt"].date()
    try:
        await rollups(db).insert_one({"_id": FIRST, "day": day.isoformat()})
    except DuplicateKeyError:  # another process knew it first
        return await first_day(db)
    return day


async def find_closed(db: Database, periods: Iterable[str]) -> set[str]:
    """Those of these periods that are closed."""
    found = await _by_id(db, list(periods), {"_id": 1})
    return {document["_id"] for document in found}


async def close_period(db: Database, period: str, breakdown: Breakdown, now: datetime) -> bool:
    """Store the tallies of a period that is over; False if it was closed already."""
    build = secrets.token_hex(4)
    pages = sorted(breakdown.pages)
    rows = [
        {"_id": _page_row(period, build, number), **breakdown.pages[page].to_document()}
        for number, page in enumerate(pages)
    ]
    for start in range(0, len(rows), CHUNK):
        await rollups(db).insert_many(rows[start : start + CHUNK])
    total = breakdown.total
    document = {
        "_id": period,
        "build": build,
        "closedAt": now,
        **_summary(total),
        **total.to_document(),
        "users": breakdown.users.to_bytes(),
        # Hours are never added up, so nothing more is kept of them.
        "hours": [
            {"hour": hour, **_summary(tally)} for hour, tally in sorted(breakdown.hours.items())
        ],
        "pages": pages,
        "pageCounts": [list(breakdown.pages[page].counts.values()) for page in pages],
    }
    try:
        await rollups(db).insert_one(document)
    except DuplicateKeyError:
        done = False
    else:
        done = True
    await _remove_other_builds(db, period)
    return done


async def _remove_other_builds(db: Database, period: str) -> None:
    """Of a closed period."""
    closed = await rollups(db).find_one({"_id": period}, {"build": 1})
    if closed is None:
        raise AssertionError("only a closed period has a build to keep")
    found = await rollups(db).find(_rows_of(f"{period}/"), {"_id": 1}).to_list(None)
    kept = f"{period}/{closed['build']}/"
    gone = [row["_id"] for row in found if not row["_id"].startswith(kept)]
    if gone:
        await rollups(db).delete_many({"_id": {"$in": gone}})


async def read_whole(db: Database, period: str) -> Breakdown:
    """A closed period with all its pages; without its hours."""
    document = await rollups(db).find_one({"_id": period})
    if document is None:
        raise AssertionError(f"{period} is not closed")
    found = Breakdown()
    found.total.merge_document(document)
    found.users.merge_bytes(document["users"])
    of_pages = _rows_of(f"{period}/{document['build']}/")
    rows = {row["_id"]: row async for row in rollups(db).find(of_pages)}
    for number, page in enumerate(document["pages"]):
        found.pages[page] = tally = Tally()
        tally.merge_document(rows[_page_row(period, document["build"], number)])
    return found


async def read_periods(
    db: Database, periods: Iterable[str], fields: Iterable[str]
) -> dict[str, Document]:
    """These fields of closed periods."""
    found = await _by_id(db, list(periods), dict.fromkeys(fields, 1))
    return {document["_id"]: document for document in found}


def page_counts(period: Mapping[str, Any]) -> Iterable[tuple[str, Counts]]:
    """What the document of a period says of each of its pages."""
    return zip(period["pages"], map(Counts, period["pageCounts"]), strict=True)


async def read_pages(
    db: Database, periods: Iterable[Mapping[str, Any]], pages: set[str]
) -> dict[str, Tally]:
    """These pages over all these periods (with `build` and `pages`)."""
    page_of = {
        _page_row(period["_id"], period["build"], number): page
        for period in periods
        for number, page in enumerate(period["pages"])
        if page in pages
    }
    found = {page: Tally() for page in pages}
    ids = list(page_of)
    for start in range(0, len(ids), CHUNK):
        for row in await _by_id(db, ids[start : start + CHUNK], None):
            found[page_of[row["_id"]]].merge_document(row)
    return found


def _summary(tally: Tally) -> Document:
    return {
        "counts": list(tally.counts.values()),
        "visitorCount": tally.visitors.count(),
        "visibleMedian": tally.visible.median(),
        "engagedMedian": tally.engaged.median(),
    }


def _page_row(period: str, build: str, number: int) -> str:
    return f"{period}/{build}/{number:06d}"


def _rows_of(prefix: str) -> dict[str, Any]:
    return {"_id": {"$gte": prefix, "$lt": prefix + "\x7f"}}


async def _by_id(db: Database, ids: list[str], fields: Mapping[str, int] | None) -> list[Document]:
    found: list[Document] = []
    for start in range(0, len(ids), CHUNK):
        wanted = {"_id": {"$in": ids[start : start + CHUNK]}}
        found += await rollups(db).find(wanted, fields).to_list(None)
    return found
