"""A client of `/ws/sessions` for tests: the protocol, and nothing more."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as sync_connect

from tests.support.server import Server

Message = dict[str, Any]
PATIENCE_S = 8.0


class SocketClient:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.heard: list[Message] = []
        self.took_s = 0.0
        """How long the last question was on its way, and its answer."""

    async def send(self, type_: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": type_, **fields}))

    async def next(self, *types: str, within_s: float = PATIENCE_S) -> Message:
        """The next message of these types; others are kept in `heard` and passed over."""
        async with asyncio.timeout(within_s):
            while True:
                message: Message = json.loads(await self.connection.recv())
                self.heard.append(message)
                if not types or message["type"] in types:
                    return message

    async def ask(self, type_: str, answer: str, **fields: Any) -> Message:
        """Send, and the answer to it (by its id)."""
        id_ = f"m{len(self.heard)}-{type_}"
        asked_s = time.monotonic()
        await self.send(type_, id=id_, **fields)
        while True:
            message = await self.next(answer, "error")
            if message.get("id") == id_:
                self.took_s = time.monotonic() - asked_s
                assert message["type"] == answer, message
                return message

    async def start(self, session_id: str, **fields: Any) -> Message:
        return await self.ask("start", "started", sessionId=session_id, **fields)

    async def error(self, type_: str, **fields: Any) -> str:
        """Send, and the code of the error it gets."""
        return str((await self.ask(type_, "error", **fields))["code"])

    async def silence(self, seconds: float) -> list[Message]:
        """What comes within this time."""
        came: list[Message] = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    came.append(json.loads(await self.connection.recv()))
        except TimeoutError:
            return came

    async def closed(self, within_s: float = PATIENCE_S) -> int | None:
        """The code with which the server closes."""
        async with asyncio.timeout(within_s):
            try:
                while True:
                    self.heard.append(json.loads(await self.connection.recv()))
            except ConnectionClosed:
                return self.connection.close_code


@asynccontextmanager
async def connected(
    server: Server, user: str = "ada", *, token: str | None = None, **options: Any
) -> AsyncIterator[SocketClient]:
    """A connection of this user; the token goes by the published way, `?token=`."""
    url = f"{server.ws_url}?token={token or server.token(user)}"
    # A test may not read for a while: then neither its queue nor its pings may matter.
    async with connect(url, max_queue=None, ping_interval=None, **options) as connection:
        yield SocketClient(connection)


def new_session(server: Server, user: str = "ada", **fields: Any) -> str:
    with server.rest(user) as rest:
        answer = rest.post("/api/sessions", json=fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["session"]["_id"])


def tracked_for_a_moment(server: Server, session_id: str, user: str) -> None:
    """Start the session over a socket and leave it: from then on its user is away."""
    with sync_connect(f"{server.ws_url}?token={server.token(user)}") as connection:
        connection.send(json.dumps({"type": "start", "sessionId": session_id}))
        assert json.loads(connection.recv())["type"] == "started"


def stored(server: Server, session_id: str, user: str = "ada") -> dict[str, Any]:
    with server.rest(user) as rest:
        session: dict[str, Any] = rest.get(f"/api/sessions/{session_id}").json()["session"]
        return session
