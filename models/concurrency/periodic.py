"""Repeat work in the background for as long as its task lives."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from models.base.driver_errors import StatementRefused, StorageUnavailable, translated

log = structlog.get_logger(__name__)


async def run_every(
    interval_s: float,
    job: Callable[[], Awaitable[None]],
    *,
    name: str,
    first_after_s: float = 0.0,
) -> NoReturn:
    """Call `job` again and again, each time `interval_s` after it has ended.

    A database that does not answer, or refuses, is reported by the ledger and by health, so the
    job is only tried again. Any other exception is a bug: it is logged as `job_failed`, and the
    job goes on.

    Args:
        interval_s: Seconds between the end of one call and the begin of the next.
        job: The work; it may raise anything.
        name: What the log calls the job.
        first_after_s: Seconds before the first call.
    """
    await asyncio.sleep(first_after_s)
    while True:
        try:
            with translated():
                await job()
        except (StorageUnavailable, StatementRefused):
            pass
        except Exception:
            log.exception("job_failed", job=name)
        await asyncio.sleep(interval_s)
