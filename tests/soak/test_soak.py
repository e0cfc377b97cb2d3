"""Minutes of random faults on two servers and their database, while users come and go.

What must hold: no session drifts beyond the contract, exactly none without a fault of its
own and at most a second for each crash or takeover; and memory, descriptors and the size of
the database end as they were once all was warm.
"""

import asyncio
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.database_server import Database
from tests.support.figures import Figures
from tests.support.live_server import LiveServer
from tests.support.pair import pair
from tests.support.peer_watch import MEGABYTE
from tests.support.soak.users import User
from tests.support.soak.world import World

MINUTES = float(os.environ.get("SOAK_MINUTES", "15"))
SEED = int(os.environ.get("SOAK_SEED", "0")) or random.randrange(1, 1_000_000)
USERS = 40
WARM_UP_S = min(60.0, MINUTES * 60 / 4)
SETTINGS = {"MAX_SOCKETS_PER_USER": "100"}
GROWTH_MB = 16.0
DATABASE_GROWTH_MB = 64.0
EMPTIED_WITHIN_S = 5.0
DONE_WITHIN_S = 60.0
WORKERS = 8
"""Threads that executors may start when they are first needed."""


@dataclass
class Size:
    rss_mb: float
    tasks: int
    descriptors: int
    threads: int
    database_mb: float

    @classmethod
    def of(cls, server: LiveServer, database: Database) -> "Size":
        process = psutil.Process(server.pid)
        # The driver keeps its connections, so many as were ever needed at the same time.
        to_database = [
            each
            for each in process.net_connections()
            if each.raddr and each.raddr.port == database.port
        ]
        with server.rest(None) as rest:
            tasks = rest.get("/api/health").json()["tasks"]
        files = (path for path in database.directory.rglob("*") if path.is_file())
        return cls(
            rss_mb=process.memory_info().rss / MEGABYTE,
            tasks=tasks,
            descriptors=process.num_fds() - len(to_database),
            threads=process.num_threads(),
            database_mb=sum(path.stat().st_size for path in files) / MEGABYTE,
        )


async def emptied(server: LiveServer) -> None:
    """Until nobody is connected and nothing is tracked."""
    async with asyncio.timeout(EMPTIED_WITHIN_S):
        while True:
            with server.rest(None) as rest:
                health = (await asyncio.to_thread(rest.get, "/api/health")).json()
            if (health["sockets"], health["trackedSessions"]) == (0, 0):
                return
            await asyncio.sleep(0.1)


async def crowd(world: World, for_s: float) -> list[User]:
    """So many users, for so long and until each is done."""
    world.over.clear()
    users = [User(world, world.dice.randrange(1_000_000)) for _ in range(USERS)]
    living = asyncio.gather(*(user.live() for user in users))
    suffering = asyncio.create_task(world.suffer(for_s))
    both: list[asyncio.Future[Any]] = [living, suffering]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    world.over.set()
    try:
        async with asyncio.timeout(DONE_WITHIN_S):
            await living
        await suffering
    finally:
        suffering.cancel()
    return users


@pytest.mark.timeout(MINUTES * 60 + 240)
async def test_random_faults(tmp_path: Path, database: Database, figures: Figures) -> None:
    with pair(tmp_path, database, **SETTINGS) as both:
        world = World(both, database, random.Random(SEED))
        users = await crowd(world, WARM_UP_S)
        await emptied(both.b)
        warm = Size.of(both.b, database)
        users += await crowd(world, MINUTES * 60 - WARM_UP_S)
        await emptied(both.b)
        end = Size.of(both.b, database)
    accounts = [account for user in users for account in user.done]
    wrong = [line for user in users for line in user.wrong]
    figures(
        seed=SEED,
        faults=dict(world.faults),
        sessions=len(accounts),
        drift=sum(account.drift for account in accounts),
        crashes_and_takeovers=sum(account.faults for account in accounts),
        they_cost=sum(account.costs for account in accounts),
        uncertain_mean_s=sum(account.uncertain_s for account in accounts) / len(accounts),
        uncertain_most_s=max(account.uncertain_s for account in accounts),
        warm=vars(warm),
        end=vars(end),
    )
    assert not wrong, "\n".join(wrong)
    assert end.rss_mb - warm.rss_mb < GROWTH_MB
    assert end.tasks <= warm.tasks
    assert end.descriptors <= warm.descriptors
    assert end.threads - warm.threads <= WORKERS
    assert end.database_mb - warm.database_mb < DATABASE_GROWTH_MB
