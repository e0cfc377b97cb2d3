"""Databases for tests: one server for all tests of a process, a database name for each test."""

import atexit
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase

from tests.support.database_server import Database
from tests.support.requirements import mongodb_test_uri

MEMORY, EMBEDDED = "memory", "embedded"
KINDS = (MEMORY, EMBEDDED)

AnyDatabase = AsyncIOMotorDatabase[dict[str, Any]]


def shared_uri() -> str:
    """Return the address of `MONGODB_TEST_URI`, or else of this process's embedded server."""
    return mongodb_test_uri() or _shared_server().uri


@cache
def _shared_server() -> Database:
    server = Database(Path(tempfile.mkdtemp(prefix="focusup-tests-")))
    server.start()
    atexit.register(server.remove)
    return server


@asynccontextmanager
async def embedded_database(_: Path | None = None) -> AsyncIterator[AnyDatabase]:
    """An empty database on the shared server, dropped afterwards."""
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(shared_uri(), tz_aware=True)
    name = f"focusup_test_{uuid4().hex[:12]}"
    try:
        yield client[name]
        await client.drop_database(name)
    finally:
        client.close()


@asynccontextmanager
async def database_of(kind: str, _: Path | None = None) -> AsyncIterator[AnyDatabase]:
    """One of each of `KINDS`, for what all databases must understand."""
    if kind == MEMORY:
        yield AsyncMongoMockClient(tz_aware=True)["focusup"]
        return
    async with embedded_database() as db:
        yield db
