"""Close the days and months of page views that are over, in the background.

A failure, or a stop in the middle, leaves no period half closed. The next round, in this process or
another, goes on.
"""

from collections.abc import Callable
from datetime import datetime

import structlog

from models.concurrency.periodic import run_every
from models.page_statistics.rollup_job import ClosedPeriods

ROUND_S = 300.0
FIRST_AFTER_S = 15.0
"""Long enough to know which other processes live."""

log = structlog.get_logger(__name__)


class RollupJob:
    """The job that closes periods."""

    def __init__(
        self,
        periods: ClosedPeriods,
        *,
        now: Callable[[], datetime],
        round_s: float = ROUND_S,
        first_after_s: float = FIRST_AFTER_S,
    ) -> None:
        self._periods = periods
        self._now = now
        self._round_s = round_s
        self._first_after_s = first_after_s

    async def run(self) -> None:
        """Close what is due again and again, for as long as the task lives."""
        await run_every(
            self._round_s, self._close_due, name="rollups", first_after_s=self._first_after_s
        )

    async def _close_due(self) -> None:
        closed = await self._periods.close_due(self._now)
        if closed:
            log.info("page_views_rolled_up", periods=closed)
