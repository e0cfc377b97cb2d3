"""The background job: it goes on whatever happens in a round."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from models.base.driver_errors import StatementRefused, StorageUnavailable
from realtime.pageviews.rollup_job import RollupJob

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Scripted:
    """Periods whose rounds end as they are told to; then the job is over."""

    def __init__(self, *ends: int | Exception) -> None:
        self._ends = list(ends)
        self.over = asyncio.Event()

    async def close_due(self, now: Callable[[], datetime]) -> int:
        assert now() == NOW
        if not self._ends:
            self.over.set()
            return 0
        end = self._ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end


async def events_of(*ends: int | Exception) -> list[str]:
    periods: Any = Scripted(*ends)
    job = RollupJob(periods, now=lambda: NOW, round_s=0, first_after_s=0)
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(job.run())
        async with asyncio.timeout(5):
            await periods.over.wait()
        task.cancel()
    return [entry["event"] for entry in logs]


async def test_it_says_what_it_has_closed() -> None:
    assert await events_of(0, 3, 0) == ["page_views_rolled_up"]


async def test_it_goes_on_after_every_failure() -> None:
    failures = (StorageUnavailable(), StatementRefused(), RuntimeError("a bug"))
    assert await events_of(*failures, 1) == [
        "job_failed",
        "page_views_rolled_up",
    ]
