"""A session or page view in memory: the truth about its totals while this process owns it.

Invariants:

- `active + idle` grows only by the seconds that the meter books.
- `stored` holds the totals that the database acknowledged under `stamp`. Totals minus `stored` is
  still to be written, so a write that failed or is in doubt loses nothing.
- Every change of more than counted seconds (status, first or last viewer) raises `revision`. The
  item leaves memory only when `saved_revision` has caught up.
"""

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from realtime.engine.meter import Meter
from realtime.protocol.close_codes import CloseCode
from scoring.timeline import Counts, Kind, Timeline


class Viewer(Protocol):
    """A connection that tracks an item and receives its messages.

    No method may block or raise: a viewer that can take no more closes itself.
    """

    @property
    def updates(self) -> str:
        """Which counts the viewer receives: `tick`, `change` or `none`."""
        ...

    def push(self, text: str) -> None:
        """Send a text, in order."""
        ...

    def push_count(self, text: str) -> None:
        """Send a count, unless a newer one replaces it before it could be sent."""
        ...

    def close(self, code: CloseCode, reason: str) -> None:
        """Send the waiting texts, then close."""
        ...

    def released(self, tracked: "Tracked", *, ended: bool) -> None:
        """Note that the item is no longer tracked; the connection stays open."""
        ...


class Attempt(NamedTuple):
    """A write under way: what it will have stored if it is applied."""

    stamp: str
    totals: Counts
    revision: int


RUNNING, PAUSED = "active", "paused"


class Tracked:
    """What engine and ledger know of every kind of tracked item."""

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
        """The length of finished pauses; a running one is counted from `paused_since_us`."""
        self.paused_since_us = paused_since_us
        self.ended_at_us: int | None = None
        self.released = False
        """Whether the last viewer has left; another may come before that is saved."""
        self.last_booked_us: int | None = None
        self.last_active_us: int | None = None

        self.run: Kind | None = None
        """The kind of the last second; None if counting has stopped since."""

        # For the viewers, until they are told:
        self.idle_now = False
        self.booked = False
        self.state_changed = False

        # For the ledger:
        self.stamp = stamp
        self.stored = totals
        self.unborn = unborn
        """Whether the item was started in this process and has no document yet."""
        self.revision = self.saved_revision = 0
        self.dirty = False
        self.doubt = False
        """Whether the outcome of the last write is unknown, or another process may have written."""
        self.attempt: Attempt | None = None
        self.cell = 0
        """Items of different cells are never written in one statement (`Ledger._split`)."""
        self.quarantined_until_us = 0
        self.gone = False
        """Whether this process no longer owns it: deleted, or taken by another process."""
        self.phase: int | None = None
        """The slot of the wheel, while the meter runs."""

    @property
    def totals(self) -> Counts:
        """The counters, as they are to be stored."""
        return Counts(self.active, self.idle, self.tab_switches)

    @property
    def elapsed(self) -> int:
        """Counted seconds, active and idle."""
        return self.active + self.idle

    def next_second_in_ms(self, now_us: int) -> int | None:
        """Return the milliseconds until the next second falls due; None while none will."""
        due_us = self.meter.due_at_us
        if self.status != RUNNING or due_us is None:
            return None
        return max(0, (due_us - now_us) // 1000)

    @property
    def in_doubt(self) -> int:
        """The seconds that a write of unknown outcome may have stored."""
        if self.attempt is None or not self.doubt:
            return 0
        return self.attempt.totals.elapsed - self.stored.elapsed

    @property
    def ended(self) -> bool:
        """Whether it has a final status."""
        return self.ended_at_us is not None

    def begin_run(self, kind: Kind, start_us: int) -> bool:  # noqa: ARG002 - of no timeline
        """Begin a run of another kind at `start_us`; return whether it must be written."""
        self.run = kind
        return False

    def pause_ended(self, length_us: int) -> None:
        """End the pause that began at `paused_since_us`."""

    @property
    def owned(self) -> bool:
        """Whether a viewer tracks it."""
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
        """Create a session as it was claimed.

        `origin_us` is the moment of its start, for the timeline; `by_hand` holds earlier entries
        by hand, as they are stored. `Tracked` documents the other arguments.
        """
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
        """Stays true when the target is raised: `targetReached` is sent once."""

    def begin_run(self, kind: Kind, start_us: int) -> bool:
        """Begin a run in the timeline; return whether it must be written."""
        self.run = kind
        return self.timeline.start_run(kind, start_us - self.origin_us, self.totals)

    def pause_ended(self, length_us: int) -> None:
        """Add the pause to the timeline."""
        since_us = self.paused_since_us
        if since_us is not None:
            # The remainder of a second belongs to the second that is booked after the pause.
            start_us = since_us - self.meter.carry_us(since_us) - self.origin_us
            self.timeline.add_pause(start_us, length_us, self.totals)

    def reaches_target(self) -> bool:
        """Return whether the target has just been reached; true once only."""
        if self.reached_target or self.elapsed < self.target_minutes * 60:
            return False
        self.reached_target = True
        return True
