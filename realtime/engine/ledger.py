"""Write what the engine counts: the only writer of counted seconds, each booked exactly once.

Invariants:

- One flush is in flight at a time. Changes in the meantime wait in the engine's dirty set, in
  memory bounded by the number of tracked items.
- A write is never sent again. After an error, a timeout or a count that falls short, its items are
  *in doubt*: before the next flush their documents are read, the stored totals are adopted, and
  the difference to memory is written anew. If the original write arrives late, either its stamp
  comparison fails, or ours does and the documents are read again.
- A document with the stamp of another process is owned by that process, and a missing document was
  deleted. Both items are dropped, and their viewers are told.
- An item that was started in this process is inserted before it is updated. Repeating the insert
  changes nothing.
- A statement that the database refuses is split until the one bad item is alone, so that it does
  not keep the others from being written.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal

import structlog

from models.base.compare_and_set import Stamps, fenced
from models.base.driver_errors import StatementRefused, StorageUnavailable
from realtime.engine.clock import Clock
from realtime.engine.engine import Engine
from realtime.engine.metrics import Figures
from realtime.engine.statements import Statement, compose
from realtime.engine.store import Store
from realtime.engine.tracked import T

READ_CHUNK = INSERT_CHUNK = 250
RETRY_AFTER_S = 0.25
"""How long a flush that failed waits before the next one."""
TROUBLE_AFTER_US = 2_000_000
"""How long nothing could be written before the viewers are told."""
QUARANTINE_US = 10_000_000
"""How long an item that the database refuses waits before it is tried again."""

QUARANTINES_LOGGED = 20
"""In one flush: a database that refuses everything must not fill the log."""

log = structlog.get_logger(__name__)

Loss = Literal["deleted", "superseded", "ended"]


class Ledger(Generic[T]):
    """The writer of one engine."""

    def __init__(
        self,
        engine: Engine[T],
        store: Store[T],
        clock: Clock,
        stamps: Stamps,
        *,
        on_lost: Callable[[T, Loss], None],
        on_trouble: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self.figures = Figures()
        self._engine = engine
        self._store = store
        self._clock = clock
        self._stamps = stamps
        self._on_lost = on_lost
        self._on_trouble = on_trouble
        self._failing_since_us: int | None = None
        self._trouble_reported = False
        self._asked_us: int | None = None
        """When the statement under way was sent; None between statements."""
        self._refused = self._quarantined = 0
        """Refused statements and quarantined items of the current flush."""
        self._current_us = clock.now_us()
        """When the last flush began that wrote everything but refused items."""
        self.in_flight = 0
        """Items in the flush under way."""
        self._waiting: dict[T, list[tuple[int, asyncio.Future[None]]]] = {}
        self._wake = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._next_cell = 1

    @property
    def in_trouble(self) -> bool:
        """Whether nothing could be written for a while."""
        return self._trouble_reported

    def behind_us(self, now_us: int) -> int:
        """Return the largest age of a counted second that is not yet written."""
        return max(0, now_us - self._current_us)

    # --- interface ------------------------------------------------------------------

    def wake(self) -> None:
        """Flush now, or as soon as the flush in flight is over."""
        self._wake.set()

    def watch(self, now_us: int) -> None:
        """Report a database that has not answered, or refused everything, for too long."""
        since_us = self._asked_us if self._failing_since_us is None else self._failing_since_us
        if since_us is not None and now_us - since_us >= TROUBLE_AFTER_US:
            self._report(trouble=True)

    async def saved(self, tracked: T) -> None:
        """Wait until the database has acknowledged an item as it is now.

        Also returns when the item is lost to this process in the meantime (`tracked.gone`).
        """
        if tracked.gone or tracked.saved_revision >= tracked.revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tracked, []).append((tracked.revision, future))
        self.wake()
        await future

    def look(self, tracked: T) -> None:
        """Read the document before the next write: another process may have changed it."""
        tracked.doubt = True
        self._engine.mark(tracked)
        self.wake()

    def lose(self, tracked: T, loss: Loss) -> None:
        """Drop an item that this process no longer owns; tell its viewers and waiting callers."""
        log.info("item_lost", tracked=str(tracked.tracked_id), reason=loss)
        self._engine.drop(tracked)
        self._wake_waiting(tracked)
        self._on_lost(tracked, loss)

    async def run(self) -> None:
        """Flush whenever woken, for as long as the task lives."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not await self.flush():
                await asyncio.sleep(RETRY_AFTER_S)
                self.wake()

    async def drain(self) -> None:
        """Flush until everything is written, for a stop; the caller sets the time limit."""
        for tracked in self._engine.all_tracked.values():
            tracked.quarantined_until_us = 0  # one last try
        while self._engine.dirty_count or self._flushing.locked():
            before = self._engine.dirty_count
            if not await self.flush() or self._engine.dirty_count >= before:
                await asyncio.sleep(RETRY_AFTER_S)

    # --- one flush ------------------------------------------------------------------

    async def flush(self) -> bool:
        """Write the dirty items once; return False if the database left a statement unanswered."""
        async with self._flushing:
            return await self._flush()

    async def _flush(self) -> bool:
        started_us = self._clock.now_us()
        batch = self._engine.take_dirty()
        if not batch:
            self._current_us = started_us
            return True
        self.in_flight = len(batch)
        statements: list[Statement[T]] = []
        unborn: list[T] = []
        answered = False
        self._refused = self._quarantined = 0
        try:
            ready = [tracked for tracked in batch if tracked.quarantined_until_us <= started_us]
            unborn = [tracked for tracked in ready if tracked.unborn]
            answered = await self._insert_new(unborn) and await self._read_in_doubt(
                [tracked for tracked in ready if tracked.doubt]
            )
            certain = [
                tracked
                for tracked in ready
                if not (tracked.unborn or tracked.doubt or tracked.gone)
            ]
            statements = compose(
                certain,
                stamp=self._stamps.fresh(),
                absolute=self._store.absolute,
                counted=lambda increase: self._store.counted(increase, started_us),
            )
            for statement in statements:
                if not answered:
                    break  # statements that were not sent are late, but not in doubt
                answered = await self._execute(statement)
        except Exception:
            # A bug of ours. The counted seconds stay in memory and are tried again.
            if self._failing_since_us is None:  # once until one succeeds
                log.exception("flush_failed")
            answered = False
        finally:
            for tracked in batch:
                self._finish(tracked)
            self.in_flight = 0
        if statements or unborn or not answered:
            self.figures.flushed(len(statements), self._clock.now_us() - started_us)
        # A database that refuses everything is not working, although it answers.
        at_work = answered and (not statements or self._refused < len(statements))
        if at_work:
            self._current_us = started_us
        if statements or not answered:
            self._watch_answers(started_us, answered=at_work)
        return answered

    async def _execute(self, statement: Statement[T]) -> bool:
        """Send one statement; return False if its outcome is unknown."""
        increments = None
        if statement.increase is not None:
            increments = self._store.increments(statement.increase)
        pipeline = fenced(
            statement.expected, statement.stamp, values=statement.values, increments=increments
        )
        batch = statement.batch
        self._asked_us = self._clock.now_us()
        try:
            changed = await self._store.write([tracked.tracked_id for tracked in batch], pipeline)
        except StorageUnavailable as error:
            log.warning("write_in_doubt", count=len(batch), reason=error.code)
            self._doubt(batch)
            return False
        except StatementRefused as error:
            self._doubt(batch)
            self._refused += 1
            self._split(batch, error)
            return True
        except BaseException:
            self._doubt(batch)
            raise
        finally:
            self._asked_us = None
        if changed != len(batch):
            self._doubt(batch)
            return True
        for tracked in batch:
            self._acknowledge(tracked)
        return True

    async def _insert_new(self, batch: list[T]) -> bool:
        """Insert items that were started in this process; return False if unanswered."""
        for at in range(0, len(batch), INSERT_CHUNK):
            chunk = batch[at : at + INSERT_CHUNK]
            self._asked_us = self._clock.now_us()
            try:
                refused = await self._store.insert(chunk)
            except StorageUnavailable as error:
                log.warning("insert_in_doubt", count=len(chunk), reason=error.code)
                return False
            finally:
                self._asked_us = None
            for tracked in chunk:
                if tracked.tracked_id in refused:
                    self._quarantine(tracked, "the insert was refused")
                else:
                    tracked.unborn = False
        return True

    async def _read_in_doubt(self, batch: list[T]) -> bool:
        """Read items in doubt and adopt what is stored; return False if unanswered."""
        for at in range(0, len(batch), READ_CHUNK):
            chunk = batch[at : at + READ_CHUNK]
            self._asked_us = self._clock.now_us()
            try:
                documents = await self._store.read([tracked.tracked_id for tracked in chunk])
            except StorageUnavailable:
                return False
            finally:
                self._asked_us = None
            for tracked in chunk:
                try:
                    self._adopt(tracked, documents.get(tracked.tracked_id))
                except (AttributeError, LookupError, TypeError, ValueError) as error:
                    tracked.doubt = True
                    self._quarantine(tracked, f"unreadable: {error!r}")
        return True

    def _adopt(self, tracked: T, document: dict[str, Any] | None) -> None:
        """Take over the stored state of an item in doubt, by the stamp of its document."""
        if document is None:
            self.lose(tracked, "deleted")
            return
        stamp, stored = document["stamp"], self._store.totals(document)
        tracked.doubt = False
        attempt = tracked.attempt
        if attempt is not None and stamp == attempt.stamp:  # the write was applied
            self._acknowledge(tracked)
        elif not self._stamps.ours(stamp):
            self.lose(tracked, "ended" if self._store.ended(document) else "superseded")
        else:
            self.figures.stored(tracked.stored, stored)
            tracked.stamp = stamp
            tracked.stored = stored
            if not self._store.matches(tracked, document):
                tracked.saved_revision = min(tracked.saved_revision, tracked.revision - 1)

    # --- bookkeeping ------------------------------------------------------------------

    def _doubt(self, batch: Sequence[T]) -> None:
        self.figures.doubts += len(batch)
        for tracked in batch:
            tracked.doubt = True

    def _split(self, batch: list[T], error: StatementRefused) -> None:
        """Write the two halves of a refused statement apart from now on."""
        if len(batch) == 1:
            self._quarantine(batch[0], str(error))
        for tracked in batch[len(batch) // 2 :]:
            tracked.cell = self._next_cell
        self._next_cell += 1

    def _quarantine(self, tracked: T, reason: str) -> None:
        """Leave a refused item out of the next flushes."""
        tracked.quarantined_until_us = self._clock.now_us() + QUARANTINE_US
        self._quarantined += 1
        self.figures.quarantines += 1
        if self._quarantined <= QUARANTINES_LOGGED:
            log.error("item_quarantined", tracked=str(tracked.tracked_id), reason=reason)

    def _acknowledge(self, tracked: T) -> None:
        attempt = tracked.attempt
        if attempt is None:
            raise AssertionError("only an attempt is acknowledged")
        self.figures.stored(tracked.stored, attempt.totals)
        tracked.stamp = attempt.stamp
        tracked.stored = attempt.totals
        tracked.saved_revision = max(tracked.saved_revision, attempt.revision)
        tracked.attempt = None
        tracked.cell = 0  # writable again, so together with all others

    def _finish(self, tracked: T) -> None:
        """After a flush: keep an unsaved item dirty, drop a saved and released one."""
        if tracked.gone:
            self._wake_waiting(tracked)
            return
        totals = (tracked.active, tracked.idle, tracked.tab_switches)
        unsaved = tracked.unborn or tracked.doubt
        if unsaved or tracked.revision != tracked.saved_revision or totals != tracked.stored:
            self._engine.mark(tracked)
        elif not tracked.viewers or tracked.ended_at_us is not None:
            self._engine.drop(tracked)
        if self._waiting:
            self._wake_waiting(tracked)

    def _wake_waiting(self, tracked: T) -> None:
        """Wake the callers of `saved` whose revision is stored."""
        waiting = self._waiting.pop(tracked, None)
        if waiting is None:
            return
        rest = []
        for revision, future in waiting:
            if tracked.gone or tracked.saved_revision >= revision:
                if not future.done():
                    future.set_result(None)
            else:
                rest.append((revision, future))
        if rest:
            self._waiting[tracked] = rest

    def _watch_answers(self, started_us: int, *, answered: bool) -> None:
        """Report once that the database has been failing for a while, and once that it is back."""
        if answered:
            self._failing_since_us = None
            self._report(trouble=False)
        elif self._failing_since_us is None:
            self._failing_since_us = started_us
        self.watch(self._clock.now_us())

    def _report(self, *, trouble: bool) -> None:
        if trouble != self._trouble_reported:
            self._trouble_reported = trouble
            log.warning("database_degraded" if trouble else "database_recovered")
            self._on_trouble(trouble)
