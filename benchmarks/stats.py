"""What a learner's statistics cost as their history grows: `python -m benchmarks stats`.

A fresh embedded database gets, for each number N of `--sessions`, one person with N ended
sessions of 25 minutes and ten runs each, at `--per-day` a day up to now; and 200 others with
50 sessions each. Over HTTP each question is asked `--times` times. Beside ours, the naive
way: to read every session of the person at each request. Told apart: the first reading of
all, for which nothing is remembered; and how long a reading holds up the event loop, on
which the counting runs too.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx
from motor.motor_asyncio import AsyncIOMotorClient

from benchmarks.metrics import percentile, timed
from benchmarks.servers import SECRET, running
from models.accounts.settings import Learner
from models.sessions.past_sessions import past_session
from models.sessions.queries import new_id
from models.sessions.session import NewSession, ended_fields
from models.study import day_cache
from models.study.day_cache import DayCache
from models.tokens.access_tokens import TokenAuthority
from scoring.timeline import SECOND_US, Kind, Run

AIMS_MS = {5_000: 50, 50_000: 300}
OTHERS, OTHERS_SESSIONS = 200, 50
CHUNK = 2_000
QUESTIONS = {
    "stats": "/api/stats/me",
    "400 days": "/api/stats/me/series?from={since}&to={to}",
    "hours of the week": "/api/stats/me/series?by=hourOfWeek&from={since}&to={to}",
    "contents": "/api/stats/me/series?by=content&from={since}&to={to}",
    "calendar": "/api/stats/me/calendar",
}

Row = dict[str, Any]


def sessions_of(
    user: str, count: int, per_day: int, now: datetime, chance: Random
) -> Iterator[Row]:
    """The last one ended an hour ago."""
    step = timedelta(days=1) / per_day
    for number in range(count):
        began = now - timedelta(hours=1.5) - step * (count - 1 - number)
        runs: list[Run] = []
        at_us = 0
        for part in range(10):
            seconds = chance.randrange(20, 280) if part % 2 == 0 else chance.randrange(1, 20)
            runs.append(Run(Kind(part % 2), at_us, seconds * SECOND_US))
            at_us += seconds * SECOND_US
        body = NewSession(
            content_id=f"chapter-{chance.randrange(40)}",
            tags=[f"tag-{chance.randrange(10)}"],
            time_zone="Europe/Berlin",
        )
        document = past_session(
            user,
            body,
            runs,
            session_id=new_id(began),
            created_at=began,
            started_at=began,
            stamp="bench.1",
        )
        end = began + timedelta(microseconds=at_us)
        yield document | ended_fields(document, "completed", end)


async def fill(db: Any, rows: Iterator[Row]) -> None:
    chunk: list[Row] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            await db.sessions.insert_many(chunk, ordered=False)
            chunk = []
    if chunk:
        await db.sessions.insert_many(chunk, ordered=False)


async def longest_stall_ms(work: Callable[[], Awaitable[object]]) -> float:
    """How long the event loop did nothing else meanwhile."""
    longest = 0.0
    over = False

    async def watch() -> None:
        nonlocal longest
        before = time.perf_counter()
        while not over:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now

    watching = asyncio.create_task(watch())
    await work()
    over = True
    await watching
    return longest * 1000


async def measure(count: int, per_day: int, times: int) -> dict[str, list[float]]:
    user, chance, taken = "learner", Random(7), {}
    learner = Learner(user, "Europe/Berlin", ())
    with running("ours") as server:
        client: AsyncIOMotorClient[Row] = AsyncIOMotorClient(server.mongodb_uri, tz_aware=True)
        db = client["focusup"]
        now = datetime.now(UTC)
        for other in range(OTHERS):
            await fill(db, sessions_of(f"other-{other}", OTHERS_SESSIONS, 1, now, chance))
        await fill(db, sessions_of(user, count, per_day, now, chance))
        months = DayCache(db)
        taken["the first reading of all"] = [
            await timed(lambda: months.read(learner, datetime.now(UTC)))
        ]
        taken["event loop held up"] = [
            await longest_stall_ms(lambda: months.read(learner, datetime.now(UTC)))
            for _ in range(10)
        ]
        token, _ = TokenAuthority(SECRET, 86_000).issue(user, now=datetime.now(UTC))
        headers = {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{server.port}"
        to = (now + timedelta(days=1)).date()
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as http:
            for name, path in QUESTIONS.items():
                wanted = path.format(since=to - timedelta(days=400), to=to)

                async def ask(wanted: str = wanted) -> None:
                    (await http.get(wanted)).raise_for_status()

                taken[name] = [await timed(ask) for _ in range(times)]

        async def naive() -> None:
            await db[day_cache.COLLECTION].delete_many({})
            await Forgetful(db).read(learner, datetime.now(UTC))

        taken["naive: all sessions read"] = [await timed(naive) for _ in range(5)]
        client.close()
    return taken


class Forgetful(DayCache):
    """Reads every session and remembers nothing."""

    async def _keep(self, *_: Any) -> None:
        return


def main(options: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks stats", description=__doc__)
    parser.add_argument("--sessions", type=int, nargs="+", default=[500, 5_000, 50_000])
    parser.add_argument("--per-day", type=int, default=25)
    parser.add_argument("--times", type=int, default=60)
    given = parser.parse_args(options)
    for count in given.sessions:
        results = asyncio.run(measure(count, given.per_day, given.times))
        aim_ms = AIMS_MS.get(count)
        print(f"{count:,} sessions" + (f" (aim: p95 {aim_ms} ms)" if aim_ms else ""))
        for name, values in results.items():
            p50, p95 = percentile(values, 0.5), percentile(values, 0.95)
            print(f"  {name:<28} p50 {p50:>8.1f}  p95 {p95:>8.1f} ms", flush=True)
        naive = percentile(results["naive: all sessions read"], 0.5)
        print(f"  naive / ours {naive / percentile(results['stats'], 0.5):.1f}")
