"""The process stands still for a while, or the wall clock jumps.

What must hold: the seconds that fell due meanwhile are counted once, each active or idle
by its own due moment, and a client hears one tick for all of them and not one for each; a
jump of the wall clock, forth or back, changes no counted second, nor do the clocks of two
servers that differ.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import jwt
import pymongo
import pytest
from bson import ObjectId

from tests.support import jumping_clock
from tests.support.database_server import Database
from tests.support.figures import Figures
from tests.support.fleet import logged
from tests.support.live_server import LiveServer, running_server
from tests.support.pair import NAME, Visit, frozen
from tests.support.peer_watch import is_booked
from tests.support.server import SECRET
from tests.support.socket_client import SocketClient, connected, new_session

IDLE_AFTER_S = 2
HOUR_S = 3600
DAY_S = 24 * HOUR_S
PAUSE_S = 0.1

Ticks = list[tuple[float, int]]


# --- a process that stands still ------------------------------------------------------------


@pytest.mark.parametrize(("stall_s", "idle"), [(3, 1), (5, 3)], ids=str)
async def test_a_server_that_stands_still(
    tmp_path: Path, figures: Figures, stall_s: int, idle: int
) -> None:
    with running_server(tmp_path, IDLE_AFTER_SECONDS=str(IDLE_AFTER_S)) as server:
        session = new_session(server)
        async with connected(server) as client:
            visit = await Visit(client, session).begin()
            async with hearing(client) as ticks:
                await visit.mid_second(1)  # at 1.5 s
                await client.send("activity")
                await asyncio.sleep(0.1)
                with frozen(server):
                    await asyncio.sleep(stall_s / 2)
                    await client.send("activity")  # is read after the stall
                    await asyncio.sleep(stall_s / 2)
                thawed_s = time.monotonic()
                await visit.mid_second(1)
            least_s, _ = visit.lasted_s()
            ended = (await client.ask("stop", "stopped"))["session"]
    after = [(at_s, elapsed) for at_s, elapsed in ticks if at_s >= thawed_s]
    figures(tick_after_s=after[0][0] - thawed_s, ticks=[elapsed for _, elapsed in after])
    assert is_booked(ended["elapsedSeconds"], least_s, visit.lasted_s()[1])
    assert ended["awaySeconds"] == 0
    # 2 and 3 fell due within two seconds of the sign at 1.5 s, what came after them in the
    # stall did not, and the last two again did, after the sign that was read behind it.
    assert (ended["activeSeconds"], ended["idleSeconds"]) == (5, idle)
    assert [elapsed for _, elapsed in after] == [3 + idle, 4 + idle, 5 + idle]
    assert after[2][0] - after[1][0] == pytest.approx(1, abs=0.2)


@asynccontextmanager
async def hearing(client: SocketClient) -> AsyncIterator[Ticks]:
    """When each tick comes, and what it tells."""
    ticks: Ticks = []

    async def hear() -> None:
        while True:
            elapsed = (await client.next("tick"))["elapsedSeconds"]
            ticks.append((time.monotonic(), elapsed))

    listening = asyncio.create_task(hear())
    try:
        yield ticks
    finally:
        listening.cancel()
        await asyncio.wait([listening])


# --- a wall clock that jumps ----------------------------------------------------------------


class WallClock:
    """What a server takes for the time of day: the true one, and so many seconds more."""

    def __init__(self, directory: Path, ahead_s: int = 0) -> None:
        self._file = directory / "clock"
        self.jump(ahead_s)
        site = directory / "site"
        site.mkdir()
        shutil.copy(jumping_clock.__file__, site / "sitecustomize.py")
        self.settings = {jumping_clock.VARIABLE: str(self._file), "PYTHONPATH": str(site)}

    def jump(self, ahead_s: int) -> None:
        jumping_clock.write(self._file, ahead_s)


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S], ids=["forth", "back"])
async def test_the_wall_clock_jumps_by_an_hour(
    tmp_path: Path, database: Database, figures: Figures, jump_s: int
) -> None:
    clock = WallClock(tmp_path)
    with running_server(tmp_path, **on(database), **clock.settings) as server:
        session, left = new_session(server), new_session(server)
        token = server.token(ttl_s=DAY_S)
        async with connected(server, token=token) as client:
            visit = await Visit(client, session).begin()
            async with connected(server, token=token) as other:
                gone = await Visit(other, left).begin(updates="none")
                await visit.mid_second()
                clock.jump(jump_s)
                assert jumped(server) == pytest.approx(jump_s, abs=60)
                await gone.mid_second()
                gone_s = gone.lasted_s()
            told = [(await client.next("tick"))["elapsedSeconds"] for _ in range(3)]
            await client.ask("pause", "paused")
            await client.ask("resume", "resumed")
            await visit.mid_second()
            least_s, _ = visit.lasted_s()
            ended = (await client.ask("stop", "stopped"))["session"]
            most_s = visit.lasted_s()[1]
        with pymongo.MongoClient[dict[str, Any]](database.uri) as mongo:
            away = mongo[NAME]["sessions"].find_one({"_id": ObjectId(left)})
    assert away is not None
    figures(due=int(least_s), booked=ended["elapsedSeconds"], away=ended["awaySeconds"])
    assert told == [1, 2, 3]
    assert is_booked(ended["elapsedSeconds"], least_s - PAUSE_S, most_s)
    assert ended["activeSeconds"] == ended["elapsedSeconds"]
    assert (ended["pausedSeconds"], ended["awaySeconds"]) == (0, 0)
    assert is_booked(away["elapsedSeconds"], *gone_s)


def on(database: Database) -> dict[str, str]:
    return {"MONGODB_URI": database.uri, "MONGODB_DATABASE": NAME}


def jumped(server: LiveServer) -> float:
    """By how much the clock of the server differs from ours, by its answer to HTTP."""
    with server.rest(None) as rest:
        answer = rest.get("/api/health")
    return parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time()


@pytest.mark.parametrize("ahead_s", [HOUR_S, 60, -HOUR_S], ids=str)
async def test_a_server_whose_clock_differs(
    tmp_path: Path, database: Database, figures: Figures, ahead_s: int
) -> None:
    """It leaves alone what the other one tracks, and whose clock it is matters to nothing
    that is counted."""
    clock = WallClock(tmp_path, ahead_s)
    home = tmp_path / "other"
    home.mkdir()
    patient = {"ABANDON_AFTER_MINUTES": "0.5"}
    with (
        running_server(tmp_path, **on(database), **patient) as server,
        running_server(home, **on(database), **patient, **clock.settings) as other,
    ):
        session = new_session(server)
        async with connected(server) as client:
            visit = await Visit(client, session).begin()
            for _ in range(4):
                told = await client.next("tick", "stopped")
                assert told["type"] == "tick", told
            tracked = tracked_on(other, session)
            await visit.mid_second()
            least_s, _ = visit.lasted_s()
            ended = (await client.ask("stop", "stopped"))["session"]
        abandoned = logged(other, "session_abandoned")
    figures(due=int(least_s), booked=ended["elapsedSeconds"], away=ended["awaySeconds"])
    assert tracked is True
    assert abandoned == []
    assert (ended["status"], ended["awaySeconds"]) == ("completed", 0)
    assert is_booked(ended["elapsedSeconds"], least_s, visit.lasted_s()[1])


def tracked_on(server: LiveServer, session: str) -> bool:
    """What the server says whatever its clock shows: this token has no beginning."""
    claims = {"sub": "ada", "exp": time.time() + DAY_S}
    headers = {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}
    with server.rest(None) as rest:
        answer = rest.get(f"/api/sessions/{session}", headers=headers)
    assert answer.status_code == 200, answer.text
    return bool(answer.json()["session"]["tracked"])
