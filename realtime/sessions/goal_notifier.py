"""Send `goalReached` to learners who are tracked.

Invariants:

- `goalReached` is sent once for each goal and day (or week), however many servers and sessions
  count towards it: the process that inserts the row in `goals_reached` sends it.
- Whether a goal is reached is always computed from the sessions (`models.study.service`). This
  module only decides when to compute it again.
- Learners are checked one after the other, so a thousand at once do not delay the counting.
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

CHECK_EVERY_S = 1.0
ANSWER_WITHIN_S = 5.0
CHECK_AGAIN_S = 3600
"""Active seconds after which a learner is checked in any case: a new day may have begun, or another
server may have changed the goals."""

log = structlog.get_logger(__name__)


class GoalNotifier:
    """The goals of all learners who are tracked in this process."""

    def __init__(
        self,
        registry: Registry,
        learning: StudyService,
        now: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._learning = learning
        self._now = now
        self._check_at: dict[TrackedSession, int] = {}
        """The active seconds of each session at which its learner is checked next."""
        self._to_check: dict[str, None] = {}
        """Learners to check in the next round."""

    def began(self, tracked: TrackedSession) -> None:
        """Note that a session is tracked in this process."""
        self._check_at.setdefault(tracked, 0)

    def ended(self, tracked: TrackedSession) -> None:
        """Note that the end of a session is stored."""
        self._check_at.pop(tracked, None)
        self._to_check[tracked.user_id] = None

    def look(self, user_id: str) -> None:
        """Note that the goals of a learner were changed."""
        for tracked in self._check_at:
            if tracked.user_id == user_id:
                self._check_at[tracked] = 0

    async def run(self) -> None:
        """Check due learners every second, for as long as the task lives."""
        await run_every(CHECK_EVERY_S, self._check_due, name="goals", first_after_s=CHECK_EVERY_S)

    async def _check_due(self) -> None:
        for tracked in self._due():
            self._to_check.setdefault(tracked.user_id)
        users, self._to_check = list(self._to_check), {}
        for user_id in await self._with_goals(users):
            await self._check_safely(user_id)

    async def _with_goals(self, user_ids: list[str]) -> set[str]:
        if not user_ids:
            return set()
        try:
            async with answered_within(ANSWER_WITHIN_S):
                return await self._learning.with_goals(user_ids)
        except (StorageUnavailable, StatementRefused):
            self._to_check.update(dict.fromkeys(user_ids))  # again, a second later
        except Exception:
            log.exception("goal_check_failed")
        return set()

    def _due(self) -> list[TrackedSession]:
        due = []
        for tracked, at in list(self._check_at.items()):
            if tracked.gone or tracked.ended:
                del self._check_at[tracked]
            elif tracked.active >= at:
                self._check_at[tracked] = tracked.active + CHECK_AGAIN_S
                due.append(tracked)
        return due

    async def _check_safely(self, user_id: str) -> None:
        try:
            async with answered_within(ANSWER_WITHIN_S):
                await self._check(user_id)
        except (StorageUnavailable, StatementRefused):
            self._to_check[user_id] = None  # again, a second later
        except Exception:
            log.exception("goal_check_failed")

    async def _check(self, user_id: str) -> None:
        stats = await self._learning.stats(user_id, self._now())
        left_s = CHECK_AGAIN_S
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
        for tracked in self._check_at:
            if tracked.user_id == user_id:
                self._check_at[tracked] = tracked.active + left_s


def goals_of(stats: UserStats) -> tuple[tuple[GoalName, PeriodProgress, Progress], ...]:
    """Return each goal by name, with its period and progress."""
    return (
        ("dailyMinutes", stats.today, stats.today.minutes),
        ("sessionsPerDay", stats.today, stats.today.sessions),
        ("weeklyMinutes", stats.week, stats.week.minutes),
    )
