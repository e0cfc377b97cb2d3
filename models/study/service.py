"""Provide a learner's statistics, goals and settings to routes and sockets."""

from collections.abc import Sequence
from datetime import date, datetime

from models.accounts import users
from models.accounts.settings import (
    GoalsBody,
    LearnerSettings,
    SettingsStore,
)
from models.base.database import Database
from models.sessions.entity_tags import ANY, Expected, tag_of
from models.study.day_cache import DayCache
from models.study.goal_events import note_reached
from models.study.statistics import (
    CalendarYear,
    Series,
    SeriesQuery,
    UserStats,
    calendar,
    goals_body,
    range_of,
    series,
    user_stats,
)
from scoring.local_days import LocalClock


class StudyService:
    """The statistics, goals and settings of all learners."""

    def __init__(self, db: Database) -> None:
        self.periods = DayCache(db)
        self._db = db
        self.learners = SettingsStore(db)

    async def stats(self, user_id: str, now: datetime) -> UserStats:
        """Return totals, streaks and the progress of today and this week."""
        learner = await self.learners.find(user_id)
        return user_stats(await self.periods.read(learner, now), learner, now)

    async def series(self, user_id: str, query: SeriesQuery, now: datetime) -> Series:
        """Return the statistics of a range; raise Invalid if it is empty or too long."""
        learner = await self.learners.find(user_id)
        dates = range_of(query, learner.today(now))
        studied = await self.periods.read(learner, now, dates)
        return series(studied.days, query.by, dates, learner.first_weekday)

    async def calendar(self, user_id: str, year: int | None, now: datetime) -> CalendarYear:
        """Return every date of a year."""
        learner = await self.learners.find(user_id)
        wanted = learner.today(now).year if year is None else year
        return calendar(await self.periods.read(learner, now), learner, wanted)

    async def goals(self, user_id: str) -> GoalsBody:
        """Return the current goals."""
        return goals_body((await self.learners.find(user_id)).goals_now)

    async def with_goals(self, user_ids: Sequence[str]) -> set[str]:
        """Return the users among these that have a goal now."""
        return await self.learners.with_goals(user_ids)

    async def set_goals(
        self, user_id: str, body: GoalsBody, now: datetime, expected: Expected = ANY
    ) -> GoalsBody:
        """Set the given goals.

        Raises:
            Conflict: `too_many_changes`.
            PreconditionFailed: The goals have another version.
        """
        given = body.model_dump(by_alias=False, exclude_unset=True)
        learner = await self.learners.set_goals(
            user_id,
            given,
            now,
            check=lambda learner: expected.check(tag_of(goals_body(learner.goals_now))),
        )
        return goals_body(learner.goals_now)

    async def note_reached(
        self, user_id: str, goal: str, *, day: date, value: int, now: datetime
    ) -> bool:
        """Store that a goal was reached; return whether it was not stored before."""
        return await note_reached(self._db, user_id, goal, day=day, value=value, now=now)

    async def zone(self, user_id: str) -> str:
        """Return the learner's time zone."""
        return (await self.learners.find(user_id)).zone

    async def clock(self, user_id: str) -> LocalClock:
        """Return the learner's clock: the time zone, and when days begin."""
        return (await self.learners.find(user_id)).clock

    async def settings(self, user_id: str) -> LearnerSettings:
        """Return the settings."""
        return (await self.learners.find(user_id)).settings

    async def set_settings(
        self, user_id: str, settings: LearnerSettings, expected: Expected = ANY
    ) -> LearnerSettings:
        """Set the given settings; raise PreconditionFailed for another version."""
        learner = await self.learners.set_settings(
            user_id, settings, check=lambda learner: expected.check(tag_of(learner.settings))
        )
        await users.set_time_zone(self._db, user_id, learner.zone)  # `user` shows it as well
        return learner.settings
