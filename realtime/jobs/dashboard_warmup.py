"""Lets the dashboard remember what is settled, so that its first reading of a day is as
quick as any other, and rows are counted before their age removes them."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from models.admin.dashboard import Dashboard
from models.base.driver_errors import StatementRefused, translated
from models.base.errors import StorageUnavailable

EVERY_S = 600.0

log = structlog.get_logger(__name__)


class DashboardWarmup:
    def __init__(self, dashboard: Dashboard, now: Callable[[], datetime]) -> None:
        self._dashboard = dashboard
        self._now = now

    async def run(self) -> None:
        """Again and again, for as long as the task lives."""
        while True:
            try:
                with translated():
                    await self._dashboard.remember(self._now())
            except (StorageUnavailable, StatementRefused):
                pass  # nobody waits for it
            except Exception:
                log.exception("remembering_failed")
            await asyncio.sleep(EVERY_S)
