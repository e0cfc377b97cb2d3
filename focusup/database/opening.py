"""Open the database that the settings ask for, or the best one available.

Invariants:

- One data directory is used by one server at a time.
- Data that is present and not used is reported, and so is a start on memory alone.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import structlog

from focusup.database.child import Child
from focusup.database.connecting import close, connect, connect_to_child, until_it_answers
from focusup.database.directory import hold
from focusup.database.errors import short, usable
from focusup.database.programs import Kind, Program, choose, how_to_keep, kinds_kept
from models.base.database import Database

DatabaseKind = Literal["mongodb", "mongod", "secantusdb", "memory"]
MEMORY = "memory"
NOTHING_KEPT = "NOTHING WILL BE KEPT: all data is in memory, and gone at the stop"

log = structlog.get_logger(__name__)


@dataclass
class OpenedDatabase:
    """A database that answers, and what keeps it open."""

    db: Database
    kind: DatabaseKind
    where: str
    """For people: what it is and where."""
    _restart: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)
    _held: AsyncExitStack = field(default_factory=AsyncExitStack, repr=False)
    """What there is to let go of at the end."""
    _closing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def ping_ms(self) -> float:
        """How long it takes to answer; raises what the driver raises."""
        started_s = time.perf_counter()
        await self.db.command("ping")
        return (time.perf_counter() - started_s) * 1000

    async def checkpoint(self) -> None:
        """Make sure that what was made just now outlives a kill, indexes above all.

        SecantusDB, killed before its first checkpoint, comes back with every document but
        without the options of indexes (unique, TTL). A clean stop is a checkpoint.
        """
        if self._restart is not None:
            await self._restart()

    async def close(self) -> None:
        """Close the connections, then stop the child if there is one. Idempotent."""
        async with self._closing:
            await self._held.aclose()


async def open_database(
    *, uri: str | None, name: str, data_dir: Path, server_selection_timeout_s: float = 5.0
) -> OpenedDatabase:
    """The database at `uri`; without one, a server of our own on `data_dir`.

    Raises DatabaseError.
    """
    if uri == MEMORY:
        return _in_memory(name, "MONGODB_URI=memory was asked for")
    if uri is not None:
        return await _remote(uri, name, server_selection_timeout_s)
    return await _embedded(name, data_dir, server_selection_timeout_s)


async def _remote(uri: str, name: str, timeout_s: float) -> OpenedDatabase:
    async with AsyncExitStack() as held:
        client, where = await connect(uri, timeout_s)
        held.push_async_callback(close, client)
        return OpenedDatabase(client[name], "mongodb", where, _held=held.pop_all())


async def _embedded(name: str, data_dir: Path, timeout_s: float) -> OpenedDatabase:
    with usable(data_dir):
        # Real paths: a server that uses another link to it must find the same lock and child.
        data_dir = data_dir.resolve()  # noqa: ASYNC240 - before anything is served
        program, kept = choose(data_dir), kinds_kept(data_dir)
    unused = [short(data_dir / kind) for kind in kept if program is None or kind != program.kind]
    if program is None:
        also = f". There is data in {' and '.join(unused)}" if unused else ""
        return _in_memory(name, f"no database server was found; {how_to_keep()}{also}")
    if unused:
        log.warning("data_ignored", of=unused, in_use=program.kind, why=_why(program, kept))
    async with AsyncExitStack() as held:
        held.enter_context(hold(data_dir))
        child = Child(program, data_dir)
        held.push_async_callback(child.stop)
        await child.start()
        client = connect_to_child(child.port, timeout_s)
        held.push_async_callback(close, client)
        await until_it_answers(client, timeout_s)

        async def restart() -> None:
            await child.stop()
            await child.start()
            await until_it_answers(client, timeout_s)

        return OpenedDatabase(
            client[name],
            program.kind,
            f"{program.kind} in {short(child.data)}",
            _restart=restart if program.kind == "secantusdb" else None,
            _held=held.pop_all(),
        )


def _why(program: Program, kept: list[Kind]) -> str:
    if kept[0] == program.kind:
        return f"{program.kind} wrote to this directory first"
    return "the program that wrote it is not installed"


def _in_memory(name: str, reason: str) -> OpenedDatabase:
    from mongomock_motor import AsyncMongoMockClient  # slow to import

    log.warning("data_in_memory", warning=NOTHING_KEPT, because=reason)
    client: Any = AsyncMongoMockClient(tz_aware=True)
    return OpenedDatabase(client[name], "memory", "memory: nothing is kept")
