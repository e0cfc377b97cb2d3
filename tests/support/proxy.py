"""A proxy between server and database that does to messages what networks do.

What must hold: without a rule every byte passes as it came; a rule acts on whole messages
(of MongoDB's wire protocol), by default on `update` commands alone, so that handshakes and
reads go on; and the proxy has a thread and a loop of its own, so that neither a busy test
nor a slow one changes when things happen.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeVar

from focusup.database.ports import free_port

T = TypeVar("T")

HEADER = struct.Struct("<iiii")
OP_MSG = 2013
COMMAND_AT = HEADER.size + 4 + 1 + 4  # flags, kind of section, size of the document
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
MODIFIED = b"\x10nModified\x00"


class Fate(Enum):
    """What becomes of a request."""

    DELAY = auto()
    """Done at once, answered `delay_s` later."""
    DROP = auto()
    """Never done; the connection is cut."""
    DROP_AND_HANG = auto()
    """Never done, never answered; the connection stays open."""
    DROP_REPLY = auto()
    """Done, but the connection is cut instead of an answer."""
    HOLD_REPLY = auto()
    """Done, but neither answered nor cut."""
    CUT = auto()
    """Half of its bytes arrive, then both ends are reset."""
    RESET = auto()
    """Passed on, and both ends are reset at once: done or not, who knows."""
    HOLD_PAST_NEXT = auto()
    """Cut, and delivered late, on a connection of its own, after the next one was done."""
    HOLD_BEFORE_NEXT = auto()
    """Cut, and delivered late, just before the next one."""


@dataclass
class Rule:
    fate: Fate
    times: int | None
    every: int
    delay_s: float
    commands: frozenset[str] | None
    seen: int = 0
    acted: int = 0
    first: threading.Event = field(default_factory=threading.Event)

    def takes(self, command: str) -> bool:
        """Whether it acts on this request."""
        if self.commands is not None and command not in self.commands:
            return False
        if self.times is not None and self.acted >= self.times:
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        self.acted += 1
        return True


class Link:
    """A connection of the server's, and the one to the database that belongs to it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        self.reader, self.writer = reader, writer
        self.up_reader, self.up_writer = up_reader, up_writer
        self.fates: dict[int, Rule | asyncio.Event] = {}
        """What becomes of the reply to each request that is not simply answered."""

    def reset(self) -> None:
        for writer in (self.writer, self.up_writer):
            _reset(writer)

    def close(self) -> None:
        for writer in (self.writer, self.up_writer):
            writer.close()


