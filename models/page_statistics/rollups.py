"""Store the rollups of days and months that are over: collection `page_rollups`.

A rollup is a document of the period (`_id` "2026-11-20" or "2026-11"), which names a build, and
the rows of that build (`_id` "period/build/number"), one for each page. A period is *closed*
while its document names a build.

Invariants:

- The document of a period is written after the rows of its build. It does not change until
  `reopen`, which is called when views of the past were added or removed.
- So a build is never read if it was interrupted, lost to another process, or was started before
  the period was reopened.
- A process that closes a period removes the rows that existed before its own, none of which can
  become current any more; a process that is too late removes only its own. Rows of a build that
  is still being written are never removed.
"""

import secrets
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, TypedDict, cast

from models.base.compare_and_set import Stamps, fenced
from models.base.database import Collection, Database, Document, DuplicateKeyError
from models.pageviews.page_view import page_views
from scoring.tallies import Breakdown, Tally, ViewCounts
from scoring.utc_days import midnight

COLLECTION = "page_rollups"
FIRST = "first"
"""`_id` of the document that names the day of the first view ever."""
REOPENED = "reopened"
"""`_id` of the document whose stamp changes when periods are reopened."""
CHUNK = 250
"""Documents that one statement reads, inserts or deletes."""
SUMMARY = ("counts", "visitorCount", "visibleMedian", "engagedMedian")
_STAMPS = Stamps()


class HourSummary(TypedDict):
    """The sums of the views that started in one hour of a day."""

    hour: int
    counts: list[int]
    visitorCount: int
    visibleMedian: float | None
    engagedMedian: float | None


class RollupDocument(TypedDict, total=False):
    """A document of a period. A reopened period has only `_id` and `stamp`.

    Lists of counts are in the order of `ViewCounts`; bytes are packed sketches.
    """

    _id: str
    stamp: str
    build: str
    closedAt: datetime
    counts: list[int]
    visitorCount: int
    visibleMedian: float | None
    engagedMedian: float | None
    visible: bytes
    engaged: bytes
    visitors: bytes
    users: bytes
    hours: list[HourSummary]
    pages: list[str]
    """Names in order; the number of a page's row is its index."""
    pageCounts: list[list[int]]


def rollups(db: Database) -> Collection:
    """Return the collection."""
    return db[COLLECTION]


def day_id(day: date) -> str:
    """Return the id of a day's rollup."""
    return day.isoformat()


def month_id(day: date) -> str:
    """Return the id of the rollup of the month in which a day lies."""
    return day.isoformat()[:7]


