"""Track page views, on the same engine and ledger as focus sessions.

Invariants:

- A view counts as visible while its connection says so, and as engaged while the last sign of
  activity is no older than the idle threshold times the attention coefficient of the page.
- A view is inserted when it starts, and is written by the ledger alone.
- A view ends with its connection.
- The number of page names is bounded.
"""

import asyncio
from collections.abc import Callable, Iterable
from weakref import WeakValueDictionary

from bson import ObjectId

from models.base.compare_and_set import Stamps
from models.base.database import Database, Document
from models.base.driver_errors import answered_within
from models.base.errors import Busy
from models.concurrency.periodic import run_every
from models.pageviews.page_view import (
    ANONYMOUS_VIEW,
    delete_page_names,
    is_rarely_seen,
    new_view,
    read_page_names,
    size_of,
)
from models.pageviews.storage_budgets import Allowances, StorageBudget
from models.pageviews.visitors import Arrival, arrive, join_user
from realtime.engine.clock import Clock
from realtime.engine.ledger import Loss
from realtime.engine.tracked import Viewer
from realtime.pageviews.page_limit import PageLimit
from realtime.pageviews.store import ENDED, PageViewStore, TrackedView
from realtime.protocol.close_codes import CloseCode
from realtime.protocol.page_messages import View, page_tick_message
from realtime.sockets.pipeline import Pipeline
from realtime.sockets.registry import Registry

ANSWER_WITHIN_S = 5.0
READ_NAMES_EVERY_S = 60.0
SECOND_US = 1_000_000


