"""The only writer of counted seconds: what the engine counted, booked exactly once.

What must always hold:

- one flush is in flight at a time; everything that changed meanwhile waits in the
  engine's dirty set, in memory bounded by the number of tracked things;
- a write is never sent again. After an error, a timeout or a count that falls short, its
  things are *in doubt*: they are read before the next flush, the document's word is
  adopted as what is stored, and the difference to the truth in memory is written anew. A
  late original then fails its comparison, or makes ours fall short, and we read again;
- a document that carries another process's stamp is not ours any more, and a missing one
  is deleted: both are dropped, and whoever watches is told;
- a thing that was begun here is written no sooner than it is stored, and to store it again
  changes nothing;
- statements that the database refuses are split until the one bad thing is alone, so it
  never keeps the others from being written.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

import structlog

from models.base.compare_and_set import Stamps, fenced
from models.base.driver_errors import StatementRefused, StorageUnavailable
from realtime.engine.clock import Clock
from realtime.engine.engine import Engine
from realtime.engine.metrics import Figures
from realtime.engine.statements import Statement, compose
from realtime.engine.tracked import T, Tracked
from scoring.timeline import Counts

READ_CHUNK = INSERT_CHUNK = 250
RETRY_AFTER_S = 0.25
"""How long a flush that failed waits before the next one."""
TROUBLE_AFTER_US = 2_000_000
"""How long nothing could be written before those who are tracked are told."""
QUARANTINE_US = 10_000_000
"""How long a thing that the database refuses by itself waits before it is tried again."""

QUARANTINES_LOGGED = 20
"""In one flush: a database that refuses everything need not be quoted a thousand times."""

log = structlog.get_logger(__name__)

Loss = Literal["deleted", "superseded", "ended"]


Kind_contra = TypeVar("Kind_contra", bound=Tracked, contravariant=True)


class Book(Protocol[Kind_contra]):
    """Where counted seconds are kept: one collection's queries and document shape.

    Every call raises `StorageUnavailable` when the outcome is unknown, and
    `StatementRefused` when the database answered with a refusal.
    """

    async def insert(self, things: Sequence[Kind_contra], /) -> set[Any]:
        """Store for the first time what was begun here, as it was then; to do so again
        changes nothing. Gives the ids that the database refuses."""
        ...

    async def write(self, ids: list[Any], pipeline: list[dict[str, Any]]) -> int: ...
    async def read(self, ids: list[Any]) -> dict[Any, dict[str, Any]]: ...
    def absolute(self, thing: Kind_contra) -> dict[str, Any]:
        """All that the engine knows of a thing, by the names of its fields."""
        ...

    def increments(self, increase: Counts) -> dict[str, int]: ...
    def counted(self, increase: Counts, at_us: int) -> dict[str, Any]:
        """What is set when the counters are increased."""
        ...

    def totals(self, document: dict[str, Any]) -> Counts:
        """Raises LookupError, TypeError or ValueError if they can't be read."""
        ...

    def matches(self, thing: Kind_contra, document: dict[str, Any]) -> bool: ...
    def ended(self, document: dict[str, Any]) -> bool: ...


