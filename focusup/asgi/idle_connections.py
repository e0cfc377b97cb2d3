"""All connections on which no WebSocket is open, and when each of them ends.

Invariants:

- each has a deadline until a request runs on it: `FIRST_REQUEST_S` for its first head,
  `KEEP_ALIVE_SECONDS` for the next one to begin, `HEAD_S` from there until that is whole. A byte
  now and then extends none of them;
- a connection on which something has arrived is not idle, whether it was read or waits in
  the system: ending it would lose a request, or the answer of one that runs;
- idle connections are bounded, of one address and in all; the one that is idle for longest
  makes room for a new one. Addresses share what there is: who has more than their part
  pays for a newcomer of theirs.
"""

import asyncio
import select
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config

from focusup.asgi.admission import Admission

FIRST_REQUEST_S = 5.0
HEAD_S = 5.0
LAST_REQUEST_S = 0.3
"""How long a stop leaves idle connections open. A proxy may use one at the very moment at
which it is closed, and can't send a POST again; within this time it is refused once
elsewhere, as nobody listens any more, and turns to others."""


class Idle(Protocol):
    """A connection without a request, as it is kept here."""

    peer: str

    def end_if_idle(self) -> bool:
        """End it unless something arrives; whether it has ended."""
        ...


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What the settings say of connections."""

    idle_in_all: int = 4_000
    idle_of_one: int = 1_000
    is_proxy: Callable[[str], bool] = lambda _peer: False
    """Whether this peer speaks for many people, so that its connections are not one's."""
    admission: Admission | None = None
    """When requests run; at once where there is none."""


class ServerConfig(Config):
    """Hypercorn's settings, and ours of connections."""

    limits = ConnectionLimits()
    socket_paths: tuple[str, ...] = ("",)
    """How the path of a socket ends; a handshake anywhere else is an ordinary request."""


class Connections:
    """The idle connections of a process, the longest idle first."""

    def __init__(self, limits: ConnectionLimits, context: WorkerContext) -> None:
        self.limits = limits
        self._idle: dict[Idle, None] = {}
        self._of: dict[str, dict[Idle, None]] = {}
        self._context = context
        self._stopping = asyncio.get_running_loop().create_task(self._until_stopped())

    async def stopped(self) -> None:
        """Wait until the server stops and has ended what is idle."""
        await self._stopping

    def __len__(self) -> int:
        return len(self._idle)

    def add(self, connection: Idle) -> None:
        """Count a connection as idle from now on; another one may have to end for it."""
        theirs = self._of.setdefault(connection.peer, {})
        theirs[connection] = None
        self._idle[connection] = None
        if len(theirs) > self.limits.idle_of_one and not self.limits.is_proxy(connection.peer):
            self._end_oldest(theirs)
        elif len(self._idle) > self.limits.idle_in_all:
            part = max(1, self.limits.idle_in_all // len(self._of))
            self._end_oldest(theirs if len(theirs) > part else self._idle)

    def discard(self, connection: Idle) -> None:
        """Forget a connection: a request runs on it, or it has ended."""
        if connection not in self._idle:
            return
        del self._idle[connection]
        theirs = self._of[connection.peer]
        del theirs[connection]
        if not theirs:
            del self._of[connection.peer]

    def _end_oldest(self, connections: dict[Idle, None]) -> None:
        for oldest in connections:
            if oldest.end_if_idle():
                return

    async def _until_stopped(self) -> None:
        await self._context.terminated.wait()
        while self._idle:
            await asyncio.sleep(LAST_REQUEST_S)
            for connection in list(self._idle):
                connection.end_if_idle()


def connections_of(context: WorkerContext, config: Config) -> Connections:
    """The connections of this process, which serves one application."""
    found: Connections | None = getattr(context, "connections", None)
    if found is None:
        limits = getattr(config, "limits", None) or ConnectionLimits()
        found = Connections(limits, context)
        context.connections = found  # type: ignore[attr-defined]
    return found


def is_readable(descriptor: int) -> bool:
    """Whether the system holds something of the peer that was not read yet."""
    if sys.platform == "win32" or not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    polled = select.poll()
    polled.register(descriptor, select.POLLIN)
    return bool(polled.poll(0))
