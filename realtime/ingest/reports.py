"""Visits, presence and events as routes report them.

What must always hold: a call is answered once what it says is stored (`Gathering`).
"""

from collections.abc import Callable
from datetime import datetime

from bson import ObjectId

from models.activity.events import Event, insert_events
from models.activity.presence import record_presence
from models.activity.visits import Visitor, record_visits
from models.base.database import Database
from realtime.ingest.batcher import Gathering


class Reports:
    """`now` gives aware UTC datetimes."""

    def __init__(self, db: Database, now: Callable[[], datetime]) -> None:
        self._visits: Gathering[str, Visitor] = Gathering(
            lambda seen, at: record_visits(db, seen, at), now
        )
        self._presence: Gathering[str, None] = Gathering(
            lambda seen, at: record_presence(db, seen, at), now
        )
        self._events: Gathering[ObjectId, Event] = Gathering(
            lambda events, at: insert_events(db, events, at), now
        )

    async def visit(self, visit_id: str, visitor: Visitor) -> None:
        """The visit is seen; raises StorageUnavailable, Busy."""
        await self._visits.note(visit_id, visitor)

    async def heartbeat(self, user_id: str) -> None:
        """The user is there; raises StorageUnavailable, Busy."""
        await self._presence.note(user_id, None)

    async def event(self, event: Event, id_: ObjectId | None = None) -> None:
        """It has happened; raises StorageUnavailable, Busy. One with the same id is the same."""
        await self._events.note(id_ or ObjectId(), event)