class Ledger(Generic[T]):
    def __init__(
        self,
        engine: Engine[T],
        book: Book[T],
        clock: Clock,
        stamps: Stamps,
        *,
        on_lost: Callable[[T, Loss], None],
        on_trouble: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self.figures = Figures()
        self._engine = engine
        self._book = book
        self._clock = clock
        self._stamps = stamps
        self._on_lost = on_lost
        self._on_trouble = on_trouble
        self._failing_since_us: int | None = None
        self._trouble_told = False
        self._asked_us: int | None = None
        """Since when the database has left a statement waiting."""
        self._refused = self._quarantined = 0
        """Statements and things, within one flush."""
        self._current_us = clock.now_us()
        """When the last flush began that left nothing unwritten but what is refused."""
        self.in_flight = 0
        """Things that the flush under way has taken."""
        self._waiting: dict[T, list[tuple[int, asyncio.Future[None]]]] = {}
        self._wake = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._next_cell = 1

    @property
    def in_trouble(self) -> bool:
        """Whether nothing could be written for a while."""
        return self._trouble_told

    def behind_us(self, now_us: int) -> int:
        """How old what is counted and not written is at most."""
        return max(0, now_us - self._current_us)

    # --- for everybody --------------------------------------------------------------

    def wake(self) -> None:
        """Flush now, or as soon as the flush in flight is over."""
        self._wake.set()

    def watch(self, now_us: int) -> None:
        """Tell when the database has left us waiting, or refused everything, for too long."""
        since_us = self._asked_us if self._failing_since_us is None else self._failing_since_us
        if since_us is not None and now_us - since_us >= TROUBLE_AFTER_US:
            self._tell(trouble=True)

    async def saved(self, thing: T) -> None:
        """Until the database has acknowledged the thing as it is now.

        Returns as well if it is lost to this process meanwhile (`thing.gone`).
        """
        if thing.gone or thing.saved_revision >= thing.revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(thing, []).append((thing.revision, future))
        self.wake()
        await future

    def look(self, thing: T) -> None:
        """Read its document before the next write: somebody else may have changed it."""
        thing.doubt = True
        self._engine.mark(thing)
        self.wake()

    def lose(self, thing: T, loss: Loss) -> None:
        """The thing is no longer ours to count: forget it, and tell who waits or watches."""
        log.info("lost", thing=str(thing.thing_id), reason=loss)
        self._engine.drop(thing)
        self._answer(thing)
        self._on_lost(thing, loss)

    async def run(self) -> None:
        """Flush whenever woken, for as long as the task lives."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not await self.flush():
                await asyncio.sleep(RETRY_AFTER_S)
                self.wake()

    async def drain(self) -> None:
        """Until everything is written. For stopping; the caller sets the limit."""
        for thing in self._engine.things.values():
            thing.quarantined_until_us = 0  # one last try
        while self._engine.dirty_count or self._flushing.locked():
            before = self._engine.dirty_count
            if not await self.flush() or self._engine.dirty_count >= before:
                await asyncio.sleep(RETRY_AFTER_S)

    # --- one flush ------------------------------------------------------------------

    async def flush(self) -> bool:
        """Write what is dirty, once. False if the database did not answer for all of it."""
        async with self._flushing:
            return await self._flush()

    async def _flush(self) -> bool:
        started_us = self._clock.now_us()
        things = self._engine.take_dirty()
        if not things:
            self._current_us = started_us
            return True
        self.in_flight = len(things)
        statements: list[Statement[T]] = []
        unborn: list[T] = []
        answered = False
        self._refused = self._quarantined = 0
        try:
            ready = [thing for thing in things if thing.quarantined_until_us <= started_us]
            unborn = [thing for thing in ready if thing.unborn]
            answered = await self._bring_in(unborn) and await self._resolve(
                [thing for thing in ready if thing.doubt]
            )
            certain = [thing for thing in ready if not (thing.unborn or thing.doubt or thing.gone)]
            statements = compose(
                certain,
                stamp=self._stamps.fresh(),
                absolute=self._book.absolute,
                counted=lambda increase: self._book.counted(increase, started_us),
            )
            for statement in statements:
                if not answered:
                    break  # what was not sent is not in doubt, only late
                answered = await self._execute(statement)
        except Exception:
            # Our bug. What was counted stays in memory, and is tried again.
            if self._failing_since_us is None:  # once until one succeeds
                log.exception("flush_failed")
            answered = False
        finally:
            for thing in things:
                self._settle_account(thing)
            self.in_flight = 0
        if statements or unborn or not answered:
            self.figures.flushed(len(statements), self._clock.now_us() - started_us)
        # Whoever refuses everything is not at work, though there are answers.
        at_work = answered and (not statements or self._refused < len(statements))
        if at_work:
            self._current_us = started_us
        if statements or not answered:
            self._watch_answers(started_us, answered=at_work)
        return answered

    async def _execute(self, statement: Statement[T]) -> bool:
        """Run one statement; False if its outcome is unknown."""
        increments = None
        if statement.increase is not None:
            increments = self._book.increments(statement.increase)
        pipeline = fenced(
            statement.expected, statement.stamp, values=statement.values, increments=increments
        )
        things = statement.things
        self._asked_us = self._clock.now_us()
        try:
            changed = await self._book.write([thing.thing_id for thing in things], pipeline)
        except StorageUnavailable as error:
            log.warning("write_in_doubt", things=len(things), reason=error.code)
            self._doubt(things)
            return False
        except StatementRefused as error:
            self._doubt(things)
            self._refused += 1
            self._split(things, error)
            return True
        except BaseException:
            self._doubt(things)
            raise
        finally:
            self._asked_us = None
        if changed != len(things):
            self._doubt(things)
            return True
        for thing in things:
            self._acknowledge(thing)
        return True

    async def _bring_in(self, things: list[T]) -> bool:
        """Store what was begun here; False if unanswered."""
        for at in range(0, len(things), INSERT_CHUNK):
            chunk = things[at : at + INSERT_CHUNK]
            self._asked_us = self._clock.now_us()
            try:
                refused = await self._book.insert(chunk)
            except StorageUnavailable as error:
                log.warning("insert_in_doubt", things=len(chunk), reason=error.code)
                return False
            finally:
                self._asked_us = None
            for thing in chunk:
                if thing.thing_id in refused:
                    self._quarantine(thing, "refused when it was to be stored first")
                else:
                    thing.unborn = False
        return True

    async def _resolve(self, things: list[T]) -> bool:
        """Read the things in doubt and adopt what is stored; False if unanswered."""
        for at in range(0, len(things), READ_CHUNK):
            chunk = things[at : at + READ_CHUNK]
            self._asked_us = self._clock.now_us()
            try:
                documents = await self._book.read([thing.thing_id for thing in chunk])
            except StorageUnavailable:
                return False
            finally:
                self._asked_us = None
            for thing in chunk:
                try:
                    self._adopt(thing, documents.get(thing.thing_id))
                except (AttributeError, LookupError, TypeError, ValueError) as error:
                    thing.doubt = True
                    self._quarantine(thing, f"unreadable: {error!r}")
        return True

    def _adopt(self, thing: T, document: dict[str, Any] | None) -> None:
        if document is None:
            self.lose(thing, "deleted")
            return
        stamp, stored = document["stamp"], self._book.totals(document)
        thing.doubt = False
        attempt = thing.attempt
        if attempt is not None and stamp == attempt.stamp:
            self._acknowledge(thing)
        elif not self._stamps.ours(stamp):
            self.lose(thing, "ended" if self._book.ended(document) else "superseded")
        else:
            self.figures.stored(thing.stored, stored)
            thing.stamp = stamp
            thing.stored = stored
            if not self._book.matches(thing, document):
                thing.saved_revision = min(thing.saved_revision, thing.revision - 1)

    # --- bookkeeping ------------------------------------------------------------------

    def _doubt(self, things: Sequence[T]) -> None:
        self.figures.doubts += len(things)
        for thing in things:
            thing.doubt = True

    def _split(self, things: list[T], error: StatementRefused) -> None:
        """Keep the two halves of a refused statement apart from now on."""
        if len(things) == 1:
            self._quarantine(things[0], str(error))
        for thing in things[len(things) // 2 :]:
            thing.cell = self._next_cell
        self._next_cell += 1

    def _quarantine(self, thing: T, reason: str) -> None:
        """Leave it alone for a while: what is wrong with it must not keep the others."""
        thing.quarantined_until_us = self._clock.now_us() + QUARANTINE_US
        self._quarantined += 1
        self.figures.quarantines += 1
        if self._quarantined <= QUARANTINES_LOGGED:
            log.error("quarantined", thing=str(thing.thing_id), reason=reason)

    def _acknowledge(self, thing: T) -> None:
        attempt = thing.attempt
        if attempt is None:
            raise AssertionError("only an attempt is acknowledged")
        self.figures.stored(thing.stored, attempt.totals)
        thing.stamp = attempt.stamp
        thing.stored = attempt.totals
        thing.saved_revision = max(thing.saved_revision, attempt.revision)
        thing.attempt = None
        thing.cell = 0  # it can be written: it may be written with all others again

    def _settle_account(self, thing: T) -> None:
        """After a flush: keep what is not yet saved, forget what is saved and left."""
        if thing.gone:
            self._answer(thing)
            return
        totals = (thing.active, thing.idle, thing.tab_switches)
        unsaved = thing.unborn or thing.doubt
        if unsaved or thing.revision != thing.saved_revision or totals != thing.stored:
            self._engine.mark(thing)
        elif not thing.viewers or thing.ended_at_us is not None:
            self._engine.drop(thing)
        if self._waiting:
            self._answer(thing)

    def _answer(self, thing: T) -> None:
        """Tell those who wait for the thing to be saved."""
        waiting = self._waiting.pop(thing, None)
        if waiting is None:
            return
        rest = []
        for revision, future in waiting:
            if thing.gone or thing.saved_revision >= revision:
                if not future.done():
                    future.set_result(None)
            else:
                rest.append((revision, future))
        if rest:
            self._waiting[thing] = rest

    def _watch_answers(self, started_us: int, *, answered: bool) -> None:
        """Tell once when the database has been failing for a while, and once when it is back."""
        if answered:
            self._failing_since_us = None
            self._tell(trouble=False)
        elif self._failing_since_us is None:
            self._failing_since_us = started_us
        self.watch(self._clock.now_us())

    def _tell(self, *, trouble: bool) -> None:
        if trouble != self._trouble_told:
            self._trouble_told = trouble
            log.warning("database_degraded" if trouble else "database_recovered")
            self._on_trouble(trouble)
