"""What the admin's dashboard costs as its data grows: `python -m benchmarks metrics`.

For each number N of `--rows`: a fresh embedded database gets N visits, N events, a fifth as
many ended focus sessions and a fiftieth as many users, spread over 180 days, in the order
in which they would have come. Then each metric is read `--times` times, all of them in
turn, straight from the database; and the answers of the routes over HTTP. The first reading
ever, for which nothing is remembered, is told apart. Aim: p95 of 150 ms at most.
"""

import argparse
import asyncio
import itertools
import secrets
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient

from benchmarks.servers import SECRET, running
from models.accounts import user_directory
from models.accounts.user_directory import UsersQuery, list_users
from models.activity import events, presence, visits
from models.admin.dashboard import Dashboard
from models.admin.session_metrics import focus_metrics
from models.base import incremental_counts
from models.sessions.session import NewSession, ended_fields, new_document
from models.tokens.access_tokens import TokenAuthority
from scoring.utc_days import day_of, days_between, last_days, last_months

DAYS = 180
CHUNK = 5000
AIM_MS = 150
SESSIONS, USERS = 5, 50
"""One session for so many visits; one user for so many."""
ROUTES = ("/api/admin/metrics", "/api/admin/metrics/sessions", "/api/admin/users")

Row = dict[str, Any]
Read = Callable[[], Awaitable[object]]
Made = Iterable[tuple[str, Iterator[Row]]]


def instants(count: int, now: datetime) -> Iterator[datetime]:
    """So many, evenly over the days, the last one just now."""
    step = timedelta(days=DAYS) / count
    return (now - step * (count - number) + step for number in range(count))


