"""Delete accounts, and follow deletions of other servers.

Invariants:

- A deleted user is refused, untracked and disconnected on every server before the second pass, so
  no data of the user can be stored after it.
- A removal that was interrupted is finished by any living server, without another request.
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
"""How long a request waits for the removal, which goes on after that."""

log = structlog.get_logger(__name__)


class AccountDeletions:
    """The deletions that this process has begun or learned of."""

    def __init__(
        self,
        departures: Deletions,
        *,
        remove: Callable[[str, datetime], Awaitable[None]],
        forget: Sequence[Callable[[str], None]],
        now: Callable[[], datetime],
    ) -> None:
        """Create it.

        Args:
            departures: The stored deletions.
            remove: Removes a user's data from the database.
            forget: Remove a user, with all connections, from the memory of this process.
            now: Gives aware UTC datetimes.
        """
        self._departures = departures
        self._remove = remove
        self._forget = forget
        self._now = now
        self._removing: dict[str, asyncio.Task[None]] = {}

    async def leave(self, identity: Identity, prove: Callable[[], Awaitable[bool]]) -> None:
        """Delete a user, and return when the data is removed; repeating it changes nothing.

        Args:
            identity: The user.
            prove: Returns whether the user has an account, or raises for a wrong password.

        Raises:
            StorageUnavailable: The deletion has not begun.
            Unavailable: `leaving`, the removal takes longer and goes on by itself.
        """
        if not self._departures.is_deleted(identity):
            had_account = await prove()
            await self._departures.begin(identity, self._now(), had_account=had_account)
            self._hear(identity.user_id)
        elif not self._departures.is_pending(identity):
            return  # an old token of a user who was deleted before
        try:
            async with asyncio.timeout(REMOVED_WITHIN_S):
                await asyncio.shield(self._removal(identity.user_id))
        except (TimeoutError, StorageUnavailable, StatementRefused):
            raise Unavailable(
                "leaving",
                "Deleting your data takes a while and continues in the background.",
                retry_after_s=10,
            ) from None

    async def hear(self) -> None:
        """Learn of deletions by other servers; raise StorageUnavailable or StatementRefused."""
        async with answered_within(ANSWER_WITHIN_S):
            heard = await self._departures.read_new(self._now())
        for user_id in heard:
            self._hear(user_id)

    async def run(self) -> None:
        """Learn of deletions, and finish them, for as long as the task lives.

        A removal that takes long does not delay the learning.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(run_every(HEAR_EVERY_S, self.hear, name="deletions_heard"))
            group.create_task(run_every(HEAR_EVERY_S, self._finish_due, name="deletions_finished"))

    async def _finish_due(self) -> None:
        for departure in self._departures.due_for_second_pass(self._now()):
            await self._finish(departure)

    async def _finish(self, departure: Deletion) -> None:
        """Remove what was stored since the first pass; a failure is tried again later."""
        try:
            if departure.user_id is not None:
                await self._removal(departure.user_id)
            async with answered_within(ANSWER_WITHIN_S):
                await self._departures.complete(departure)
        except (StorageUnavailable, StatementRefused) as error:
            log.warning("account_removal_failed", reason=type(error).__name__)
        except Exception:
            log.exception("account_removal_failed")

    def _removal(self, user_id: str) -> "asyncio.Task[None]":
        """Return the removal under way, or begin one that outlives the request."""
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
            task.exception()  # the caller has received it; else `run` tries again

    def _hear(self, user_id: str) -> None:
        for forget in self._forget:
            forget(user_id)