class Proxy:
    """Listens on `port` while the `with` block lasts."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self.writes = 0
        """Updates that were asked for, whatever became of them."""
        self.late_modified: list[int] = []
        """What the messages delivered late have changed."""
        self._target_port = target_port
        self._rule: Rule | None = None
        self._swallowing = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._links: set[Link] = set()
        self._late: tuple[Fate, bytes] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self.accept()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._run(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    # --- for tests, from their own thread -------------------------------------------------

    def rule(
        self,
        fate: Fate,
        *,
        times: int | None = None,
        every: int = 1,
        delay_s: float = 0.0,
        commands: frozenset[str] | None = frozenset({"update"}),
    ) -> Rule:
        """Let this be the one rule; `commands=None` is for every kind of request."""
        rule = Rule(fate, times, every, delay_s, commands)
        self._call(lambda: setattr(self, "_rule", rule))
        return rule

    def clear(self) -> None:
        """Let everything pass; what hangs goes on hanging."""
        self._call(self._clear)

    def swallow(self) -> None:
        """Take everything and answer nothing."""
        self._call(lambda: setattr(self, "_swallowing", True))

    def freeze(self) -> None:
        """Take everything and pass nothing on until `thaw`, as a process that stands still."""
        self._call(self._flowing.clear)

    def thaw(self) -> None:
        self._call(self._flowing.set)

    def refuse(self) -> None:
        """Refuse new connections, and cut those there are."""
        self._run(self._refuse())

    def accept(self) -> None:
        self._run(self._listen())

    def settled(self) -> bool:
        """Whether nothing is held any more that will be delivered late."""
        return self._late is None and not self._tasks

    # --- in the thread of the proxy ---------------------------------------------------------

    def _call(self, function: Callable[[], object]) -> None:
        async def call() -> None:
            function()

        self._run(call())

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _clear(self) -> None:
        self._rule = None
        self._swallowing = False

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in list(self._links):
            link.reset()

    async def _shut(self) -> None:
        await self._refuse()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            _reset(writer)
            return
        link = Link(reader, writer, up_reader, up_writer)
        if self._server is None:  # we refuse since a moment ago
            link.reset()
            return
        self._links.add(link)
        try:
            await _until_one_ends(self._requests(link), self._replies(link))
        finally:
            self._links.discard(link)
            link.close()

    async def _requests(self, link: Link) -> None:
        while True:
            message = await _message(link.reader)
            await self._flowing.wait()
            if self._swallowing:
                continue
            command = _command(message)
            if command == "update":
                self.writes += 1
                await self._deliver_before_next()
                self._watch_next(link, message)
            rule = self._rule
            if rule is not None and rule.takes(command):
                self._decide(link, rule, message)
            else:
                link.up_writer.write(message)

    def _decide(self, link: Link, rule: Rule, message: bytes) -> None:
        match rule.fate:
            case Fate.DELAY | Fate.DROP_REPLY | Fate.HOLD_REPLY:
                link.fates[_request_id(message)] = rule
                link.up_writer.write(message)
                return
            case Fate.DROP:
                link.reset()
            case Fate.DROP_AND_HANG:
                pass
            case Fate.CUT:
                link.up_writer.write(message[: len(message) // 2])
                link.reset()
            case Fate.RESET:
                link.up_writer.write(message)
                link.reset()
            case Fate.HOLD_PAST_NEXT | Fate.HOLD_BEFORE_NEXT:
                self._late = (rule.fate, message)
                link.reset()
        rule.first.set()

    async def _replies(self, link: Link) -> None:
        while True:
            reply = await _message(link.up_reader)
            await self._flowing.wait()
            if self._swallowing:
                continue
            fate = link.fates.pop(_response_to(reply), None)
            if isinstance(fate, asyncio.Event):
                fate.set()
            elif fate is not None:
                fate.first.set()
                if fate.fate is Fate.HOLD_REPLY:
                    continue
                if fate.fate is Fate.DROP_REPLY:
                    link.reset()
                    return
                await asyncio.sleep(fate.delay_s)
            link.writer.write(reply)

    # --- what is delivered late ---------------------------------------------------------------

    async def _deliver_before_next(self) -> None:
        if self._late is not None and self._late[0] is Fate.HOLD_BEFORE_NEXT:
            message, self._late = self._late[1], None
            await self._deliver(message)

    def _watch_next(self, link: Link, message: bytes) -> None:
        """Deliver what is held once this message, its successor, has been done."""
        if self._late is None or self._late[0] is not Fate.HOLD_PAST_NEXT:
            return
        done = asyncio.Event()
        link.fates[_request_id(message)] = done
        task = asyncio.create_task(self._deliver_after(done, self._late[1]))
        self._late = None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver_after(self, done: asyncio.Event, message: bytes) -> None:
        await done.wait()
        await self._deliver(message)

    async def _deliver(self, message: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        writer.write(message)
        self.late_modified.append(modified(await _message(reader)))
        writer.close()


def modified(reply: bytes) -> int:
    """How many documents an update has changed, by its reply."""
    _, found, rest = reply.partition(MODIFIED)
    if not found:
        raise ValueError(f"no reply to an update: {reply!r}")
    return int.from_bytes(rest[:4], "little")


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(HEADER.size)
    return head + await reader.readexactly(HEADER.unpack(head)[0] - HEADER.size)


def _command(message: bytes) -> str:
    """The name of the command: that of the first field of its document."""
    if HEADER.unpack_from(message)[3] != OP_MSG:
        return ""
    name_at = COMMAND_AT + 1
    return message[name_at : message.index(0, name_at)].decode()


def _request_id(message: bytes) -> int:
    return int(HEADER.unpack_from(message)[1])


def _response_to(message: bytes) -> int:
    return int(HEADER.unpack_from(message)[2])


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()


async def _until_one_ends(*coroutines: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(
                result, OSError | asyncio.IncompleteReadError
            ):
                raise result
