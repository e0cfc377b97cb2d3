"""Tells learners at once when they reach a goal.

What must always hold: `goalReached` is sent once for each goal and day (or week), however
many servers and sessions count towards it: whoever notes it first in `goals_reached` says
it. Whether a goal is reached is always read from the sessions (`models.study.service`); what is
kept here only says when it is worth looking again. Learners are looked at one after the
other, so that a thousand who come at once cost the counting nothing.
"""

from collections.abc import Callable
from datetime import datetime

import structlog

from models.base.driver_errors import StatementRefused, answered_within
from models.base.errors import StorageUnavailable
from models.concurrency.periodic import run_every
from models.study.service import StudyService
from models.study.statistics import PeriodProgress, Progress, UserStats
from realtime.engine.tracked import TrackedSession
from realtime.protocol.server_messages import GoalName, GoalReached
from realtime.sockets.registry import Registry

LOOK_EVERY_S = 1.0
ANSWER_WITHIN_S = 5.0
LOOK_AGAIN_S = 3600
"""Active seconds after which to look again in any case: a new day may have begun, and the
goals may have been changed through another server."""

log = structlog.get_logger(__name__)


class GoalNotifier:
    def __init__(
        self,
        registry: Registry,
        learning: StudyService,
        now: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._learning = learning
        self._now = now
        self._look_at: dict[TrackedSession, int] = {}
        """The active seconds of a session at which its learner is worth a look."""
        self._worth_it: dict[str, None] = {}
        """Learners to be looked at with the next round."""

    def began(self, tracked: TrackedSession) -> None:
        """A session is tracked here from now on."""
        self._look_at.setdefault(tracked, 0)

    def ended(self, tracked: TrackedSession) -> None:
        """It has ended, and that is stored."""
        self._look_at.pop(tracked, None)
        self._worth_it[tracked.user_id] = None

    def look(self, user_id: str) -> None:
        """The goals of this learner were changed."""
        for tracked in self._look_at:
            if tracked.user_id == user_id:
                self._look_at[tracked] = 0

    async def run(self) -> None:
        """Look at the learners whose goals are due, for as long as the task lives."""
        await run_every(LOOK_EVERY_S, self._look_at_due, name="goals", first_after_s=LOOK_EVERY_S)

    async def _look_at_due(self) -> None:
        for tracked in self._due():
            self._worth_it.setdefault(tracked.user_id)
        users, self._worth_it = list(self._worth_it), {}
        for user_id in await self._with_goals(users):
            await self._look_safely(user_id)

    async def _with_goals(self, user_ids: list[str]) -> set[str]:
        if not user_ids:
            return set()
        try:
            async with answered_within(ANSWER_WITHIN_S):
                return await self._learning.with_goals(user_ids)
        except (StorageUnavailable, StatementRefused):
            self._worth_it.update(dict.fromkeys(user_ids))  # again, a second later
        except Exception:
            log.exception("goals_not_read")
        return set()

    def _due(self) -> list[TrackedSession]:
        due = []
        for tracked, at in list(self._look_at.items()):
            if tracked.gone or tracked.ended:
                del self._look_at[tracked]
            elif tracked.active >= at:
                self._look_at[tracked] = tracked.active + LOOK_AGAIN_S
                due.append(tracked)
        return due

    async def _look_safely(self, user_id: str) -> None:
        try:
            async with answered_within(ANSWER_WITHIN_S):
                await self._look(user_id)
        except (StorageUnavailable, StatementRefused):
            self._worth_it[user_id] = None  # again, a second later
        except Exception:
            log.exception("goals_not_looked_at")

    async def _look(self, user_id: str) -> None:
        stats = await self._learning.stats(user_id, self._now())
        left_s = LOOK_AGAIN_S
        for name, period, progress in goals_of(stats):
            if progress.goal is None:
                continue
            if not progress.reached:
                if name != "sessionsPerDay":
                    left_s = min(left_s, progress.goal * 60 - period.focused_seconds)
                continue
            if await self._learning.note_reached(
                user_id, name, day=period.date, value=progress.goal, now=self._now()
            ):
                reached = GoalReached(
                    goal=name, value=progress.goal, done=progress.done, date=period.date
                )
                self._registry.push_to(user_id, reached.text())
        for tracked in self._look_at:
            if tracked.user_id == user_id:
                self._look_at[tracked] = tracked.active + left_s


def goals_of(stats: UserStats) -> tuple[tuple[GoalName, PeriodProgress, Progress], ...]:
    """Each goal by its name, with the period that it is of."""
    return (
        ("dailyMinutes", stats.today, stats.today.minutes),
        ("sessionsPerDay", stats.today, stats.today.sessions),
        ("weeklyMinutes", stats.week, stats.week.minutes),
    )
