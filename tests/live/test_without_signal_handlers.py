"""Windows' event loop takes no signal handlers: the server stops cleanly all the same.

Played here by a loop that refuses them as that one does, and by a signal of this system in
the place of SIGBREAK (Ctrl-Break, or the window that is closed).
"""

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live_server import LiveServer
from tests.support.socket_client import connected, new_session, stored

SITE = """
import asyncio, signal
import focusup.serving

class LikeOnWindows(asyncio.SelectorEventLoop):
    def add_signal_handler(self, sig, callback, *args):
        print("no handler for", sig, flush=True)
        raise NotImplementedError

signal.SIGBREAK = signal.SIGUSR1
focusup.serving.loop_factory = lambda: LikeOnWindows
"""
if sys.platform == "win32":
    pytest.skip("there, every other test does this", allow_module_level=True)


class WindowsServer(LiveServer):
    """Started as ever, on that loop."""

    COMMAND = (sys.executable, "-c", f"{SITE}\nfrom focusup.cli import main; main()")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WindowsServer]:
    server = WindowsServer(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.stop()
    assert "no handler for" in server.log()
    assert "Traceback" not in server.log(), server.log()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1, signal.SIGTERM])
async def test_every_second_is_written(server: WindowsServer, number: signal.Signals) -> None:
    sessions = [new_session(server, f"user{n}") for n in range(3)]
    async with (
        connected(server, "user0") as one,
        connected(server, "user1") as two,
        connected(server, "user2") as three,
    ):
        clients = (one, two, three)
        for client, session in zip(clients, sessions, strict=True):
            await client.start(session)
        began_s = time.monotonic()
        await asyncio.sleep(3.3)
        ending = asyncio.create_task(asyncio.to_thread(server.end_by, number))
        assert [await client.closed() for client in clients] == [1012] * 3
        lived_s = time.monotonic() - began_s
        assert await ending == 0
    told = [client.heard[-1]["elapsedSeconds"] for client in clients]
    await asyncio.to_thread(server.start)
    for number_, session in enumerate(sessions):
        found = stored(server, session, f"user{number_}")
        assert max(3, told[number_]) <= found["elapsedSeconds"] <= lived_s
