"""The latency of the latest ping of the database."""

import asyncio
from typing import Literal

import pytest
from structlog.testing import capture_logs

from models.base.driver_errors import StatementRefused
from models.base.errors import StorageUnavailable
from routes.monitoring import health
from routes.monitoring.health import DatabaseWatch


class PingedDatabase:
    """Answers with these in turn, then with the last for good."""

    kind: Literal["mongodb", "mongod", "secantusdb", "memory"] = "memory"

    def __init__(self, answers: list[float | Exception]) -> None:
        self.answers = answers
        self.asked = asyncio.Event()

    async def ping_ms(self) -> float:
        self.asked.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("error", "is_ours"),
    [
        (StorageUnavailable("no answer"), False),
        (StatementRefused("not authorized"), False),
        (RuntimeError("a bug"), True),
    ],
)
async def test_a_ping_that_fails_is_none_and_the_next_one_is_sent(
    error: Exception, is_ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "WATCH_EVERY_S", 0.0)
    database = PingedDatabase([1.5, error, 2.5])
    watch = DatabaseWatch(database)
    seen = []
    with capture_logs() as lines:
        running = asyncio.create_task(watch.run())
        for _ in range(3):
            async with asyncio.timeout(5):
                await database.asked.wait()
            database.asked.clear()
            seen.append(watch.latency_ms)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert seen == [1.5, None, 2.5]
    assert bool(lines) == is_ours
