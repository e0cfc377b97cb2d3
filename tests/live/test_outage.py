"""The database hangs or dies under a tracked session: nothing is lost, nothing doubled."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.live_server import LiveServer, running_server
from tests.support.socket_client import connected, new_session, stored


@pytest.fixture(autouse=True)
def embedded_only() -> None:
    if os.environ.get("MONGODB_TEST_URI"):
        pytest.skip("stops the embedded database")


def signal_database(server: LiveServer, number: int) -> None:
    os.kill(int((server.data_dir / "secantusdb.pid").read_text()), number)


async def test_a_database_that_hangs_for_8_s(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        session = new_session(server)
        async with connected(server) as client:
            await client.start(session)
            began_s = time.monotonic()
            await client.next("tick")
            signal_database(server, signal.SIGSTOP)
            hanging = asyncio.get_running_loop().call_later(
                8, signal_database, server, signal.SIGCONT
            )
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
