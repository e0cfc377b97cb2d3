"""Signing out, here or on another server, reaches the sockets that are open.

What must always hold: whatever was signed out is refused and cut off on every server within
`HEAR_EVERY_S` and the time of one reading; and a socket whose token is still good is left
alone.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from models.base.errors import StorageUnavailable
from models.concurrency.periodic import run_every
from models.tokens.revocations import Revocations
from realtime.protocol.close_codes import CloseCode
from realtime.sockets.registry import Registry

HEAR_EVERY_S = 0.5

log = structlog.get_logger(__name__)


class RevocationListener:
    def __init__(
        self, revocations: Revocations, hubs: Sequence[Registry], now: Callable[[], datetime]
    ) -> None:
        self._revocations = revocations
        self._hubs = hubs
        self._now = now

    def refuse_unless_read(self) -> None:
        """Raises StorageUnavailable until it is known what was signed out before the start."""
        if not self._revocations.were_read:
            raise StorageUnavailable

    async def hear(self) -> None:
        """Learn what was signed out, and close its sockets. Raises StorageUnavailable,
        StatementRefused."""
        is_revoked = self._revocations.is_revoked
        async for news in self._revocations.read_new(self._now()):
            for registry in self._hubs:
                registry.close_if(news, is_revoked, CloseCode.UNAUTHORIZED, "signed out")

    async def run(self) -> None:
        """Learn of revocations for as long as the task lives."""
        await run_every(HEAR_EVERY_S, self.hear, name="revocations")
