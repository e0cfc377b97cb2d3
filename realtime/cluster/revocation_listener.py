"""Close open sockets whose tokens were revoked, by any server.

Invariants:

- A revoked token is refused, and its sockets are closed, on every server within `HEAR_EVERY_S` and
  the time of one read.
- A socket whose token is still good stays open.
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
    """The revocations that this process has read."""

    def __init__(
        self, revocations: Revocations, registries: Sequence[Registry], now: Callable[[], datetime]
    ) -> None:
        self._revocations = revocations
        self._registries = registries
        self._now = now

    def refuse_unless_read(self) -> None:
        """Raise StorageUnavailable until the revocations before the start are known."""
        if not self._revocations.were_read:
            raise StorageUnavailable

    async def hear(self) -> None:
        """Read new revocations, and close their sockets.

        Raises:
            StorageUnavailable: The database does not answer.
            StatementRefused: The database refuses the read.
        """
        is_revoked = self._revocations.is_revoked
        async for news in self._revocations.read_new(self._now()):
            for registry in self._registries:
                registry.close_if(news, is_revoked, CloseCode.UNAUTHORIZED, "signed out")

    async def run(self) -> None:
        """Learn of revocations for as long as the task lives."""
        await run_every(HEAR_EVERY_S, self.hear, name="revocations")
