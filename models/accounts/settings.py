"""Store the settings and goals of learners: collection `learners`.

Invariants:

- Past goals stay as they were, because streaks are judged by the goals of each date.
- A learner without settings has no document, the time zone UTC and no goals.
- A change sets only the fields that it names.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, StringConstraints

from models.base.compare_and_set import Stamps, fenced
from models.base.database import Database, Document, DuplicateKeyError
from models.base.errors import Conflict, StorageUnavailable
from models.base.schema_types import WHOLE, Change, WireModel
from models.base.time_zones import UTC, TimeZone
from models.sessions.queries import CONTENDED_TRIES
from scoring.local_days import LocalClock, instant_us
from scoring.streaks import NO_GOALS, Goals, GoalsSince

COLLECTION = "learners"
CHUNK = 500
MAX_CHANGES = 2_000
"""Days on which somebody may change their goals."""


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ClockTime = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class LearnerSettings(WireModel):
    """The settings of a learner.

    A session keeps the time zone that it was created in. Days and weeks, also past ones, begin as
    `dayStartsAt` and `weekStartsOn` say.
    """

    time_zone: TimeZone = UTC
    week_starts_on: Literal["monday", "saturday", "sunday"] = "monday"
    day_starts_at: Annotated[ClockTime, Field(examples=["04:00"])] = "00:00"


class GoalsBody(WireModel):
    """Goals; null is no goal. They apply from today, in the learner's time zone."""

    daily_minutes: Annotated[int, Field(ge=1, le=1440), WHOLE] | None = None
    weekly_minutes: Annotated[int, Field(ge=1, le=10_080), WHOLE] | None = None
    sessions_per_day: Annotated[int, Field(ge=1, le=100), WHOLE] | None = None


class SettingsChange(Change, LearnerSettings):
    """Body of `PUT /api/me/settings`: only the given fields change."""


class GoalsChange(Change, GoalsBody):
    """Body of `PUT /api/goals`: only the given goals change; null removes a goal.

    Changes apply from today, in the learner's time zone.
    """


class Learner(NamedTuple):
    """The settings and goals of one learner."""

    user_id: str
    zone: str
    goals: tuple[GoalsSince, ...]
    """By date, the earliest first."""
    first_weekday: int = 0
    """With which weekday weeks begin: 0 is Monday."""
    starts_at: int = 0
    """When days begin, in minutes after midnight."""

    @property
    def clock(self) -> LocalClock:
        """The learner's clock: the time zone, and when days begin."""
        return LocalClock(self.zone, self.starts_at)

    @property
    def settings(self) -> LearnerSettings:
        """The settings, as clients see them."""
        return LearnerSettings(
            time_zone=self.zone,
            week_starts_on=WEEKDAYS[self.first_weekday],  # type: ignore[arg-type]
            day_starts_at=f"{self.starts_at // 60:02}:{self.starts_at % 60:02}",
        )

    def today(self, now: datetime) -> date:
        """Return the date of an instant by the learner's clock."""
        return self.clock.date_of(instant_us(now))

    @property
    def goals_now(self) -> Goals:
        """Return the goals of today."""
        return self.goals[-1].goals if self.goals else NO_GOALS


Check = Callable[[Learner], None]


class SettingsStore:
    """The settings and goals of all learners."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._stamps = Stamps()

    async def find(self, user_id: str) -> Learner:
        """Return a learner; one without settings has the defaults."""
        return _learner(user_id, await self._db[COLLECTION].find_one({"_id": user_id}) or {})

    async def with_goals(self, user_ids: Sequence[str]) -> set[str]:
        """Return the users among these that have a goal now."""
        found: set[str] = set()
        for at in range(0, len(user_ids), CHUNK):
            wanted = {"_id": {"$in": user_ids[at : at + CHUNK]}}
            async for document in self._db[COLLECTION].find(wanted):
                if any(_learner(document["_id"], document).goals_now):
                    found.add(document["_id"])
        return found

    async def set_zone(self, user_id: str, zone: str) -> Learner:
        """Set the time zone of a learner."""
        return await self._change(user_id, lambda learner: learner._replace(zone=zone))

    async def set_settings(
        self, user_id: str, settings: LearnerSettings, check: Check = lambda _: None
    ) -> Learner:
        """Set the given settings; `check` may raise."""
        given = settings.model_fields_set

        def change(learner: Learner) -> Learner:
            check(learner)
            if "time_zone" in given:
                learner = learner._replace(zone=settings.time_zone)
            if "week_starts_on" in given:
                first = WEEKDAYS.index(settings.week_starts_on)
                learner = learner._replace(first_weekday=first)
            if "day_starts_at" in given:
                hours, minutes = settings.day_starts_at.split(":")
                learner = learner._replace(starts_at=int(hours) * 60 + int(minutes))
            return learner

        return await self._change(user_id, change)

    async def set_goals(
        self,
        user_id: str,
        given: Goals | Mapping[str, int | None],
        now: datetime,
        check: Check = lambda _: None,
    ) -> Learner:
        """Set the given goals, from today on.

        They replace goals that were set on the same date; `check` may raise.

        Raises:
            Conflict: `too_many_changes`.
        """

        def change(learner: Learner) -> Learner:
            check(learner)
            today = learner.today(now)
            named = given._asdict() if isinstance(given, Goals) else given
            goals = learner.goals_now._replace(**named)
            if goals == learner.goals_now:
                return learner
            # Of a date that is still to come where the learner was before.
            before = tuple(each for each in learner.goals if each.since < today)
            if len(before) >= MAX_CHANGES:
                raise Conflict("too_many_changes", "Goals were changed on too many days.")
            return learner._replace(goals=(*before, GoalsSince(today, goals)))

        return await self._change(user_id, change)

    async def _change(self, user_id: str, change: Callable[[Learner], Learner]) -> Learner:
        """Write what `change` returns, unless another write came in between."""
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
    return Learner(
        user_id,
        document.get("timeZone", UTC),
        tuple(goals),
        document.get("firstWeekday", 0),
        document.get("dayStartsAtMinute", 0),
    )


def _document(learner: Learner) -> Document:
    goals = [{"since": each.since.isoformat(), "goals": list(each.goals)} for each in learner.goals]
    return {
        "timeZone": learner.zone,
        "firstWeekday": learner.first_weekday,
        "dayStartsAtMinute": learner.starts_at,
        "goals": goals,
    }
