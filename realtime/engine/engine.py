"""Who is tracked, what is due, what is dirty. Pure: `now_us` is always an argument.

What must always hold:

- every event first settles the seconds that fell due before it;
- a thing counts exactly while it has a viewer and its status is `active`;
- whatever changed is in the dirty set until the ledger takes it, and what the ledger
  could not write comes back into it; a thing leaves memory only when it is saved.

A thing that counts sits on a wheel of `SLOTS_PER_SECOND` slots at the phase of its due
moment. One turn takes a second, so each thing is looked at once a second, at most one
slot after its second fell due, and never moves while it counts.
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
    def __init__(self) -> None:
        self.things: dict[Hashable, T] = {}
        self._wheel: list[dict[T, None]] = [{} for _ in range(SLOTS_PER_SECOND)]
        self._next_slot: int | None = None
        self._seen_us: int | None = None
        self._dirty: list[T] = []
        self._booked: list[T] = []

    # --- events -----------------------------------------------------------------------

    def add(self, thing: T) -> None:
        """Take over a thing that this process has claimed."""
        if thing.thing_id in self.things:
            raise ValueError("tracked already")
        self.things[thing.thing_id] = thing

    def attach(self, thing: T, viewer: Viewer, now_us: int) -> None:
        """A connection tracks it from `now_us` on. A start is a sign of activity."""
        self._observe(now_us)
        self.settle(thing, now_us)
        alone = not thing.viewers
        thing.viewers.add(viewer)
        thing.meter.sign(now_us)
        if alone:
            if thing.released:  # its document has been, or is being, told so
                thing.released = False
                self.changed(thing)
            if thing.status == RUNNING:
                self._run(thing, now_us)

    def detach(self, thing: T, viewer: Viewer, now_us: int) -> None:
        """A connection is gone; with the last one, tracked time stops."""
        self._observe(now_us)
        self.settle(thing, now_us)
        thing.viewers.discard(viewer)
        if not thing.viewers and not thing.ended:
            self._hold(thing, now_us)
            thing.released = True
            self.changed(thing)

    def release(self, thing: T) -> None:
        """Give up a thing that nobody came to track after all."""
        thing.released = True
        self.changed(thing)

    def activity(self, thing: T, now_us: int) -> None:
        self._observe(now_us)
        if thing.status == RUNNING:
            due_us = thing.meter.due_at_us
            if due_us is not None and now_us >= due_us:
                self.settle(thing, now_us)
            thing.meter.sign(now_us)

    def tab_switch(self, thing: T, now_us: int) -> None:
        """Counted while active. Not a sign of activity; it is saved with the next second."""
        self._observe(now_us)
        if thing.status == RUNNING:
            self.settle(thing, now_us)
            thing.tab_switches += 1

    def pause(self, thing: T, now_us: int) -> None:
        self._observe(now_us)
        if thing.status == RUNNING:
            self._hold(thing, now_us)
            thing.status = PAUSED
            thing.paused_since_us = now_us
            self.changed(thing)

    def resume(self, thing: T, now_us: int) -> None:
        """Go on counting. Asked for or not, a resume is a sign of activity."""
        self._observe(now_us)
        self.settle(thing, now_us)
        thing.meter.sign(now_us)
        if thing.status == PAUSED:
            thing.status = RUNNING
            self._end_pause(thing, now_us)
            if thing.viewers:
                self._run(thing, now_us)
            self.changed(thing)

    def end(self, thing: T, status: str, now_us: int) -> None:
        self._observe(now_us)
        if not thing.ended:
            self._hold(thing, now_us)
            self._end_pause(thing, now_us)
            thing.status = status
            thing.ended_at_us = now_us
            self.changed(thing)

    def drop(self, thing: T) -> None:
        """Forget it: saved and left, deleted, or taken by another process."""
        thing.gone = True
        self._take_off(thing)
        if self.things.get(thing.thing_id) is thing:
            del self.things[thing.thing_id]

    # --- time -------------------------------------------------------------------------

    def advance(self, now_us: int) -> None:
        """Settle everything whose slot has come since the last call.

        To be called on every slot: a longer silence is taken for a gap of the process.
        """
        self._observe(now_us)
        last_slot = now_us // SLOT_US
        if self._next_slot is None or last_slot - self._next_slot >= SLOTS_PER_SECOND:
            slots: Iterable[int] = range(SLOTS_PER_SECOND)
        else:
            slots = range(self._next_slot, last_slot + 1)
        self._next_slot = last_slot + 1
        for slot in slots:
            for thing in self._wheel[slot % SLOTS_PER_SECOND]:
                self.settle(thing, now_us)

    def _observe(self, now_us: int) -> None:
        """See a gap of the process before anything is settled across it: whatever runs
        first after it, a message or the wheel. Nobody watched then, so it counts for
        nothing."""
        last_us = self._seen_us
        if last_us is not None and now_us <= last_us:
            return
        self._seen_us = now_us
        if last_us is None or now_us - last_us <= GAP_US:
            return
        for thing in self.things.values():
            if thing.meter.running:
                self._hold(thing, last_us)
                self._run(thing, now_us)

    def settle(self, thing: T, now_us: int) -> None:
        """Book what fell due up to and including `now_us`."""
        meter = thing.meter
        due_us = meter.due_at_us
        if due_us is not None and now_us >= due_us:
            self._book(thing, meter.settle(now_us))

    # --- what is to be done -------------------------------------------------------------

    def mark(self, thing: T) -> None:
        """It has to be written."""
        if not thing.dirty and not thing.gone:
            thing.dirty = True
            self._dirty.append(thing)

    def changed(self, thing: T) -> None:
        """More than its counters changed: it has to be written with all its values."""
        thing.revision += 1
        self.mark(thing)

    def take_dirty(self) -> list[T]:
        """Hand over what has to be written, each thing once."""
        taken, self._dirty = self._dirty, []
        for thing in taken:
            thing.dirty = False
        return [thing for thing in taken if not thing.gone]

    @property
    def dirty_count(self) -> int:
        return len(self._dirty)

    @property
    def counting_count(self) -> int:
        """How many things count now."""
        return sum(map(len, self._wheel))

    def take_booked(self) -> list[T]:
        """Hand over what booked a second since the last call, each thing once."""
        taken, self._booked = self._booked, []
        for thing in taken:
            thing.booked = False
        return taken

    # --- private ------------------------------------------------------------------------

    def _book(self, thing: T, booked: Booked) -> None:
        due_us = thing.meter.due_at_us
        if due_us is None:
            raise AssertionError("only a running meter books")
        thing.last_booked_us = due_us - SECOND_US
        active, idle = booked
        if active:
            if thing.run is not Kind.ACTIVE:
                self._begin_run(thing, Kind.ACTIVE, due_us - (active + idle + 1) * SECOND_US)
            thing.active += active
        if idle:
            if thing.run is not Kind.IDLE:
                self._begin_run(thing, Kind.IDLE, due_us - (idle + 1) * SECOND_US)
            thing.idle += idle
        if booked.active:
            thing.last_active_us = thing.last_booked_us - booked.idle * SECOND_US
        idle_now = booked.idle > 0
        if idle_now != thing.idle_now:
            thing.idle_now = idle_now
            thing.state_changed = True
        if not thing.booked:
            thing.booked = True
            self._booked.append(thing)
        self.mark(thing)

    def _begin_run(self, thing: T, kind: Kind, start_us: int) -> None:
        if thing.begin_run(kind, start_us):
            self.changed(thing)

    def _run(self, thing: T, now_us: int) -> None:
        thing.meter.run(now_us)
        due_us = thing.meter.due_at_us
        if due_us is None:
            raise AssertionError("a running meter has a due moment")
        # Said beforehand, it is written with what made it run, and not once more.
        self._begin_run(thing, Kind.ACTIVE, due_us - SECOND_US)
        thing.phase = -(-due_us // SLOT_US) % SLOTS_PER_SECOND
        self._wheel[thing.phase][thing] = None

    def _hold(self, thing: T, now_us: int) -> None:
        self.settle(thing, now_us)
        thing.meter.hold(now_us)
        thing.run = None
        self._take_off(thing)

    def _take_off(self, thing: T) -> None:
        if thing.phase is not None:
            self._wheel[thing.phase].pop(thing, None)
            thing.phase = None

    def _end_pause(self, thing: T, now_us: int) -> None:
        if thing.paused_since_us is not None:
            length_us = max(0, now_us - thing.paused_since_us)
            thing.pause_ended(length_us)
            thing.paused_us += length_us
            thing.paused_since_us = None
