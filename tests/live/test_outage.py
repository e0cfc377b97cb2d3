"""The database hangs or dies under a tracked session: nothing is lost, nothing doubled."""

import asyncio
import signal
import time
from pathlib import Path

from tests.support.live_server import running_server
from tests.support.outage import server_and_hang, signal_database
from tests.support.requirements import embedded_only
from tests.support.socket_client import connected, new_session, stored


async def test_a_database_that_hangs_for_8_s(tmp_path: Path) -> None:
    with server_and_hang(tmp_path) as (server, hang):
        session = new_session(server)
        async with connected(server) as client:
            await client.start(session)
            began_s = time.monotonic()
            await client.next("tick")
            hang.begin()
            hanging = asyncio.get_running_loop().call_later(8, hang.end)
            degraded = await client.next("degraded", within_s=9)
            assert degraded["serverTime"].endswith("Z")
            ticks = [m["elapsedSeconds"] for m in client.heard if m["type"] == "tick"]
            assert ticks == list(range(1, len(ticks) + 1))  # counting went on
            await client.next("recovered", within_s=15)
            await client.send("activity")
            due = int(time.monotonic() - began_s)
            hanging.cancel()
            stopped = await client.ask("stop", "stopped")
        assert [m["type"] for m in client.heard].count("degraded") == 1
        ended = stopped["session"]
        assert ended["elapsedSeconds"] in (due, due + 1)
        assert (ended["idleSeconds"], ended["awaySeconds"]) == (0, 0)
        assert stored(server, session) == ended


async def test_a_database_that_is_killed_under_way(tmp_path: Path) -> None:
    embedded_only("kills its process")
    with running_server(tmp_path) as server:
        session = new_session(server)
        async with connected(server) as client:
            await client.start(session)
            began_s = time.monotonic()
            for _ in range(3):
                await client.next("tick")
                signal_database(server, signal.SIGKILL)
                await asyncio.sleep(1.5)
            stopped = await client.ask("stop", "stopped")
            due = int(time.monotonic() - began_s)
        ended = stopped["session"]
        assert ended["elapsedSeconds"] in (due - 1, due)
        assert ended["awaySeconds"] == 0
        assert stored(server, session) == ended