class PageViewTracking:
    """The page views that this process tracks."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        process: str,
        is_alive: Callable[[str | None], bool],
        coefficient: Callable[[str], float],
        idle_after_s: float,
        max_sockets_per_visitor: int,
        max_sockets: int,
        names: PageLimit,
        budget: StorageBudget,
        max_waiting: int,
    ) -> None:
        """Create it.

        Args:
            db: The database.
            clock: The clock of counting.
            process: The name of this process among the servers.
            is_alive: Returns whether another process lives.
            coefficient: Returns the attention coefficient of a page.
            idle_after_s: The idle threshold of a page with coefficient 1.
            max_sockets_per_visitor: The limit of one visitor.
            max_sockets: The limit of all.
            names: The limit of page names.
            budget: What strangers may make us store.
            max_waiting: How many ended views may wait for the database.
        """
        self.clock = clock
        self.registry = Registry(max_per_user=max_sockets_per_visitor, max_in_all=max_sockets)
        self._db = db
        self._process = process
        self._is_alive = is_alive
        self._coefficient = coefficient
        self._idle_after_s = idle_after_s
        self._names = names
        self._budget = budget
        self._max_waiting = max_waiting
        self._arriving: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """One lock a visitor: tabs that open together share one browser session."""
        self._latest: WeakValueDictionary[str, TrackedView] = WeakValueDictionary()
        """The latest view of each visitor, before the database has it."""
        self._stamps = stamps = Stamps(process + "p")
        self._store = PageViewStore(db, clock, process)
        self.counting = counting = Pipeline(
            self._store, clock, stamps, self.registry, announce=self._announce, on_lost=self._lost
        )
        self.engine, self.ledger = counting.engine, counting.ledger
        self.keep = counting.keep

    # --- life -------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to count."""
        self.counting.start(run_every(READ_NAMES_EVERY_S, self._read_names, name="page_names"))

    async def stop(self, *, within_s: float) -> list[TrackedView]:
        """End every view, write everything, then close every socket with 1012.

        Returns:
            The views that could not be written in time.
        """
        return await self.counting.stop(self._end_all, within_s=within_s)

    async def _end_all(self) -> None:
        now_us = self.clock.now_us()
        for tracked in list(self.engine.all_tracked.values()):
            for viewer in list(tracked.viewers):
                viewer.released(tracked, ended=True)
                self.end(tracked, viewer, now_us)

    async def _read_names(self) -> None:
        """Learn the page names that other processes have stored, and drop the rare ones."""
        now_us = self.clock.now_us()
        now = self.clock.wall(now_us)
        async with answered_within(ANSWER_WITHIN_S):
            rows = await read_page_names(self._db)
            expired = {row["_id"] for row in rows if is_rarely_seen(row, now)}
            await delete_page_names(self._db, sorted(expired))
        names = {row["_id"] for row in rows} - expired
        self._names.know(names, now_us / SECOND_US)

    @property
    def tracked_count(self) -> int:
        """The number of views in memory."""
        return len(self.engine.all_tracked)

    # --- for sockets --------------------------------------------------------------------

    async def arrive(self, visitor_id: str, user_id: str | None, user_agent: str) -> Arrival:
        """Return the browser session that the visitor's next view belongs to.

        Raises:
            StorageUnavailable: The database does not answer.
        """
        lock = self._arriving.setdefault(visitor_id, asyncio.Lock())
        async with answered_within(ANSWER_WITHIN_S), lock:
            before = self._latest.get(visitor_id)
            was_stored = before is None or not before.unborn
            arrival = await arrive(
                self._db,
                visitor_id,
                user_id=user_id,
                user_agent=user_agent,
                is_open=self._is_open,
                now=self.clock.wall(self.clock.now_us()),
            )
        latest = self._latest.get(visitor_id)
        if latest is None or (latest is before and was_stored):
            return arrival  # the stored view is the latest, or is newer and of another process
        if latest.begun["browserSessionId"] != arrival.browser_session_id:
            return arrival
        return arrival._replace(last_view_id=latest.begun["_id"])

    def admit(
        self,
        view: View,
        *,
        views: Allowances,
        arrives: bool,
        address: str,
        user_id: str | None,
        now_us: int,
    ) -> None:
        """Charge the budgets for a new view; `views` are the allowances of its connection.

        Raises:
            TooMany: A budget is used up.
            Busy: Too many ended views wait for the database.
        """
        # Each socket has one view that has not ended.
        if len(self.engine.all_tracked) - len(self.registry) >= self._max_waiting:
            self._budget.refused["views"] += 1
            raise Busy("too_busy", "Too many views wait to be stored; try again shortly.")
        size = size_of(view.page, view.params, view.title)
        now_s = now_us / SECOND_US
        self._budget.charge_view(
            size, views=views, arrives=arrives, address=address, user_id=user_id, now_s=now_s
        )

    def begin(
        self,
        viewer: Viewer,
        arrival: Arrival,
        view: View,
        now_us: int,
        *,
        previous_view_id: ObjectId | None,
        address: str = "",
    ) -> TrackedView:
        """Start a view of a page at `now_us`, with this connection as its viewer."""
        page = self._names.admit(view.page, arrival.visitor_id, address, now_us / SECOND_US)
        coefficient = self._coefficient(view.page)
        begun = new_view(
            view_id=ObjectId(),
            visitor_id=arrival.visitor_id,
            user_id=arrival.user_id,
            browser_session_id=arrival.browser_session_id,
            page=page,
            params=view.params,
            title=view.title,
            previous_view_id=previous_view_id,
            source="socket",
            coefficient=coefficient,
            visible=view.visible,
            stamp=self._stamps.fresh(),
            owner=self._process,
            now=self.clock.wall(now_us),
        )
        idle_after_us = round(self._idle_after_s * coefficient * SECOND_US)
        tracked = TrackedView(begun, idle_after_us=idle_after_us)
        self._latest[arrival.visitor_id] = tracked
        self.engine.add(tracked)
        self.engine.attach(tracked, viewer, now_us)
        self.engine.mark(tracked)
        self.ledger.wake()
        return tracked

    def end(self, tracked: TrackedView, viewer: Viewer, at_us: int) -> None:
        """End a view at `at_us`."""
        self.engine.end(tracked, ENDED, at_us)
        tracked.viewers.discard(viewer)
        self.ledger.wake()

    def join(self, visitor_id: str, session_id: ObjectId, user_id: str) -> None:
        """Store that the visitor is this user."""
        self.keep(asyncio.create_task(self._join(visitor_id, session_id, user_id)))

    def forget_user(self, user_id: str) -> None:
        """Remove a deleted user from the views in memory, and end them."""
        for tracked in self.engine.all_tracked.values():
            if tracked.user_id == user_id:
                tracked.user_id = None
                tracked.begun.update(ANONYMOUS_VIEW)
        self.registry.close_of(user_id, CloseCode.DELETED, "the account was deleted")

    # --- private ------------------------------------------------------------------------

    async def _join(self, visitor_id: str, session_id: ObjectId, user_id: str) -> None:
        async with answered_within(ANSWER_WITHIN_S):
            await join_user(self._db, visitor_id, session_id, user_id)

    def _is_open(self, view: Document) -> bool:
        owner = view["owner"]
        return view["_id"] in self.engine.all_tracked or (
            view["endedAt"] is None and owner is not None and self._is_alive(owner)
        )

    def _announce(self, batch: Iterable[TrackedView]) -> None:
        for tracked in batch:
            text = None
            for viewer in tracked.viewers:
                if viewer.updates == "tick":
                    text = text or _tick_text(tracked)
                    viewer.push_count(text)

    def _lost(self, tracked: TrackedView, loss: Loss) -> None:
        code = CloseCode.DELETED if loss == "deleted" else CloseCode.TAKEN_OVER
        self.registry.lost(tracked, code, f"the view was {loss}")


def _tick_text(tracked: TrackedView) -> str:
    return page_tick_message(
        view_id=str(tracked.tracked_id),
        visible_seconds=tracked.elapsed,
        engaged_seconds=tracked.active,
        engaged=not tracked.idle_now,
    )
