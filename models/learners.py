"""What a learner has set: time zone and goals. Collection `learners`, one document each.

What must always hold: goals of the past stay as they were, since streaks are judged by the
goals of each date; who has set nothing has no document, and is in UTC without goals.
"""

import contextlib
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Annotated, NamedTuple

from motor.motor_asyncio import AsyncIOMotorDatabase
from pydantic import Field
from pymongo.errors import DuplicateKeyError

from models.errors import Conflict, StorageUnavailable
from models.fence import Stamps, fenced
from models.session_store import CONTENDED_TRIES
from models.sessions import Document
from models.time_zones import UTC, TimeZone
from models.wire import WHOLE, WireModel
from scoring.local_days import date_of, instant_us
from scoring.streaks import NO_GOALS, Goals, GoalsSince

COLLECTION = "learners"
CHUNK = 500
MAX_CHANGES = 2_000
"""Days on which somebody may change their goals."""

Database = AsyncIOMotorDatabase[Document]


class LearnerSettings(WireModel):
    """What may be set. A session keeps the zone that it was created in."""

    time_zone: TimeZone = UTC


class GoalsBody(WireModel):
    """Goals; null is none. They hold from today on, in the learner's time zone."""

    daily_minutes: Annotated[int, Field(ge=1, le=1440), WHOLE] | None = None
    weekly_minutes: Annotated[int, Field(ge=1, le=10_080), WHOLE] | None = None
    sessions_per_day: Annotated[int, Field(ge=1, le=100), WHOLE] | None = None


class Learner(NamedTuple):
    user_id: str
    zone: str
    goals: tuple[GoalsSince, ...]
    """By date, the earliest first."""

    def today(self, now: datetime) -> date:
        return date_of(instant_us(now), self.zone)

    @property
    def goals_now(self) -> Goals:
        return self.goals[-1].goals if self.goals else NO_GOALS


class Learners:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._stamps = Stamps()

    async def find(self, user_id: str) -> Learner:
        return _learner(user_id, await self._db[COLLECTION].find_one({"_id": user_id}) or {})

    async def with_goals(self, user_ids: Sequence[str]) -> set[str]:
        """Those of these users who have a goal now."""
        found: set[str] = set()
        for at in range(0, len(user_ids), CHUNK):
            wanted = {"_id": {"$in": user_ids[at : at + CHUNK]}}
            async for document in self._db[COLLECTION].find(wanted):
                if any(_learner(document["_id"], document).goals_now):
                    found.add(document["_id"])
        return found

    async def set_zone(self, user_id: str, zone: str) -> Learner:
        return await self._change(user_id, lambda learner: learner._replace(zone=zone))

    async def set_goals(self, user_id: str, goals: Goals, now: datetime) -> Learner:
        """They replace those that were set on the same date. Raises Conflict
        "too_many_changes"."""

        def change(learner: Learner) -> Learner:
            today = learner.today(now)
            # Of a date that is still to come where the learner was before.
            before = tuple(each for each in learner.goals if each.since < today)
            if len(before) >= MAX_CHANGES:
                raise Conflict("too_many_changes", "Goals were changed on too many days.")
            return learner._replace(goals=(*before, GoalsSince(today, goals)))

        return await self._change(user_id, change)

    async def _change(self, user_id: str, change: Callable[[Learner], Learner]) -> Learner:
        """Write what `change` makes of it, unless somebody else wrote in between."""
        for _ in range(CONTENDED_TRIES):
            found = await self._db[COLLECTION].find_one({"_id": user_id})
            learner = change(_learner(user_id, found or {}))
            fresh, stamp = _document(learner), self._stamps.fresh()
            if found is None:
                with contextlib.suppress(DuplicateKeyError):
                    await self._db[COLLECTION].insert_one({"_id": user_id, **fresh, "stamp": stamp})
                    return learner
                continue
            written = await self._db[COLLECTION].update_one(
                {"_id": user_id}, fenced(found["stamp"], stamp, values=fresh)
            )
            if written.modified_count:
                return learner
        raise StorageUnavailable(
            "contended", "The settings are being changed elsewhere; try again."
        )


def _learner(user_id: str, document: Document) -> Learner:
    goals = (
        GoalsSince(date.fromisoformat(row["since"]), Goals(*row["goals"]))
        for row in document.get("goals", ())
    )
    return Learner(user_id, document.get("timeZone", UTC), tuple(goals))


def _document(learner: Learner) -> Document:
    goals = [{"since": each.since.isoformat(), "goals": list(each.goals)} for each in learner.goals]
    return {"timeZone": learner.zone, "goals": goals}
