"""What statistics of page views cost: `python -m benchmarks page_stats`.

An embedded database is filled with views spread evenly over a year, as many as `--views`
says (the defaults are 10,000 and 100,000; 1,000,000 takes some minutes). Closing the days
that are over is timed, then each question is asked `--rounds` times, with what is read
from the open days dropped beforehand (`first`) and kept (`p50`, `p95`: as a dashboard that
asks every five seconds has it). `longest` is how long a question held the event loop up,
on which the counting runs too.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase

from focusup.database import open_database
from models.base.indexes import ensure_indexes
from models.page_statistics.day_tally import DAY
from models.page_statistics.reports import PagesQuery, StatsRange
from models.page_statistics.rollup_job import ClosedPeriods
from models.page_statistics.statistics import FRESH_FOR, PageStats
from models.page_statistics.visitor_statistics import Reader, VisitorQuery, VisitorStats
from models.pageviews import page_view, visitors
from models.pageviews.page_view import new_view

TODAY = date(2026, 3, 20)
NOW = datetime(2026, 3, 20, 15, tzinfo=UTC)
YEAR = timedelta(days=365)
BATCH = 1000
Database = AsyncIOMotorDatabase[dict[str, Any]]
Question = Callable[[datetime], Awaitable[object]]


def a_view(chance: random.Random, at: datetime, pages: int, people: int) -> dict[str, Any]:
    """One that has ended; few pages are viewed most."""
    visible = min(int(chance.expovariate(1 / 90)), 7200) if chance.random() < 0.9 else 0
    begun = new_view(
        view_id=ObjectId(),
        visitor_id=f"{chance.randrange(people):032x}",
        user_id=None,
        browser_session_id=ObjectId(),
        page=f"/page/{int(pages * chance.random() ** 3)}",
        params={"article": chance.randrange(1000)},
        title="The title of a page",
        previous_view_id=None,
        source="socket",
        coefficient=1.0,
        visible=True,
        stamp="bench.1",
        owner=None,
        now=at,
    )
    counted = {"visibleSeconds": visible, "engagedSeconds": int(visible * chance.random())}
    ended_at = at + timedelta(seconds=visible)
    return {**begun, **counted, "status": "ended", "endedAt": ended_at, "lastBookedAt": ended_at}


async def fill(db: Database, views: int, pages: int) -> None:
    chance, people = random.Random(1), max(views // 50, 1)
    started = [NOW - YEAR * (number / views) for number in range(views)]
    for first in range(0, views, BATCH):
        part = started[first : first + BATCH]
        documents = [a_view(chance, at, pages, people) for at in part]
        await db[page_view.COLLECTION].insert_many(documents)
    for first in range(0, people, BATCH):
        known = [
            {"_id": f"{n:032x}", "userId": None, "firstSeenAt": NOW - YEAR, "lastSeenAt": NOW}
            for n in range(first, min(first + BATCH, people))
        ]
        await db[visitors.VISITORS].insert_many(known)


class Held:
    """How long the event loop was held up at most."""

    def __init__(self) -> None:
        self.longest_ms = 0.0

    async def run(self) -> None:
        while True:
            before_s = time.perf_counter()
            await asyncio.sleep(0.001)
            self.longest_ms = max(self.longest_ms, (time.perf_counter() - before_s) * 1000 - 1)


async def ask(name: str, question: Question, rounds: int) -> None:
    held, times_ms = Held(), []
    watching = asyncio.create_task(held.run())
    for number in range(rounds + 1):
        began_s = time.perf_counter()
        await question(NOW + number * FRESH_FOR)
        times_ms.append((time.perf_counter() - began_s) * 1000)
        await asyncio.sleep(0.01)
    watching.cancel()
    cuts = quantiles(times_ms[1:], n=20)
    print(
        f"  {name:<42} first {times_ms[0]:6.1f}   p50 {cuts[9]:6.1f}   p95 {cuts[18]:6.1f}"
        f"   longest {held.longest_ms:5.1f} ms",
        flush=True,
    )


async def measure(db: Database, views: int, pages: int, rounds: int) -> None:
    indexes = {**visitors.INDEXES, page_view.COLLECTION: page_view.INDEXES}
    await ensure_indexes(db, indexes)
    began_s = time.perf_counter()
    await fill(db, views, pages)
    print(f"{views:,} views of {pages:,} pages, filled in {time.perf_counter() - began_s:.0f} s")

    def is_alive(_: str) -> bool:
        return False

    began_s = time.perf_counter()
    closing = ClosedPeriods(db, is_alive=is_alive, pause_s=0)
    closed = await closing.close_due(lambda: NOW)
    took_s = time.perf_counter() - began_s
    print(
        f"  closing {closed} days and months: {took_s:.1f} s, {took_s / closed * 1000:.0f} ms each"
    )

    def fresh() -> PageStats:
        return PageStats(db, ClosedPeriods(db, is_alive=is_alive), is_alive=is_alive)

    def of_pages(days: int, **fields: Any) -> Question:
        stats, to = fresh(), TODAY + DAY
        query = PagesQuery(from_=to - days * DAY, to=to, **fields)
        return lambda now: stats.pages(query, now)

    ragged = PagesQuery(from_=date(2025, 4, 2), to=date(2026, 3, 31))
    at_most = ragged.model_copy(update={"limit": 100})
    users, yearly = fresh(), StatsRange(from_=TODAY - 364 * DAY, to=TODAY + DAY)
    one = VisitorStats(db, is_alive=is_alive)
    some = [f"{n:032x}" for n in range(10)]
    ragged_stats, at_most_stats = fresh(), fresh()
    for name, question in (
        ("pages, 30 days", of_pages(30)),
        ("pages, 30 days, 100 rows", of_pages(30, limit=100)),
        ("pages, 7 days by hour", of_pages(7, by="hour")),
        ("pages, 31 days by hour", of_pages(31, by="hour")),
        ("pages, a year", lambda now: ragged_stats.pages(ragged, now)),
        ("pages, a year, 100 rows", lambda now: at_most_stats.pages(at_most, now)),
        ("users, a year", lambda now: users.users(yearly, now)),
    ):
        await ask(name, question, rounds)

    async def visitor(now: datetime) -> object:
        visitor_id = some[int(now.timestamp()) // 5 % len(some)]
        return await one(visitor_id, VisitorQuery(), Reader(is_admin=True), now)

    await ask("one visitor", visitor, rounds)


async def run(views: int, pages: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        opened = await open_database(uri=None, name="bench", data_dir=Path(directory))
        try:
            await measure(opened.db, views, pages, rounds)
        finally:
            await opened.close()


def main(options: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks page_stats", description=__doc__)
    parser.add_argument("--views", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=40)
    given = parser.parse_args(options)
    for views in given.views:
        asyncio.run(run(views, given.pages, given.rounds))
