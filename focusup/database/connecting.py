"""Connect clients of the driver: to a MongoDB at an address, and to our child process.

Invariants:

- No credential of a connection string is shown, so no message of the driver is.
- Closing never holds up the event loop, whatever state the server is in.
"""

import asyncio
from typing import Any

import pymongo
from pymongo.errors import ConfigurationError, ConnectionFailure, OperationFailure, PyMongoError

from focusup.database.errors import DatabaseError, hosts
from focusup.database.ports import LOOPBACK
from models.base.database import Client

CLOSE_WITHIN_S = 1.0
RETRY_S = 0.02


async def connect(uri: str, timeout_s: float) -> tuple[Client, str]:
    """A client of the MongoDB at `uri`, which has answered, and where that is.

    Raises DatabaseError.
    """
    at = hosts(uri)
    where = f"mongodb at {at or 'an address that is not shown'}"
    try:
        client = _client(uri, timeout_s)
    except (PyMongoError, ValueError, TypeError):
        raise DatabaseError(
            f"MONGODB_URI can't be read{f' ({where})' if at else ''}",
            "it looks like mongodb://user:password@host:27017, with : / ? # @ in a name or "
            "password written as %3A %2F %3F %23 %40",
        ) from None
    try:
        async with asyncio.timeout(timeout_s):
            await client.admin.command("ping")
    except BaseException as error:
        await close(client)
        if isinstance(error, OperationFailure):
            raise DatabaseError(
                f"{where} refuses us (code {error.code})",
                "check the user and password of MONGODB_URI",
            ) from None
        if isinstance(error, ConfigurationError):
            raise DatabaseError(
                f"{where} can't be found", "check the host and the options of MONGODB_URI"
            ) from None
        if isinstance(error, PyMongoError | TimeoutError):
            raise DatabaseError(
                f"{where} does not answer within {timeout_s:g} s",
                "check MONGODB_URI, or leave it unset to run on an embedded database",
            ) from None
        raise
    return client, where


def connect_to_child(port: int, timeout_s: float) -> Client:
    """A client of our own server.

    It never repeats a write: SecantusDB forgets at a crash which writes it has done, so
    one whose reply was lost would be done twice.
    """
    return _client(
        f"mongodb://{LOOPBACK}:{port}/", timeout_s, directConnection=True, retryWrites=False
    )


async def until_it_answers(client: Client, timeout_s: float) -> None:
    """Also lets go of connections that a restart has cut. Raises DatabaseError."""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    await client.admin.command("ping")
                    return
                except ConnectionFailure:
                    await asyncio.sleep(RETRY_S)
    except (PyMongoError, TimeoutError) as error:
        raise DatabaseError(
            f"the database server of ours listens but does not answer: {error}"
        ) from error


async def close(client: Client) -> None:
    """Close its connections.

    The driver first takes leave of the server and would wait for one that is down, so it
    does that in a thread, and not for long.
    """

    def leave() -> None:
        with pymongo.timeout(CLOSE_WITHIN_S):
            client.close()

    await asyncio.to_thread(leave)


def _client(uri: str, timeout_s: float, **options: Any) -> Client:
    timeout_ms = round(timeout_s * 1000)
    return Client(
        uri,
        w="majority",
        tz_aware=True,
        appname="focusup",
        serverSelectionTimeoutMS=timeout_ms,
        connectTimeoutMS=timeout_ms,
        **options,
    )
