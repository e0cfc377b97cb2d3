"""Stopping, being killed, and coming back: what was counted is there, and goes on."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

from tests.support.live_server import LiveServer, running_server
from tests.support.requirements import mongodb_test_uri
from tests.support.socket_client import connected, new_session, stored

TAKEN_FOR_DEAD_S = 12.0
"""How long a server may be silent to the others before its sessions are not tracked."""


async def started(server: LiveServer) -> None:
    await asyncio.to_thread(server.start)


async def test_sigterm_writes_every_second_and_closes_with_1012(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        stack = AsyncExitStack()
        sessions = [new_session(server, f"user{n}") for n in range(20)]
        clients = []
        for number, session in enumerate(sessions):
            client = await stack.enter_async_context(connected(server, f"user{number}"))
            await client.start(session)
            clients.append(client)
        await asyncio.sleep(3.3)
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        assert [await client.closed() for client in clients] == [1012] * 20
        assert await stopping == 0
        await stack.aclose()
        told = [client.heard[-1]["elapsedSeconds"] for client in clients]
        await started(server)
        for number, session in enumerate(sessions):
            found = stored(server, session, f"user{number}")
            assert found["elapsedSeconds"] in (3, 4)
            assert found["elapsedSeconds"] >= told[number]
            assert (found["tracked"], found["status"]) == (False, "active")


async def test_a_session_survives_kill_9_and_goes_on(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        session = new_session(server)
        began_s = time.monotonic()
        async with connected(server) as client:
            await client.start(session)
            await asyncio.sleep(3.6)
            counted = client.heard[-1].get("elapsedSeconds", 0)
            await asyncio.to_thread(server.kill)
        await started(server)
        found = stored(server, session)
        if mongodb_test_uri():
            # The former process might be another server that lives: it is given time to say so.
            async with asyncio.timeout(TAKEN_FOR_DEAD_S):
                while found["tracked"]:
                    await asyncio.sleep(0.2)
                    found = stored(server, session)
        assert found["tracked"] is False
        assert found["elapsedSeconds"] >= max(counted - 1, 2)
        async with connected(server) as client:
            assert (await client.start(session))["resumed"] is True
            await client.next("tick")
            ended = (await client.ask("stop", "stopped"))["session"]
        life_s = time.monotonic() - began_s
        assert ended["elapsedSeconds"] == found["elapsedSeconds"] + 1
        whole = ended["elapsedSeconds"] + ended["pausedSeconds"] + ended["awaySeconds"]
        assert life_s - 1.5 <= whole <= life_s


async def test_ctrl_c_in_the_terminal_stops_the_database_last(tmp_path: Path) -> None:
    """The terminal signals the whole process group; the child must outlive the writing."""
    with running_server(tmp_path) as server:
        session = new_session(server)
        async with connected(server) as client:
            await client.start(session)
            await client.next("tick")
            await asyncio.to_thread(server.interrupt)
            assert await client.closed() == 1012
        await started(server)
        assert stored(server, session)["elapsedSeconds"] >= 1


async def test_who_comes_back_is_told_how_long_nobody_was_there(
    live_server: LiveServer, user: str
) -> None:
    session = new_session(live_server, user)
    async with connected(live_server, user) as client:
        await client.start(session)
        await asyncio.sleep(1.3)
    left_at = time.monotonic()
    await asyncio.sleep(2.4)
    async with connected(live_server, user) as client:
        told = (await client.start(session))["session"]
        away_s = time.monotonic() - left_at
        assert told["elapsedSeconds"] == 1
        assert away_s - 1 <= told["awaySeconds"] <= away_s
        tick = await client.next("tick")
        now = stored(live_server, session, user)
        assert now["awaySeconds"] == told["awaySeconds"]
        assert now["elapsedSeconds"] >= tick["elapsedSeconds"] == 2
