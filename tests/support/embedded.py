"""The embedded database as a child process, for tests in which a race or an index matters."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from uuid import uuid4

from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase

from tests.support.requirements import missing

START_TIMEOUT_S = 20.0
MEMORY, EMBEDDED = "memory", "embedded"
KINDS = (MEMORY, EMBEDDED)


@asynccontextmanager
async def embedded_database(directory: Path) -> AsyncIterator[AsyncIOMotorDatabase[dict[str, Any]]]:
    """A database of its own: in `MONGODB_TEST_URI` where that is set, else in a new child."""
    uri = os.environ.get("MONGODB_TEST_URI")
    if uri:
        async with _client(uri) as db:
            yield db
        return
    child = await asyncio.create_subprocess_exec(
        _program(),
        *("--port", "0", "--storage-path", str(directory / "data")),
        *("--sync-on-commit", "--cache-size", "64M", "--log-file-max", "64MB"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), START_TIMEOUT_S)
        address = line.decode().rpartition(" ")[2].strip()
        async with _client(f"mongodb://{address}") as db:
            yield db
    finally:
        child.kill()
        await child.wait()
        # Pytest keeps the directories of three runs.
        await asyncio.to_thread(shutil.rmtree, directory / "data", ignore_errors=True)


@asynccontextmanager
async def database_of(
    kind: str, directory: Path
) -> AsyncIterator[AsyncIOMotorDatabase[dict[str, Any]]]:
    """One of each of `KINDS`, for what all databases must understand."""
    if kind == MEMORY:
        yield AsyncMongoMockClient(tz_aware=True)["focusup"]
        return
    async with embedded_database(directory) as db:
        yield db


@asynccontextmanager
async def _client(uri: str) -> AsyncIterator[AsyncIOMotorDatabase[dict[str, Any]]]:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(uri, tz_aware=True)
    name = f"focusup_test_{uuid4().hex[:12]}"
    try:
        yield client[name]
        await client.drop_database(name)
    finally:
        client.close()


def _program() -> str:
    try:
        files = distribution("secantusdb")
    except PackageNotFoundError:
        missing("secantusdb is not installed: the tests of races need a real database")
    name = "secantusd-rs.exe" if sys.platform == "win32" else "secantusd-rs"
    return str(files.locate_file(f"secantusdb.scripts/{name}"))
