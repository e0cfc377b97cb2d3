"""A session that is left and joined again, by one client a hundred times or by two thousand
at once after a crash: nothing is lost but what was not tracked, nothing is counted twice.
"""

import asyncio
import json
import random
import resource
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymongo
import pytest
from bson import ObjectId

from benchmarks.load import Client, connect_all
from models.sessions.session import NewSession, ended_fields, new_document
from tests.support.database_server import Database
from tests.support.live_server import LiveServer, running_server
from tests.support.raw_socket import CLOSE, frame, message, opened
from tests.support.socket_client import connected, new_session

RECONNECTS = 100
SOCKETS = 2_000
OLD_SESSIONS = 100_000
JOINED_WITHIN_S = 30.0
CROWD = "crowd"
NAME = "focusup_reconnects"


async def stretch(
    server: LiveServer, user: str, session: str, *, for_s: float, politely: bool
) -> tuple[float, float]:
    """One visit: the seconds it was tracked at least, and at most."""
    socket = await opened(server, user)
    sent_s = time.monotonic()
    await socket.send(message("start", sessionId=session, updates="none"))
    await socket.next_message("started")
    started_s = time.monotonic()
    await asyncio.sleep(for_s)
    left_s = time.monotonic()
    if not politely:
        socket.reset()
        return left_s - started_s, left_s - sent_s
    await socket.send(frame(b"\x03\xe8", CLOSE))
    await socket.closed()
    gone_s = time.monotonic()
    socket.end()
    return left_s - started_s, gone_s - sent_s


async def test_a_hundred_reconnects_lose_nothing(
    live_server: LiveServer, figures: Callable[..., None]
) -> None:
    user = uuid.uuid4().hex
    session = new_session(live_server, user)
    dice = random.Random(20)
    least_s = most_s = 0.0
    for _ in range(RECONNECTS):
        low_s, high_s = await stretch(
            *(live_server, user, session),
            for_s=dice.uniform(0.0, 0.04),
            politely=dice.random() < 0.5,
        )
        least_s, most_s = least_s + low_s, most_s + high_s
        await asyncio.sleep(dice.uniform(0.0, 0.01))
    async with connected(live_server, user) as client:
        began_s = time.monotonic()
        resumed = await client.start(session)
        assert resumed["resumed"] is True
        first = (await client.next("tick"))["elapsedSeconds"]
        growing_s = time.monotonic()
        grown = [(await client.next("tick"))["elapsedSeconds"] for _ in range(5)]
        growing_s = time.monotonic() - growing_s
        ended = (await client.ask("stop", "stopped"))["session"]
        stayed_s = time.monotonic() - began_s
    figures(tracked_s=(least_s + most_s) / 2 + stayed_s, booked=ended["elapsedSeconds"])
    # A ticker left behind by any visit would add a second a second.
    assert grown == list(range(first + 1, first + 6))
    assert growing_s == pytest.approx(5, abs=0.3)
    assert least_s + stayed_s - 1 <= ended["elapsedSeconds"] <= most_s + stayed_s + 1


@pytest.fixture
def _many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard > 2 * SOCKETS, "raise ulimit -n"
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def documents(count: int, *, ended: bool) -> Iterator[list[dict[str, Any]]]:
    """Sessions as they are stored, a thousand at a time."""
    now = datetime.now(UTC) - timedelta(days=30 if ended else 0)
    for at in range(0, count, 1000):
        batch = []
        for number in range(at, at + 1000):
            user = f"old{number % 500}" if ended else CROWD
            id_ = ObjectId()
            fresh = new_document(user, NewSession(), stamp=f"test.{id_}", now=now)
            if ended:
                fresh |= {"activeSeconds": 60, "elapsedSeconds": 60, "startedAt": now}
                fresh |= ended_fields(fresh, "completed", now + timedelta(minutes=2))
            batch.append({"_id": id_, **fresh})
        yield batch


def insert(sessions: Any, count: int, *, ended: bool) -> list[ObjectId]:
    ids = []
    for batch in documents(count, ended=ended):
        ids += sessions.insert_many(batch).inserted_ids
    return ids


async def crowd(server: LiveServer, ids: list[ObjectId]) -> tuple[list[Client], float]:
    """A socket for each of these sessions, all at once; the seconds until all had joined."""
    path = f"/ws/sessions?token={server.token(CROWD)}"
    starts = [json.dumps({"type": "start", "sessionId": str(id_)}).encode() for id_ in ids]
    clients = [Client(path, start) for start in starts]
    port = urlsplit(server.url).port
    assert port is not None
    began_s = time.monotonic()
    await connect_all(port, clients, over_s=0, within_s=2 * JOINED_WITHIN_S)
    return clients, time.monotonic() - began_s


@pytest.mark.xdist_group("load")
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("_many_descriptors")
async def test_two_thousand_sockets_come_back_after_a_crash(
    tmp_path: Path, database: Database, figures: Callable[..., None]
) -> None:
    settings = {"MONGODB_URI": database.uri, "MONGODB_DATABASE": NAME}
    mongo: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(database.uri)
    sessions = mongo[NAME]["sessions"]
    limit = str(2 * SOCKETS)
    with mongo, running_server(tmp_path, MAX_SOCKETS_PER_USER=limit, **settings) as server:
        await asyncio.to_thread(insert, sessions, OLD_SESSIONS, ended=True)
        ids = await asyncio.to_thread(insert, sessions, SOCKETS, ended=False)
        clients, first_s = await crowd(server, ids)
        await asyncio.sleep(3)
        killed_s = time.monotonic()
        due = sum(int(killed_s - client.started_s) for client in clients)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        kept = counted(sessions)
        clients, again_s = await crowd(server, ids)
        await asyncio.sleep(3)
        at_least = sum(int(time.monotonic() - client.started_s) for client in clients)
        for client in clients:
            client.close()
        await asyncio.to_thread(server.stop)
        total = counted(sessions)
    figures(joined_s=first_s, joined_again_s=again_s, due=due, kept=kept, at_the_end=total)
    assert again_s <= JOINED_WITHIN_S
    assert kept >= due - SOCKETS  # a crash costs each session a second at most
    assert at_least <= total - kept <= at_least + 2 * SOCKETS


def counted(sessions: Any) -> int:
    """The booked seconds of the crowd."""
    return sum(found["elapsedSeconds"] for found in sessions.find({"userId": CROWD}))
