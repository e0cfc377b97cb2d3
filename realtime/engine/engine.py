"""Hold everything that is tracked, and what is due and dirty of it. Pure: time is an argument.

"Tracked" is a focus session or a page view.

Invariants:

- Every event first settles the seconds that fell due before it.
- A tracked item counts exactly while it has a viewer and its status is `active`.
- A changed item is in the dirty set until the ledger takes it, and comes back if the ledger
  could not write it. It leaves memory only when it is saved.

An item that counts sits on a wheel of `SLOTS_PER_SECOND` slots, at the phase of its due moment. One
turn takes a second, so each item is settled once a second, at most one slot after its second fell
due, and never moves on the wheel while it counts.
"""

from collections.abc import Hashable, Iterable
from typing import Generic

from realtime.engine.meter import SECOND_US, Booked
from realtime.engine.tracked import PAUSED, RUNNING, T, Viewer
from scoring.timeline import Kind

SLOTS_PER_SECOND = 20
SLOT_US = SECOND_US // SLOTS_PER_SECOND
GAP_US = 60 * SECOND_US
"""A longer silence means that the whole process stood still, as on a suspended machine."""


class Engine(Generic[T]):
    """The tracked items of one kind, by id."""

    def __init__(self) -> None:
        self.all_tracked: dict[Hashable, T] = {}
        self._wheel: list[dict[T, None]] = [{} for _ in range(SLOTS_PER_SECOND)]
        self._next_slot: int | None = None
        self._seen_us: int | None = None
        self._dirty: list[T] = []
        self._booked: list[T] = []

    # --- events -----------------------------------------------------------------------

    def add(self, tracked: T) -> None:
        """Start to track an item that this process owns."""
        if tracked.tracked_id in self.all_tracked:
            raise ValueError("tracked already")
        self.all_tracked[tracked.tracked_id] = tracked

    def attach(self, tracked: T, viewer: Viewer, now_us: int) -> None:
        """Add a viewer from `now_us` on, which is a sign of activity."""
        self._observe(now_us)
        self.settle(tracked, now_us)
        alone = not tracked.viewers
        tracked.viewers.add(viewer)
        tracked.meter.sign(now_us)
        if alone:
            if tracked.released:  # the release is stored already, or on its way
                tracked.released = False
                self.changed(tracked)
            if tracked.status == RUNNING:
                self._run(tracked, now_us)

    def detach(self, tracked: T, viewer: Viewer, now_us: int) -> None:
        """Remove a viewer; without viewers, the time stops and the item is released."""
        self._observe(now_us)
        self.settle(tracked, now_us)
        tracked.viewers.discard(viewer)
        if not tracked.viewers and not tracked.ended:
            self._hold(tracked, now_us)
            tracked.released = True
            self.changed(tracked)

    def release(self, tracked: T) -> None:
        """Release an item that no viewer came to track."""
        tracked.released = True
        self.changed(tracked)

    def activity(self, tracked: T, now_us: int) -> None:
        """Note a sign of activity."""
        self._observe(now_us)
        if tracked.status == RUNNING:
            due_us = tracked.meter.due_at_us
            if due_us is not None and now_us >= due_us:
                self.settle(tracked, now_us)
            tracked.meter.sign(now_us)

    def tab_switch(self, tracked: T, now_us: int) -> None:
        """Count a tab switch while active.

        It is no sign of activity, and is saved with the next second.
        """
        self._observe(now_us)
        if tracked.status == RUNNING:
            self.settle(tracked, now_us)
            tracked.tab_switches += 1

    def pause(self, tracked: T, now_us: int) -> None:
        """Stop the time of an active item."""
        self._observe(now_us)
        if tracked.status == RUNNING:
            self._hold(tracked, now_us)
            tracked.status = PAUSED
            tracked.paused_since_us = now_us
            self.changed(tracked)

    def resume(self, tracked: T, now_us: int) -> None:
        """Let the time of a paused item go on; in any case, note a sign of activity."""
        self._observe(now_us)
        self.settle(tracked, now_us)
        tracked.meter.sign(now_us)
        if tracked.status == PAUSED:
            tracked.status = RUNNING
            self._end_pause(tracked, now_us)
            if tracked.viewers:
                self._run(tracked, now_us)
            self.changed(tracked)

    def end(self, tracked: T, status: str, now_us: int) -> None:
        """Stop the time for good, with a final status."""
        self._observe(now_us)
        if not tracked.ended:
            self._hold(tracked, now_us)
            self._end_pause(tracked, now_us)
            tracked.status = status
            tracked.ended_at_us = now_us
            self.changed(tracked)

    def drop(self, tracked: T) -> None:
        """Remove an item: saved and released, deleted, or taken by another process."""
        tracked.gone = True
        self._take_off(tracked)
        if self.all_tracked.get(tracked.tracked_id) is tracked:
            del self.all_tracked[tracked.tracked_id]

    # --- time -------------------------------------------------------------------------

    def advance(self, now_us: int) -> None:
        """Settle every item whose slot has come since the last call.

        Must be called on every slot: a longer silence counts as a gap of the process.
        """
        self._observe(now_us)
        last_slot = now_us // SLOT_US
        if self._next_slot is None or last_slot - self._next_slot >= SLOTS_PER_SECOND:
            slots: Iterable[int] = range(SLOTS_PER_SECOND)
        else:
            slots = range(self._next_slot, last_slot + 1)
        self._next_slot = last_slot + 1
        for slot in slots:
            for tracked in self._wheel[slot % SLOTS_PER_SECOND]:
                self.settle(tracked, now_us)

    def _observe(self, now_us: int) -> None:
        """Detect a gap of the process before anything is settled across it.

        The first event after the gap may be a message or the wheel. No activity was observed
        during the gap, so it counts as away.
        """
        last_us = self._seen_us
        if last_us is not None and now_us <= last_us:
            return
        self._seen_us = now_us
        if last_us is None or now_us - last_us <= GAP_US:
            return
        for tracked in self.all_tracked.values():
            if tracked.meter.running:
                self._hold(tracked, last_us)
                self._run(tracked, now_us)

    def settle(self, tracked: T, now_us: int) -> None:
        """Book the seconds that fell due up to and including `now_us`."""
        meter = tracked.meter
        due_us = meter.due_at_us
        if due_us is not None and now_us >= due_us:
            self._book(tracked, meter.settle(now_us))

    # --- work for ledger and registry -----------------------------------------------------

    def mark(self, tracked: T) -> None:
        """Put an item into the dirty set."""
        if not tracked.dirty and not tracked.gone:
            tracked.dirty = True
            self._dirty.append(tracked)

    def changed(self, tracked: T) -> None:
        """Note a change of more than counters: all values are written."""
        tracked.revision += 1
        self.mark(tracked)

    def take_dirty(self) -> list[T]:
        """Return the dirty items, each once, and empty the set."""
        taken, self._dirty = self._dirty, []
        for tracked in taken:
            tracked.dirty = False
        return [tracked for tracked in taken if not tracked.gone]

    @property
    def dirty_count(self) -> int:
        """The number of items in the dirty set."""
        return len(self._dirty)

    @property
    def counting_count(self) -> int:
        """The number of items that count now."""
        return sum(map(len, self._wheel))

    def take_booked(self) -> list[T]:
        """Return the items that booked a second since the last call, each once."""
        taken, self._booked = self._booked, []
        for tracked in taken:
            tracked.booked = False
        return taken

    # --- private ------------------------------------------------------------------------

    def _book(self, tracked: T, booked: Booked) -> None:
        due_us = tracked.meter.due_at_us
        if due_us is None:
            raise AssertionError("only a running meter books")
        tracked.last_booked_us = due_us - SECOND_US
        active, idle = booked
        if active:
            if tracked.run is not Kind.ACTIVE:
                self._begin_run(tracked, Kind.ACTIVE, due_us - (active + idle + 1) * SECOND_US)
            tracked.active += active
        if idle:
            if tracked.run is not Kind.IDLE:
                self._begin_run(tracked, Kind.IDLE, due_us - (idle + 1) * SECOND_US)
            tracked.idle += idle
        if booked.active:
            tracked.last_active_us = tracked.last_booked_us - booked.idle * SECOND_US
        idle_now = booked.idle > 0
        if idle_now != tracked.idle_now:
            tracked.idle_now = idle_now
            tracked.state_changed = True
        if not tracked.booked:
            tracked.booked = True
            self._booked.append(tracked)
        self.mark(tracked)

    def _begin_run(self, tracked: T, kind: Kind, start_us: int) -> None:
        if tracked.begin_run(kind, start_us):
            self.changed(tracked)

    def _run(self, tracked: T, now_us: int) -> None:
        tracked.meter.run(now_us)
        due_us = tracked.meter.due_at_us
        if due_us is None:
            raise AssertionError("a running meter has a due moment")
        # Begun now, the run is written together with the event that made it, not a second later.
        self._begin_run(tracked, Kind.ACTIVE, due_us - SECOND_US)
        tracked.phase = -(-due_us // SLOT_US) % SLOTS_PER_SECOND
        self._wheel[tracked.phase][tracked] = None

    def _hold(self, tracked: T, now_us: int) -> None:
        self.settle(tracked, now_us)
        tracked.meter.hold(now_us)
        tracked.run = None
        self._take_off(tracked)

    def _take_off(self, tracked: T) -> None:
        if tracked.phase is not None:
            self._wheel[tracked.phase].pop(tracked, None)
            tracked.phase = None

    def _end_pause(self, tracked: T, now_us: int) -> None:
        if tracked.paused_since_us is not None:
            length_us = max(0, now_us - tracked.paused_since_us)
            tracked.pause_ended(length_us)
            tracked.paused_us += length_us
            tracked.paused_since_us = None
