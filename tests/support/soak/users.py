"""Users of the soak: each has one session after the other, and knows what it must be.

What must hold: whatever a user does, and whatever befalls the servers meanwhile, its
session counts what its account says.
"""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from bson import ObjectId
from pymongo.errors import PyMongoError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from models.sessions.session import NewSession, new_document
from tests.support.live_server import LiveServer
from tests.support.soak.account import Account, Span
from tests.support.soak.world import World
from tests.support.socket_client import Message

T = TypeVar("T")

PATIENCE_S = 30.0
AGAIN_AFTER_S = 0.2
POLL_S = 0.05
TAKEN_OVER, RESTART = 4409, 1012


class Line:
    """A socket that always listens."""

    def __init__(self, server: LiveServer, connection: ClientConnection) -> None:
        self.server = server
        self.gone = asyncio.Event()
        self.gone_s = 0.0
        self._connection = connection
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._listening = asyncio.create_task(self._listen())

    @property
    def code(self) -> int | None:
        return self._connection.close_code

    async def ask(self, type_: str, **fields: Any) -> tuple[float, float, Message]:
        """Send; when, when it was answered, and the answer."""
        id_ = f"{type_}{time.monotonic_ns()}"
        answer = self._waiting[id_] = asyncio.get_running_loop().create_future()
        sent_s = time.monotonic()
        await self.send(type_, id=id_, **fields)
        async with asyncio.timeout(PATIENCE_S):
            message = await answer
        return sent_s, time.monotonic(), message

    async def send(self, type_: str, **fields: Any) -> None:
        await self._connection.send(json.dumps({"type": type_, **fields}))

    async def close(self) -> None:
        await self._connection.close()

    def reset(self) -> None:
        self._connection.transport.abort()

    async def _listen(self) -> None:
        try:
            async for text in self._connection:
                message = json.loads(text)
                answer = self._waiting.pop(message.get("id"), None)
                if answer is not None and not answer.done():
                    answer.set_result(message)
        except ConnectionClosed:
            pass
        self.gone_s = time.monotonic()
        self.gone.set()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionError(f"closed with {self.code}"))