def made(count: int, now: datetime, chance: Random) -> Made:
    """Every collection to be filled, and its rows. Further kinds of rows go here."""
    users = [f"user-{number}" for number in range(count // USERS)]
    yield visits.COLLECTION, (visit(at, now, chance) for at in instants(count, now))
    yield events.COLLECTION, (event(at, chance, users) for at in instants(count, now))
    ends = instants(count // SESSIONS, now)
    yield "sessions", (session(at, chance, users) for at in ends)
    seen = zip(users, instants(len(users), now), strict=True)
    yield presence.COLLECTION, ({"_id": user, "last_seen_at": at} for user, at in seen)
    firsts = zip(users, instants(len(users), now), strict=True)
    yield user_directory.COLLECTION, ({"_id": user, "first_seen_at": at} for user, at in firsts)


def visit(at: datetime, now: datetime, chance: Random) -> Row:
    last = min(now, at + timedelta(minutes=chance.expovariate(1 / 20)))
    return {
        "_id": secrets.token_hex(16),
        "first_seen_at": at,
        "last_seen_at": last,
        "day_seen_at": max(at, day_of(last).since),
        "ip_hash": secrets.token_hex(16),
        "ua_hash": secrets.token_hex(16),
    }


def event(at: datetime, chance: Random, users: list[str]) -> Row:
    (type_,) = chance.choices(("login", "signup", "app_open", "action"), (3, 1, 4, 8))
    name = "open_chapter" if type_ == "action" else None
    fields = {"event_type": type_, "action_name": name, "user_id": chance.choice(users)}
    return {"_id": ObjectId(), **fields, "created_at": at}


def session(at: datetime, chance: Random, users: list[str]) -> Row:
    began = at - timedelta(minutes=25)
    body = NewSession(content_id=f"chapter-{chance.randrange(300)}")
    document = new_document(chance.choice(users), body, stamp="bench.1", now=began)
    active = chance.randrange(1500)
    counters = {"elapsedSeconds": 1500, "activeSeconds": active, "idleSeconds": 1500 - active}
    document |= {**counters, "startedAt": began}
    status = chance.choice(("completed", "completed", "abandoned", "cancelled"))
    return {"_id": ObjectId(), **document, **ended_fields(document, status, at)}


async def fill(db: Any, kinds: Made) -> None:
    for name, rows in kinds:
        while chunk := list(itertools.islice(rows, CHUNK)):
            await db[name].insert_many(chunk, ordered=False)
    # The server has remembered that these days, which are over, were empty.
    await db[incremental_counts.COLLECTION].delete_many({})


def metrics_of(db: Any) -> dict[str, Read]:
    """Each metric by itself. Those of further kinds of rows go here."""
    minutes = timedelta(minutes=1)

    def now() -> datetime:
        return datetime.now(UTC)

    def by_day(since: datetime) -> Awaitable[object]:
        return events.count_by_type(db, days_between(since, now()), now())

    return {
        "totalVisits": lambda: visits.count_ever(db, now()),
        "visitorsNow": lambda: visits.count_within(db, now(), 5 * minutes),
        "visitorsToday": lambda: visits.count_today(db, now()),
        "activeVisits": lambda: visits.count_within(db, now(), 10 * minutes),
        "activeUsersNow": lambda: presence.count_within(db, now(), 5 * minutes),
        "activityByDay, dailyActivity": lambda: by_day(last_days(now(), 7)[0].since),
        "monthlyLogins": lambda: by_day(last_months(now(), 6)[0].since),
        "focus sessions of seven days": lambda: focus_metrics(db, now(), tracked_now=0),
        "a page of users": lambda: list_users(db, UsersQuery(), now()),
    }


async def timed(read: Read) -> float:
    began_s = time.perf_counter()
    await read()
    return (time.perf_counter() - began_s) * 1000


async def measure(count: int, times: int) -> dict[str, list[float]]:
    """Milliseconds of each reading."""
    taken: dict[str, list[float]] = defaultdict(list)
    with running("ours") as server:
        client: AsyncIOMotorClient[Row] = AsyncIOMotorClient(server.mongodb_uri, tz_aware=True)
        db = client["focusup"]
        began_s = time.monotonic()
        await fill(db, made(count, datetime.now(UTC), Random(7)))
        print(f"\n{count:,} rows: filled in {time.monotonic() - began_s:.0f} s", flush=True)

        async def nothing() -> int:
            return 0

        dashboard = Dashboard(db, timedelta(minutes=5), timedelta(minutes=10), nothing)
        first_ms = await timed(lambda: dashboard.read(datetime.now(UTC)))
        print(f"the first reading ever, nothing remembered: {first_ms:,.0f} ms", flush=True)
        found = await dashboard.read(datetime.now(UTC))
        if found.total_visits != count:
            raise RuntimeError(f"{found.total_visits} visits were counted")
        token, _ = TokenAuthority(SECRET, 86_000).issue("a", role="admin", now=datetime.now(UTC))
        headers = {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as http:
            readings: dict[str, Read] = metrics_of(db)
            for route in ROUTES:

                async def ask(route: str = route) -> None:
                    (await http.get(route)).raise_for_status()

                readings[f"GET {route}"] = ask
            for _ in range(times):
                for name, read in readings.items():
                    taken[name].append(await timed(read))
        client.close()
    return taken


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def show(results: dict[int, dict[str, list[float]]]) -> None:
    sizes = list(results)
    head = "".join(f"{f'{size:,}: p50 / p95, ms':>32}" for size in sizes)
    print(f"\n{'':<34}{head}{'growth of p50':>18}")
    for name in results[sizes[0]]:
        line = f"{name:<34}"
        for size in sizes:
            taken = results[size][name]
            line += f"{percentile(taken, 0.5):>21.1f} / {percentile(taken, 0.95):>8.1f}"
        first, last = (percentile(results[size][name], 0.5) for size in (sizes[0], sizes[-1]))
        over = any(percentile(results[size][name], 0.95) > AIM_MS for size in sizes)
        print(f"{line}{last / first:>17.1f}x{'  over the aim' if over else ''}")


def main(options: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks metrics", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--million", action="store_true", help="and 1,000,000: some minutes")
    parser.add_argument("--times", type=int, default=40)
    given = parser.parse_args(options)
    sizes = sorted({*given.rows, *([1_000_000] if given.million else [])})
    show({size: asyncio.run(measure(size, given.times)) for size in sizes})
