"""Page views as the ledger books them: their collection, their document's shape."""

from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from models.base.bulk_writes import read_fields, write_fenced
from models.base.database import Database, Document
from models.base.driver_errors import answered_within
from models.pageviews.page_view import COUNTERS, PageNameRecorder, insert_views, page_views
from models.pageviews.visitors import LatestView, record_latest_views
from realtime.engine.clock import Clock
from realtime.engine.meter import Meter
from realtime.engine.tracked import PAUSED, RUNNING, Tracked
from scoring.timeline import Counts

ANSWER_WITHIN_S = 5.0
"""After that a write counts as unanswered; it is in doubt, not lost."""
ENDED = "ended"
_READ = ("stamp", "status", "owner", *COUNTERS)
_STATUS = {RUNNING: "visible", PAUSED: "hidden", ENDED: ENDED}


class TrackedView(Tracked):
    """A page view: `active` seconds are engaged ones, and hidden it is paused."""

    __slots__ = ("__weakref__", "begun", "of_token", "user_id")

    def __init__(self, begun: Document, *, idle_after_us: int) -> None:
        """Create a view from its document, which is not stored yet."""
        super().__init__(
            tracked_id=begun["_id"],
            status=RUNNING if begun["status"] == "visible" else PAUSED,
            totals=Counts(0, 0, 0),
            meter=Meter(idle_after_us=idle_after_us),
            stamp=begun["stamp"],
            unborn=True,
        )
        self.begun = begun
        self.user_id: str | None = begun["userId"]
        self.of_token = False
        """Whether a token has named its user, and not the visitor alone."""


class PageViewStore:
    """The `Store` of page views (`realtime.engine.store`)."""

    def __init__(self, db: Database, clock: Clock, process: str) -> None:
        self._db = db
        self._clock = clock
        self._process = process
        self._pages = PageNameRecorder(db)

    async def insert(self, batch: Sequence[TrackedView], /) -> set[Any]:
        """Insert new views and note them at their visitors; return the refused ids."""
        now = self._clock.wall(self._clock.now_us())
        views = [tracked.begun for tracked in batch]
        latest = {
            view["visitorId"]: LatestView(view["_id"], view["browserSessionId"]) for view in views
        }
        async with answered_within(ANSWER_WITHIN_S):
            await self._pages.record((view["page"] for view in views), now)
            refused = await insert_views(self._db, views)
            await record_latest_views(self._db, latest, now)
        return set(refused)

    async def write(self, ids: list[ObjectId], pipeline: list[dict[str, Any]]) -> int:
        """Apply an update pipeline; return how many documents it changed."""
        async with answered_within(ANSWER_WITHIN_S):
            return await write_fenced(page_views(self._db), ids, pipeline)

    async def read(self, ids: list[ObjectId]) -> dict[ObjectId, Document]:
        """Return the fields that the ledger compares, by id."""
        async with answered_within(ANSWER_WITHIN_S):
            return await read_fields(page_views(self._db), ids, _READ)

    def absolute(self, tracked: TrackedView) -> dict[str, Any]:
        """Return all values that the engine holds of a view."""
        clock = self._clock
        values: dict[str, Any] = {
            "status": _STATUS[tracked.status],
            "visibleSeconds": tracked.elapsed,
            "engagedSeconds": tracked.active,
            "userId": tracked.user_id,
            "owner": self._process if tracked.owned else None,
            "updatedAt": clock.wall(clock.now_us()),
        }
        if tracked.last_booked_us is not None:
            values["lastBookedAt"] = clock.wall(tracked.last_booked_us)
        if tracked.ended_at_us is not None:
            values["endedAt"] = clock.wall(tracked.ended_at_us)
        return values

    def increments(self, increase: Counts) -> dict[str, int]:
        """Return the counter fields to increase, and by how much."""
        pairs = (("visibleSeconds", increase.elapsed), ("engagedSeconds", increase.active))
        return {name: amount for name, amount in pairs if amount}

    def counted(self, _: Counts, at_us: int) -> dict[str, Any]:
        """Return the fields that are set when counters are increased."""
        at = self._clock.wall(at_us)
        return {"lastBookedAt": at, "updatedAt": at}

    def totals(self, document: Document) -> Counts:
        """Return the counters; raise ValueError or LookupError if unreadable."""
        visible, engaged = (document[name] for name in COUNTERS)
        if not (isinstance(visible, int) and isinstance(engaged, int)):
            raise ValueError("a counter is not an integer")
        return Counts(engaged, visible - engaged, 0)

    def matches(self, tracked: TrackedView, document: Document) -> bool:
        """Return whether status and owner are stored as memory holds them."""
        owner = self._process if tracked.owned else None
        return bool(document["status"] == _STATUS[tracked.status] and document["owner"] == owner)

    def ended(self, document: Document) -> bool:
        """Return whether the view has ended."""
        return bool(document["status"] == ENDED)