class User:
    def __init__(self, world: World, number: int) -> None:
        self.name = f"user{number}"
        self.done: list[Account] = []
        self.wrong: list[str] = []
        self._world = world
        self._dice = random.Random(number)
        self._line: Line | None = None
        self._session = ObjectId()
        self._account = Account()
        self._paused = False

    async def live(self) -> None:
        """One session after the other until the world is over, and the last one to its end."""
        while not self._world.over.is_set():
            await self._begin_session()
            for _ in range(self._dice.randrange(3, 9)):
                await self._act()
                if self._world.over.is_set():
                    break
            await self._end_session()

    # --- a session ----------------------------------------------------------------------

    async def _begin_session(self) -> None:
        self._session, self._account, self._paused = ObjectId(), Account(), False
        fresh = new_document(
            self.name, NewSession(), stamp=f"soak.{self._session}", now=datetime.now(UTC)
        )
        await self._asked(lambda: self._insert({"_id": self._session, **fresh}))

    def _insert(self, document: dict[str, Any]) -> None:
        wanted = {"_id": document["_id"]}
        self._world.both.sessions.replace_one(wanted, document, upsert=True)

    async def _act(self) -> None:
        if self._line is None:
            await asyncio.sleep(self._dice.uniform(0, 1.5))
            await self._join(self._dice.choice(list(self._world.both)))
            return
        await self._stay(self._dice.uniform(0.3, 4))
        if self._line is None:
            return
        chosen = self._dice.random()
        if chosen < 0.4:
            await self._pause_or_resume()
        elif chosen < 0.6:
            await self._leave(politely=True)
        elif chosen < 0.8:
            await self._leave(politely=False)
        elif self._world.calm:
            await self._move()

    async def _end_session(self) -> None:
        while True:
            if self._line is None:
                await self._join(self._world.both.b)
            async with self._attending() as line:
                if line is None:
                    continue
                sent_s, answered_s, answer = await line.ask("stop")
                assert answer["type"] == "stopped", answer
                self._account.holds(self._world.read(line.server, sent_s, answered_s))
                self._judge(answer["session"])
                await line.close()
                self._line = None
            await self._asked(lambda: self._world.both.sessions.delete_one({"_id": self._session}))
            return

    def _judge(self, session: dict[str, Any]) -> None:
        account, counted = self._account, session["elapsedSeconds"]
        assert counted == session["activeSeconds"] + session["idleSeconds"]
        account.judge(counted)
        self.done.append(account)
        if account.drift:
            self.wrong.append(f"{session} by {account.drift}: {account.history}")

    # --- what a user does -----------------------------------------------------------------

    @asynccontextmanager
    async def _attending(self) -> AsyncIterator[Line | None]:
        """The line, while no server is killed; None if it has been lost before."""
        async with self._world.acting():
            if self._line is not None and self._line.gone.is_set():
                await self._note_loss(self._line)
            yield self._line

    async def _stay(self, for_s: float) -> None:
        assert self._line is not None
        until_s = time.monotonic() + for_s
        while (left_s := until_s - time.monotonic()) > 0:
            with contextlib.suppress(ConnectionClosed):
                await self._line.send("activity")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._line.gone.wait(), min(left_s, 1))
                break
        async with self._attending():
            pass

    async def _join(self, server: LiveServer) -> None:
        """Until it is tracked there, or the server is gone."""
        async with self._world.acting():
            line = await self._dial(server)
            if line is None:
                await asyncio.sleep(AGAIN_AFTER_S)
                return
            sent_s, answered_s, answer = await line.ask("start", sessionId=str(self._session))
            if answer["type"] == "started":
                self._line = line
                self._paused = answer["session"]["status"] == "paused"
                if not self._paused:
                    self._account.runs(self._world.read(server, sent_s, answered_s))
                return
            assert answer["retryable"], answer
            await line.close()
        await asyncio.sleep(AGAIN_AFTER_S)

    async def _dial(self, server: LiveServer) -> Line | None:
        url = f"{server.ws_url}?token={server.token(self.name, ttl_s=86_400)}"
        try:
            connection = await connect(url, ping_interval=None, open_timeout=PATIENCE_S)
        except (OSError, InvalidHandshake, EOFError):
            return None
        return Line(server, connection)

    async def _pause_or_resume(self) -> None:
        async with self._attending() as line:
            if line is None:
                return
            wanted = "resume" if self._paused else "pause"
            sent_s, answered_s, answer = await line.ask(wanted)
            assert answer["type"] == f"{wanted}d", answer
            read = self._world.read(line.server, sent_s, answered_s)
            self._paused = not self._paused
            if self._paused:
                self._account.holds(read)
            else:
                self._account.runs(read)

    async def _leave(self, *, politely: bool) -> None:
        async with self._attending() as line:
            if line is None:
                return
            self._line, left_s = None, time.monotonic()
            if politely:
                await line.close()
            else:
                line.reset()
            closed_s = time.monotonic() if politely and line.code == 1000 else None
            # Until that is stored, a crash may cost what was due.
            await self._until_released()
            self._account.holds(self._world.read(line.server, left_s, closed_s))

    async def _move(self) -> None:
        """Go on with the session on the other server, without leaving the first."""
        async with self._attending() as line:
            if line is None or not self._world.calm:
                return
            both = self._world.both
            server = both.b if line.server is both.a else both.a
            other = await self._dial(server)
            if other is None:
                return
            first_s = time.monotonic()
            while True:
                sent_s, answered_s, answer = await other.ask("start", sessionId=str(self._session))
                if answer["type"] == "started":
                    break
                # It may have been taken over all the same: the answer alone was lost.
                assert answer["retryable"], answer
                await asyncio.sleep(AGAIN_AFTER_S)
            moved = Span(first_s, answered_s)  # all is calm, so that is soon
            self._line = other
            counted = answer["session"]["elapsedSeconds"]
            if self._paused:
                self._account.cost(counted, moved)
            else:
                kept_s = 1 - answer["nextSecondInMs"] / 1000
                kept = Span(max(0.0, kept_s - (answered_s - sent_s)), max(0.0, kept_s))
                self._account.cost(counted, moved, kept_s=kept)
                self._account.runs(Span(sent_s, answered_s))
            async with asyncio.timeout(PATIENCE_S):
                await line.gone.wait()
            if line.code != TAKEN_OVER:
                self.wrong.append(f"{self._session} was closed with {line.code} when it moved")

    async def _note_loss(self, line: Line) -> None:
        """The server closed the line, or is gone."""
        world, self._line = self._world, None
        if line.code == RESTART:
            self._account.holds(Span(world.stopped[line.server], line.gone_s))
        else:
            assert line.server in world.killed, f"closed with {line.code}"
            document = await self._asked(self._find)
            kept_s = document["carryMs"] / 1000
            self._account.cost(
                document["elapsedSeconds"],
                world.killed[line.server],
                kept_s=Span(kept_s, kept_s),
            )
            self._paused = document["status"] == "paused"

    # --- the database -----------------------------------------------------------------------

    def _find(self) -> dict[str, Any]:
        found: dict[str, Any] | None = self._world.both.sessions.find_one({"_id": self._session})
        assert found is not None
        return found

    async def _until_released(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if (await self._asked(self._find))["owner"] is None:
                    return
                await asyncio.sleep(POLL_S)

    async def _asked(self, question: Callable[[], T]) -> T:
        """Ask the database until it answers."""
        while True:
            try:
                return await asyncio.to_thread(question)
            except PyMongoError:
                await asyncio.sleep(AGAIN_AFTER_S)
