"""Tallies of days and months that are over: collection `page_rollups`.

What must always hold: a period is *closed* when its document (`_id` "2026-11-20" or
"2026-11") names a build, whose rows (`_id` "period/build/number", a page each) belong to it.
That is written last, once, and not changed unless somebody `reopen`s the period, because
views of the past were added or removed. So a build that was cut off, that another process
did at the same time, or that was begun before the period was reopened, is seen by nobody.
Who closes removes the rows that were there before its own, none of which can win any more,
and who comes too late its own: nobody's that may still be under way.
"""

import secrets
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from models.base.compare_and_set import Stamps, fenced
from models.base.database import Collection, Database, Document, DuplicateKeyError
from models.pageviews.page_view import page_views
from scoring.tallies import Breakdown, Tally, ViewCounts
from scoring.utc_days import midnight

COLLECTION = "page_rollups"
FIRST = "first"
"""`_id` of the document that names the first day of all."""
REOPENED = "reopened"
"""`_id` of the document whose stamp changes when periods are reopened."""
CHUNK = 250
SUMMARY = ("counts", "visitorCount", "visibleMedian", "engagedMedian")
_STAMPS = Stamps()


def rollups(db: Database) -> Collection:
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


async def lower_first_day(db: Database, day: date) -> None:
    """There are views of this day now, perhaps before the first one of all."""
    known = await first_day(db)
    if known is None or day < known:
        await rollups(db).update_one(
            {"_id": FIRST}, {"$set": {"day": day.isoformat()}}, upsert=True
        )


async def find_closed(db: Database, periods: Iterable[str]) -> set[str]:
    """Those of these periods that are closed."""
    return set(await read_periods(db, periods, ()))


async def whole_days(db: Database, days: Iterable[date]) -> list[date]:
    """Those of these days that may be reopened: each view that they were closed with is
    still there."""
    whole = []
    for day in days:
        closed = (await read_periods(db, [day_id(day)], ("counts",))).get(day_id(day))
        span = {"$gte": midnight(day), "$lt": midnight(day) + timedelta(days=1)}
        there = await page_views(db).count_documents({"startedAt": span})
        if closed is None or ViewCounts(closed["counts"]).views <= there:
            whole.append(day)
    return whole


async def reopen(db: Database, periods: Iterable[str]) -> None:
    """Views of these periods were added or removed: they are to be tallied again. Servers
    hear of it when they look next."""
    # Months last: who sees one reopened sees all of its days so.
    for period in sorted(periods, key=len, reverse=True):
        fresh = {"_id": period, "stamp": _STAMPS.fresh()}
        await rollups(db).replace_one({"_id": period}, fresh, upsert=True)
    stamp = {"$set": {"stamp": _STAMPS.fresh()}}
    await rollups(db).update_one({"_id": REOPENED}, stamp, upsert=True)


async def reopened(db: Database, id_: str = REOPENED) -> str | None:
    """The stamp of the last reopening: of this period, or of any."""
    found = await rollups(db).find_one({"_id": id_}, {"stamp": 1})
    return None if found is None else found.get("stamp")


async def close_period(
    db: Database, period: str, breakdown: Breakdown, now: datetime, *, stamp: str | None = None
) -> bool:
    """Store the tallies of a period that is over. `stamp` is what `reopened` said of it
    before its views were read; False if it was closed or reopened since."""
    build = secrets.token_hex(4)
    # Read before this one can win: what is begun after it may win once it is reopened.
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
        # Hours are never added up, so nothing more is kept of them.
        "hours": [
            {"hour": hour, **_summary(tally)} for hour, tally in sorted(breakdown.hours.items())
        ],
        "pages": pages,
        "pageCounts": [list(breakdown.pages[page].counts.values()) for page in pages],
    }
    done = await _store(db, period, document, stamp)
    gone = older if done else [row["_id"] for row in rows]
    for start in range(0, len(gone), CHUNK):
        await rollups(db).delete_many({"_id": {"$in": gone[start : start + CHUNK]}})
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


async def read_whole(db: Database, period: str) -> Breakdown | None:
    """A closed period with all its pages, without its hours; None if it is reopened."""
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
) -> dict[str, Document]:
    """These fields of closed periods."""
    found = await _by_id(db, list(periods), dict.fromkeys(("build", *fields), 1))
    return {document["_id"]: document for document in found if "build" in document}


def page_counts(period: Mapping[str, Any]) -> Iterable[tuple[str, ViewCounts]]:
    """What the document of a period says of each of its pages."""
    return zip(period["pages"], map(ViewCounts, period["pageCounts"]), strict=True)


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
