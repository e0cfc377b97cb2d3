"""Background work goes on through failures, and ends with its task."""

import asyncio

import pytest
from pymongo.errors import AutoReconnect
from structlog.testing import capture_logs

from models.base.driver_errors import StatementRefused
from models.concurrency.periodic import run_every


async def test_a_job_is_repeated_through_failures_until_its_task_ends() -> None:
    failures = [AutoReconnect("no primary"), StatementRefused("no"), ValueError("a bug")]
    third, calls = asyncio.Event(), 0

    async def job() -> None:
        nonlocal calls
        calls += 1
        if failures:
            raise failures.pop(0)
        third.set()

    with capture_logs() as logs:
        task = asyncio.create_task(run_every(0.0, job, name="sweep"))
        async with asyncio.timeout(5):
            await third.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls >= 4
    assert [(entry["event"], entry["job"]) for entry in logs] == [("job_failed", "sweep")]


async def test_the_first_call_may_wait() -> None:
    called = asyncio.Event()

    async def job() -> None:
        called.set()

    task = asyncio.create_task(run_every(60.0, job, name="sweep", first_after_s=60.0))
    await asyncio.sleep(0.01)
    assert not called.is_set()
    task.cancel()
