"""People who leave, here or on another server.

What must always hold: whoever leaves is refused, untracked and cut off on every server
before the last removal, so that nothing of theirs can come after it; a removal that was cut
off, with this process or its database, is finished by whoever is left; and nobody has to
ask for it again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from datetime import datetime

import structlog

from models.base.driver_errors import StatementRefused, answered_within
from models.base.errors import StorageUnavailable, Unavailable
from models.concurrency.periodic import run_every
from models.privacy.deletions import Deletion, Deletions
from models.tokens.access_tokens import Identity

HEAR_EVERY_S = 1.0
ANSWER_WITHIN_S = 5.0
REMOVED_WITHIN_S = 8.0
"""How long whoever leaves waits for it; it goes on all the same."""

log = structlog.get_logger(__name__)


class AccountDeletions:
    def __init__(
        self,
        departures: Deletions,
        *,
        remove: Callable[[str, datetime], Awaitable[None]],
        forget: Sequence[Callable[[str], None]],
        now: Callable[[], datetime],
    ) -> None:
        """`remove` removes a user from the database, `forget` from the memory of this
        process, with their connections."""
        self._departures = departures
        self._remove = remove
        self._forget = forget
        self._now = now
        self._removing: dict[str, asyncio.Task[None]] = {}

    async def leave(self, identity: Identity, prove: Callable[[], Awaitable[bool]]) -> None:
        """Let this user go; returns when they are removed. Done again it changes nothing.

        `prove` says whether they have an account, or raises. Raises StorageUnavailable if
        nothing has begun, Unavailable "leaving" if it takes longer than a request may: then
        it goes on.
        """
        if not self._departures.is_deleted(identity):
            had_account = await prove()
            await self._departures.begin(identity, self._now(), had_account=had_account)
            self._hear(identity.user_id)
        elif not self._departures.is_pending(identity):
            return  # an old token of somebody who has left: what came after it stays
        try:
            async with asyncio.timeout(REMOVED_WITHIN_S):
                await asyncio.shield(self._removal(identity.user_id))
        except (TimeoutError, StorageUnavailable, StatementRefused):
            raise Unavailable(
                "leaving", "It takes a while, and goes on by itself.", retry_after_s=10
            ) from None

    async def hear(self) -> None:
        """Learn who has left elsewhere. Raises StorageUnavailable, StatementRefused."""
        async with answered_within(ANSWER_WITHIN_S):
            heard = await self._departures.read_new(self._now())
        for user_id in heard:
            self._hear(user_id)

    async def run(self) -> None:
        """Learn of deletions, and finish them, for as long as the task lives."""
        await run_every(HEAR_EVERY_S, self._hear_and_finish, name="account_deletions")

    async def _hear_and_finish(self) -> None:
        try:
            await self.hear()
        finally:  # a removal that is due must not wait for news
            for departure in self._departures.due_for_second_pass(self._now()):
                await self._finish(departure)

    async def _finish(self, departure: Deletion) -> None:
        """Remove what may have come since, and forget the user; should it fail, it is tried
        again, and keeps nobody else."""
        try:
            if departure.user_id is not None:
                await self._removal(departure.user_id)
            async with answered_within(ANSWER_WITHIN_S):
                await self._departures.complete(departure)
        except (StorageUnavailable, StatementRefused) as error:
            log.warning("leaving_failed", reason=type(error).__name__)
        except Exception:
            log.exception("leaving_failed")

    def _removal(self, user_id: str) -> "asyncio.Task[None]":
        """The removal under way, or a new one, which no time limit of a request ends."""
        task = self._removing.get(user_id)
        if task is None:
            work = self._remove_once(user_id)
            task = self._removing[user_id] = asyncio.create_task(work, context=Context())
            task.add_done_callback(lambda done: self._done(user_id, done))
        return task

    async def _remove_once(self, user_id: str) -> None:
        await self._remove(user_id, self._now())

    def _done(self, user_id: str, task: "asyncio.Task[None]") -> None:
        del self._removing[user_id]
        if not task.cancelled():
            task.exception()  # whoever waits is told; else `run` does it again

    def _hear(self, user_id: str) -> None:
        for forget in self._forget:
            forget(user_id)
