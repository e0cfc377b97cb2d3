"""Store visits, presence and events that the routes report."""

from collections.abc import Callable
from datetime import datetime

from bson import ObjectId

from models.activity.events import Event, insert_events
from models.activity.presence import record_presence
from models.activity.visits import Visitor, record_visits
from models.base.database import Database
from realtime.ingest.batcher import Batcher


class Reports:
    """The reports of a study app; each call returns once its report is stored."""

    def __init__(self, db: Database, now: Callable[[], datetime]) -> None:
        self._visits: Batcher[str, Visitor] = Batcher(
            lambda seen, at: record_visits(db, seen, at), now
        )
        self._presence: Batcher[str, None] = Batcher(
            lambda seen, at: record_presence(db, seen, at), now
        )
        self._events: Batcher[ObjectId, Event] = Batcher(
            lambda events, at: insert_events(db, events, at), now
        )

    async def visit(self, visit_id: str, visitor: Visitor) -> None:
        """Store a sign of a visit; raise StorageUnavailable or Busy."""
        await self._visits.add(visit_id, visitor)

    async def heartbeat(self, user_id: str) -> None:
        """Store a sign of a user; raise StorageUnavailable or Busy."""
        await self._presence.add(user_id, None)

    async def event(self, event: Event, id_: ObjectId | None = None) -> None:
        """Store an event, once for each id; raise StorageUnavailable or Busy."""
        await self._events.add(id_ or ObjectId(), event)
