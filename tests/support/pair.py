"""Two servers on one database, and one session on both of them.

What must hold: what a client saw bounds what may be stored, whichever server stored it.
"""

import asyncio
import contextlib
import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymongo
from bson import ObjectId

from tests.support.database_server import Database
from tests.support.live_server import LiveServer, running_server
from tests.support.socket_client import PATIENCE_S, Message, SocketClient

NAME = "focusup"
TOLD_WITHIN_S = 2.0
LATENCY_S = 0.15
"""How long a message may be on its way on the loopback interface, to a busy server."""
POLL_S = 0.02


@dataclass
class Pair:
    a: LiveServer
    b: LiveServer
    sessions: Any
    """Their collection, as the database has it."""
    user: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __iter__(self) -> Iterator[LiveServer]:
        return iter((self.a, self.b))

    def document(self, session_id: str) -> dict[str, Any]:
        found: dict[str, Any] | None = self.sessions.find_one({"_id": ObjectId(session_id)})
        assert found is not None, session_id
        return found

    def put(self, server: LiveServer, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """A PUT that succeeds; the session."""
        with server.rest(self.user) as rest:
            answer = rest.put(f"/api/sessions/{path}", json=body)
        assert answer.status_code == 200, answer.text
        session: dict[str, Any] = answer.json()["session"]
        return session

    async def until(self, session_id: str, within_s: float, **fields: Any) -> dict[str, Any]:
        """The document once it has these values."""
        deadline_s = time.monotonic() + within_s
        while True:
            document = await asyncio.to_thread(self.document, session_id)
            if all(document[name] == value for name, value in fields.items()):
                return document
            assert time.monotonic() < deadline_s, f"not {fields} in {within_s} s: {document}"
            await asyncio.sleep(POLL_S)


@contextmanager
def pair(directory: Path, database: Database, **settings: str) -> Iterator[Pair]:
    """Both run, and stop in the end without a traceback. `b` has known of `a` from its start."""
    settings = {"MONGODB_URI": database.uri, "MONGODB_DATABASE": NAME, **settings}
    homes = directory / "a", directory / "b"
    for home in homes:
        home.mkdir(parents=True, exist_ok=True)
    mongo: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(database.uri)
    with mongo, ExitStack() as stack:
        a, b = (stack.enter_context(running_server(home, **settings)) for home in homes)
        yield Pair(a, b, mongo[NAME]["sessions"])


def freeze(server: LiveServer) -> None:
    os.kill(server.pid, signal.SIGSTOP)


def thaw(server: LiveServer) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(server.pid, signal.SIGCONT)


@contextmanager
def frozen(server: LiveServer) -> Iterator[None]:
    freeze(server)
    try:
        yield
    finally:
        thaw(server)


class Visit:
    """One client on a session, and what it knows of the time in which that was tracked."""

    def __init__(self, client: SocketClient, session_id: str) -> None:
        self.client = client
        self.session_id = session_id
        self.sent_s = self.started_s = self.left_s = 0.0
        self.answer: Message = {}

    async def begin(self, **fields: Any) -> "Visit":
        self.sent_s = time.monotonic()
        self.answer = await self.client.start(self.session_id, **fields)
        self.started_s = time.monotonic()
        return self

    @property
    def counted_before(self) -> int:
        """The seconds of the session when it began."""
        return int(self.answer["session"]["elapsedSeconds"])

    def lasted_s(self, at_s: float | None = None) -> tuple[float, float]:
        """The seconds that it was tracked until then, at least and at most."""
        at_s = time.monotonic() if at_s is None else at_s
        return at_s - self.started_s, at_s - self.sent_s

    async def mid_second(self, seconds: int = 0) -> None:
        """Until half a second after a due moment, so many seconds on at least: then what
        is due is beyond doubt."""
        ran_s = time.monotonic() - (self.sent_s + self.started_s) / 2
        await asyncio.sleep((0.5 - ran_s) % 1 + seconds)

    async def thrown_out(self, within_s: float = PATIENCE_S) -> tuple[int | None, float]:
        """The code with which it is closed, and the seconds until then."""
        began_s = time.monotonic()
        code = await self.client.closed(within_s)
        return code, time.monotonic() - began_s

    @property
    def heard(self) -> list[str]:
        return [message["type"] for message in self.client.heard]
