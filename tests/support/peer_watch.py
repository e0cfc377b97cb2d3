"""What the tests of peers watch a server by: who is tracked, its memory, a neighbour's ticks."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.support.live_server import LiveServer
from tests.support.socket_client import SocketClient, connected, new_session

POLL_S = 0.05
STORED_WITHIN_S = 1.0
MEGABYTE = 1024 * 1024


def process_of(server: LiveServer) -> psutil.Process:
    """The server itself, without its database."""
    return psutil.Process(server.pid)


def memory_mb(server: LiveServer) -> float:
    return float(process_of(server).memory_info().rss / MEGABYTE)


def sessions_of(server: LiveServer, user: str) -> dict[str, dict[str, Any]]:
    """All sessions of this user over REST, by id."""
    with server.rest(user) as rest:
        found = rest.get("/api/sessions", params={"limit": 100}).json()["sessions"]
    return {session["_id"]: session for session in found}


async def released(
    server: LiveServer, user: str, session_id: str, *, within_s: float, due: int = 0
) -> tuple[dict[str, Any], float]:
    """The session once it is untracked, and the seconds until it was seen so.

    What was due is stored within a second of that (rule 5), and is waited for.
    """
    began_s = time.monotonic()
    gone_s: float | None = None
    with server.rest(user) as rest:
        while True:
            answer = await asyncio.to_thread(rest.get, f"/api/sessions/{session_id}")
            found: dict[str, Any] = answer.json()["session"]
            now_s = time.monotonic()
            if gone_s is None and not found["tracked"]:
                gone_s = now_s
            if gone_s is None:
                assert now_s - began_s < within_s, f"still tracked after {now_s - began_s:.1f} s"
            elif found["elapsedSeconds"] >= due or now_s - gone_s > STORED_WITHIN_S:
                return found, gone_s - began_s
            await asyncio.sleep(POLL_S)


def is_booked(booked: int, least_s: float, most_s: float | None = None) -> bool:
    """Whether these are the whole seconds of a stretch; what the server takes for its start
    and end lies a little outside of what its client saw."""
    return int(least_s) <= booked <= int(least_s + 0.1 if most_s is None else most_s)


@dataclass
class Neighbours:
    """Quiet clients whose ticks tell whether they are held up."""

    gaps_s: list[float] = field(default_factory=list)
    """Between one tick of a client and its next."""

    @property
    def p99_s(self) -> float:
        assert len(self.gaps_s) >= 10, "too few ticks to tell"
        return sorted(self.gaps_s)[int(len(self.gaps_s) * 0.99)]


@asynccontextmanager
async def neighbours(server: LiveServer, user: str, count: int = 10) -> AsyncIterator[Neighbours]:
    """So many clients, each with a session of its own, listening all the while."""
    found = Neighbours()
    async with AsyncExitStack() as stack:
        listening = []
        for _ in range(count):
            client = await stack.enter_async_context(connected(server, user))
            await client.start(new_session(server, user))
            listening.append(asyncio.create_task(_listen(client, found)))
        try:
            yield found
        finally:
            for task in listening:
                assert not task.done(), "a neighbour was thrown out"
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


async def _listen(client: SocketClient, found: Neighbours) -> None:
    last_s: float | None = None
    while True:
        # A gap that is still open counts too: a server that stands still sends no tick.
        await client.next("tick", within_s=60)
        now_s = time.monotonic()
        if last_s is not None:
            found.gaps_s.append(now_s - last_s)
        last_s = now_s
