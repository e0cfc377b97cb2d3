"""Reduce the errors of the driver to two.

`StorageUnavailable` means that there was no answer, so the outcome is unknown. `StatementRefused`
means that the database answered with a refusal. Any other exception is a bug and is passed on.
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
    """The database has refused a statement."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors of the driver into `StorageUnavailable` and `StatementRefused`.

    A timeout counts as no answer.
    """
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
    """Limit the time of database calls, and translate their errors."""
    with translated():
        async with asyncio.timeout(seconds):
            with pymongo.timeout(max(seconds - DRIVER_LEAD_S, seconds / 2)):
                yield
