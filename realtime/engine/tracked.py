"""One tracked thing in memory: the truth about its totals while this process owns it.

What must always hold:

- `active + idle` grows only by what the meter books;
- `stored` is what the database acknowledged under `stamp`; totals minus `stored` is what
  still has to be written, so nothing is lost by a write that failed or is in doubt;
- every change that is more than counted seconds (status, joining, leaving) raises
  `revision`, and the thing leaves memory only when `saved_revision` has caught up.
"""

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from realtime.engine.meter import Meter
from realtime.protocol.close_codes import CloseCode
from scoring.timeline import Counts, Kind, Timeline


class Viewer(Protocol):
    """A connection that tracks a thing and hears of it.

    Nothing here may block or raise: a viewer that cannot take more drops itself.
    """

    @property
    def updates(self) -> str:
        """`tick`, `change` or `none`: which counts it wants to hear."""
        ...

    def push(self, text: str) -> None:
        """Send this, in order."""
        ...

    def push_count(self, text: str) -> None:
        """Send this unless a newer count comes before it could be sent."""
        ...

    def close(self, code: CloseCode, reason: str) -> None:
        """Send what is waiting, then close."""
        ...

    def released(self, tracked: "Tracked", *, ended: bool) -> None:
        """The thing is tracked no more; the connection stays open."""
        ...


class Attempt(NamedTuple):
    """A write on its way: what it will have stored if it is applied."""

    stamp: str
    totals: Counts
    revision: int


RUNNING, PAUSED = "active", "paused"


class Tracked:
    __slots__ = (
        "active",
        "attempt",
        "booked",
        "cell",
        "dirty",
        "doubt",
        "ended_at_us",
        "gone",
        "idle",
        "idle_now",
        "last_active_us",
        "last_booked_us",
        "meter",
        "paused_since_us",
        "paused_us",
        "phase",
        "quarantined_until_us",
        "released",
        "revision",
        "run",
        "saved_revision",
        "stamp",
        "state_changed",
        "status",
        "stored",
        "tab_switches",
        "tracked_id",
        "unborn",
        "viewers",
    )

    def __init__(
        self,
        *,
        tracked_id: Hashable,
        status: str,
        totals: Counts,
        meter: Meter,
        stamp: str,
        paused_us: int = 0,
        paused_since_us: int | None = None,
        unborn: bool = False,
    ) -> None:
        self.tracked_id = tracked_id
        self.status = status
        self.meter = meter
        self.viewers: set[Viewer] = set()

        self.active, self.idle, self.tab_switches = totals
        self.paused_us = paused_us
        """Finished pauses; the running one is counted from `paused_since_us`."""
        self.paused_since_us = paused_since_us
        self.ended_at_us: int | None = None
        self.released = False
        """Left by its last viewer; another may come before that is saved."""
        self.last_booked_us: int | None = None
        self.last_active_us: int | None = None

        self.run: Kind | None = None
        """The kind of the last second, unless counting stopped since."""

        # For those who watch, until they are told:
        self.idle_now = False
        self.booked = False
        self.state_changed = False

        # For the ledger:
        self.stamp = stamp
        self.stored = totals
        self.unborn = unborn
        """Begun here, and not yet stored at all."""
        self.revision = self.saved_revision = 0
        self.dirty = False
        self.doubt = False
        self.attempt: Attempt | None = None
        self.cell = 0
        """Things of different cells are never written together (see `ledger`)."""
        self.quarantined_until_us = 0
        self.gone = False
        """No longer ours: deleted, or taken by another process."""
        self.phase: int | None = None
        """Its place on the engine's wheel while the meter runs."""

    @property
    def totals(self) -> Counts:
        return Counts(self.active, self.idle, self.tab_switches)

    @property
    def elapsed(self) -> int:
        return self.active + self.idle

    def next_second_in_ms(self, now_us: int) -> int | None:
        """Until the next second falls due; None while none will."""
        due_us = self.meter.due_at_us
        if self.status != RUNNING or due_us is None:
            return None
        return max(0, (due_us - now_us) // 1000)

    @property
    def in_doubt(self) -> int:
        """Seconds that may be stored, by a write whose outcome is unknown."""
        if self.attempt is None or not self.doubt:
            return 0
        return self.attempt.totals.elapsed - self.stored.elapsed

    @property
    def ended(self) -> bool:
        return self.ended_at_us is not None

    def begin_run(self, kind: Kind, start_us: int) -> bool:  # noqa: ARG002 - of no timeline
        """Another kind of seconds is going to be counted, from `start_us` on. Whether that
        is to be written."""
        self.run = kind
        return False

    def pause_ended(self, length_us: int) -> None:
        """The pause since `paused_since_us` is over."""

    @property
    def owned(self) -> bool:
        """Whether anybody tracks it still."""
        return bool(self.viewers) and not self.ended


T = TypeVar("T", bound=Tracked)


class TrackedSession(Tracked):
    """A focus session."""

    __slots__ = (
        "by_hand",
        "origin_us",
        "reached_target",
        "started_at",
        "target_minutes",
        "timeline",
        "user_id",
    )

    def __init__(
        self,
        *,
        tracked_id: Hashable,
        user_id: str,
        status: str,
        totals: Counts,
        target_minutes: float,
        reached_target: bool = False,
        started_at: datetime,
        meter: Meter,
        stamp: str,
        paused_us: int = 0,
        paused_since_us: int | None = None,
        timeline: Timeline,
        origin_us: int,
        by_hand: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """`origin_us` is when it was started, for its timeline; `by_hand` is what was entered
        by hand before, as it is stored."""
        super().__init__(
            tracked_id=tracked_id,
            status=status,
            totals=totals,
            meter=meter,
            stamp=stamp,
            paused_us=paused_us,
            paused_since_us=paused_since_us,
        )
        self.user_id = user_id
        self.started_at = started_at
        self.timeline = timeline
        self.origin_us = origin_us
        self.by_hand = by_hand
        self.target_minutes = target_minutes
        self.reached_target = reached_target or self.elapsed >= target_minutes * 60
        """It stays reached when the target is raised: its viewers were told."""

    def begin_run(self, kind: Kind, start_us: int) -> bool:
        self.run = kind
        return self.timeline.start_run(kind, start_us - self.origin_us, self.totals)

    def pause_ended(self, length_us: int) -> None:
        since_us = self.paused_since_us
        if since_us is not None:
            # What is left of a second belongs to the one that is counted after the pause.
            start_us = since_us - self.meter.carry_us(since_us) - self.origin_us
            self.timeline.add_pause(start_us, length_us, self.totals)

    def reaches_target(self) -> bool:
        """Return whether the target is reached and was not before; it is from now on."""
        if self.reached_target or self.elapsed < self.target_minutes * 60:
            return False
        self.reached_target = True
        return True