def next_month(day: date) -> date:
    """Return the first day of the month after the one in which a day lies."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


async def first_day(db: Database) -> date | None:
    """Return the day of the first view ever; None if there is none."""
    stored = await rollups(db).find_one({"_id": FIRST})
    if stored is not None:
        return date.fromisoformat(stored["day"])
    # The embedded database reads all views to sort them, so the result is stored.
    views = page_views(db).find({}, {"startedAt": 1}).sort("startedAt", 1)
    oldest = await views.limit(1).to_list(None)
    if not oldest:
        return None
    day: date = oldest[0]["startedAt"].date()
    try:
        await rollups(db).insert_one({"_id": FIRST, "day": day.isoformat()})
    except DuplicateKeyError:  # another process stored it first
        return await first_day(db)
    return day


async def lower_first_day(db: Database, day: date) -> None:
    """Record that views of a day were added, which may be before the first view so far."""
    first = await first_day(db)
    if first is None or day < first:
        await rollups(db).update_one(
            {"_id": FIRST}, {"$set": {"day": day.isoformat()}}, upsert=True
        )


async def find_closed(db: Database, periods: Iterable[str]) -> set[str]:
    """Return which of these periods are closed."""
    return set(await read_periods(db, periods, ()))


async def complete_days(db: Database, days: Iterable[date]) -> list[date]:
    """Return the days whose page views are all still stored, so their rollup can be rebuilt."""
    complete = []
    for day in days:
        closed = (await read_periods(db, [day_id(day)], ("counts",))).get(day_id(day))
        span = {"$gte": midnight(day), "$lt": midnight(day) + timedelta(days=1)}
        stored = await page_views(db).count_documents({"startedAt": span})
        if closed is None or ViewCounts(closed["counts"]).views <= stored:
            complete.append(day)
    return complete


async def reopen(db: Database, periods: Iterable[str]) -> None:
    """Discard the rollups of periods whose views were added or removed.

    Processes notice it at their next `ClosedPeriods.refresh`.
    """
    # Months last: a process that finds a month reopened finds all its days reopened, too.
    for period in sorted(periods, key=len, reverse=True):
        fresh = {"_id": period, "stamp": _STAMPS.fresh()}
        await rollups(db).replace_one({"_id": period}, fresh, upsert=True)
    stamp = {"$set": {"stamp": _STAMPS.fresh()}}
    await rollups(db).update_one({"_id": REOPENED}, stamp, upsert=True)


async def reopen_stamp(db: Database, id_: str = REOPENED) -> str | None:
    """Return the stamp of the last reopening of a period, by default of any; None for none."""
    found = await rollups(db).find_one({"_id": id_}, {"stamp": 1})
    return None if found is None else found.get("stamp")


async def close_period(
    db: Database, period: str, breakdown: Breakdown, now: datetime, *, stamp: str | None = None
) -> bool:
    """Store the rollup of a period that is over.

    Args:
        db: The database.
        period: The id of a day or month.
        breakdown: The sums of all its views.
        now: The instant to store as that of closing.
        stamp: What `reopen_stamp` returned for the period before its views were read.

    Returns:
        False if the period was closed or reopened in the meantime.
    """
    build = secrets.token_hex(4)
    # Listed before this build can become current: a build that starts later may become current
    # after the period is reopened, so its rows must stay.
    older = [row["_id"] async for row in rollups(db).find(_rows_of(f"{period}/"), {"_id": 1})]
    pages = sorted(breakdown.pages)
    rows = [
        {"_id": _page_row(period, build, number), **breakdown.pages[page].to_document()}
        for number, page in enumerate(pages)
    ]
    for start in range(0, len(rows), CHUNK):
        await rollups(db).insert_many(rows[start : start + CHUNK])
    total = breakdown.total
    document = {
        "build": build,
        "closedAt": now,
        **_summary(total),
        **total.to_document(),
        "users": breakdown.users.to_bytes(),
        # Hours are never merged with others, so their sketches are not stored.
        "hours": [
            {"hour": hour, **_summary(tally)} for hour, tally in sorted(breakdown.hours.items())
        ],
        "pages": pages,
        "pageCounts": [list(breakdown.pages[page].counts.values()) for page in pages],
    }
    done = await _store(db, period, document, stamp)
    unused = older if done else [row["_id"] for row in rows]
    for start in range(0, len(unused), CHUNK):
        await rollups(db).delete_many({"_id": {"$in": unused[start : start + CHUNK]}})
    return done


async def _store(db: Database, period: str, document: Document, stamp: str | None) -> bool:
    if stamp is not None:
        update = fenced(stamp, _STAMPS.fresh(), values=document)
        return bool((await rollups(db).update_one({"_id": period}, update)).modified_count)
    try:
        await rollups(db).insert_one({"_id": period, **document})
    except DuplicateKeyError:
        return False
    return True


async def read_breakdown(db: Database, period: str) -> Breakdown | None:
    """Return a closed period with all its pages, without its hours; None if it was reopened."""
    document = await rollups(db).find_one({"_id": period})
    if document is None or "build" not in document:
        return None
    found = Breakdown()
    found.total.merge_document(document)
    found.users.merge_bytes(document["users"])
    of_pages = _rows_of(f"{period}/{document['build']}/")
    rows = {row["_id"]: row async for row in rollups(db).find(of_pages)}
    if len(rows) < len(document["pages"]):  # reopened, and closed again, just now
        return None
    for number, page in enumerate(document["pages"]):
        found.pages[page] = tally = Tally()
        tally.merge_document(rows[_page_row(period, document["build"], number)])
    return found


async def read_periods(
    db: Database, periods: Iterable[str], fields: Iterable[str]
) -> dict[str, RollupDocument]:
    """Return some fields of those periods that are closed, by their ids."""
    found = await _by_id(db, list(periods), dict.fromkeys(("build", *fields), 1))
    closed = (cast("RollupDocument", document) for document in found if "build" in document)
    return {document["_id"]: document for document in closed}


def page_counts(period: RollupDocument) -> Iterable[tuple[str, ViewCounts]]:
    """Return the pages of a period's document, each with its counts."""
    return zip(period["pages"], map(ViewCounts, period["pageCounts"]), strict=True)


async def read_pages(
    db: Database, periods: Iterable[Mapping[str, Any]], pages: set[str]
) -> dict[str, Tally]:
    """Return the tallies of some pages over some periods.

    Args:
        db: The database.
        periods: Documents with the fields `_id`, `build` and `pages`.
        pages: Names of pages; one that no period has gets an empty tally.
    """
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
        filter_ = {"_id": {"$in": ids[start : start + CHUNK]}}
        found += await rollups(db).find(filter_, fields).to_list(None)
    return found
