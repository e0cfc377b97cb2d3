"""What became of a call to the database, in two words that upper floors understand.

`StorageUnavailable`: no answer, so nobody knows whether it was done. `StatementRefused`:
an answer, and it was no. Everything else is a bug and stays what it is.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pymongo
from pymongo.errors import (
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from models.base.errors import StorageUnavailable

__all__ = ["StatementRefused", "StorageUnavailable", "answered_within", "translated"]

DRIVER_LEAD_S = 0.5
"""How much earlier than us the driver gives up, so that its thread is free again."""


class StatementRefused(Exception):  # noqa: N818 - as in `models.base.errors`
    """The database answered that it will not do this."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into ours; a timeout is no answer."""
    try:
        yield
    except (ConnectionFailure, ExecutionTimeout, WTimeoutError, TimeoutError) as error:
        raise StorageUnavailable("database_unavailable", "The database does not answer.") from error
    except OperationFailure as error:
        if error.has_error_label("RetryableWriteError") or error.timeout:
            raise StorageUnavailable(
                "database_unavailable", "The database is changing its primary."
            ) from error
        raise StatementRefused(f"{type(error).__name__} {error.code}") from error
    except PyMongoError as error:
        if error.timeout:
            raise StorageUnavailable(
                "database_unavailable", "The database does not answer."
            ) from error
        raise


@asynccontextmanager
async def answered_within(seconds: float) -> AsyncIterator[None]:
    """`translated`, and no answer after so many seconds is none."""
    with translated():
        async with asyncio.timeout(seconds):
            with pymongo.timeout(max(seconds - DRIVER_LEAD_S, seconds / 2)):
                yield
