"""Store focus sessions for the ledger: their collection and the shape of their documents."""

from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from models.base.bulk_writes import read_fields, write_fenced
from models.base.compare_and_set import Stamps
from models.base.database import Database, Document
from models.base.driver_errors import answered_within
from models.sessions.idle_modes import DEFAULT, idle_after_s
from models.sessions.queries import Claim, sessions
from models.sessions.session import COUNTERS, FINAL, ended_fields, has_reached_target
from models.sessions.timeline import BY_HAND, carry_us_in, counts_in, going_on, origin_of
from realtime.engine.clock import Clock
from realtime.engine.meter import Meter
from realtime.engine.tracked import PAUSED, TrackedSession
from scoring.timeline import Counts

_READ = ("stamp", "status", "owner", *COUNTERS)
ANSWER_WITHIN_S = 5.0
"""The time after which a write counts as unanswered, and so as in doubt."""


class SessionStore:
    """The `Store` of focus sessions (`realtime.engine.store`)."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        stamps: Stamps,
        *,
        interactive_s: float,
    ) -> None:
        """Create it; `interactive_s` is the idle threshold of the idle mode `interactive`."""
        self._db = db
        self._interactive_s = interactive_s
        self._clock = clock
        self._stamps = stamps

    async def insert(self, _: Sequence[TrackedSession]) -> set[Any]:
        """Never called: a session is stored before it is tracked."""
        raise AssertionError("a session is stored before it is tracked")

    async def write(self, ids: list[ObjectId], pipeline: list[dict[str, Any]]) -> int:
        """Apply an update pipeline; return how many documents it changed."""
        async with answered_within(ANSWER_WITHIN_S):
            return await write_fenced(sessions(self._db), ids, pipeline)

    async def read(self, ids: list[ObjectId]) -> dict[ObjectId, Document]:
        """Return the fields that the ledger compares, by id."""
        async with answered_within(ANSWER_WITHIN_S):
            return await read_fields(sessions(self._db), ids, _READ)

    def tracked(self, claim: Claim, now_us: int) -> TrackedSession:
        """Return a claimed session as the engine tracks it from `now_us` on."""
        document = claim.document
        paused_at = document["pausedAt"]
        paused = document["status"] == PAUSED
        mode = document.get("idleMode", DEFAULT)
        idle_after_us = round(idle_after_s(mode, self._interactive_s) * 1_000_000)
        return TrackedSession(
            tracked_id=document["_id"],
            user_id=document["userId"],
            status=document["status"],
            totals=self.totals(document),
            target_minutes=document["targetMinutes"],
            reached_target=has_reached_target(document),
            started_at=document["startedAt"],
            meter=Meter(idle_after_us=idle_after_us, carry_us=carry_us_in(document)),
            stamp=document["stamp"],
            paused_us=round(document["pausedMs"] * 1000),
            paused_since_us=self._clock.at_us(paused_at) if paused and paused_at else None,
            timeline=going_on(document, self._clock.wall(now_us)),
            origin_us=self._clock.at_us(origin_of(document)),
            by_hand=document.get(BY_HAND, ()),
        )

    def absolute(self, tracked: TrackedSession) -> dict[str, Any]:
        """Return all values that the engine holds of a session.

        The remainder of a second is stored only while the session does not count, so a crash may
        lose it, and never counts it twice.
        """
        clock, paused_since_us = self._clock, tracked.paused_since_us
        values: dict[str, Any] = {
            "status": tracked.status,
            "elapsedSeconds": tracked.elapsed,
            "activeSeconds": tracked.active,
            "idleSeconds": tracked.idle,
            "tabSwitches": tracked.tab_switches,
            "timeline": tracked.timeline.pack(),
            "pausedMs": tracked.paused_us / 1000,
            "pausedAt": None if paused_since_us is None else clock.wall(paused_since_us),
            "carryMs": 0.0 if tracked.meter.running else tracked.meter.carry_us(0) / 1000,
            "owner": self._stamps.process if tracked.owned else None,
            "updatedAt": clock.wall(clock.now_us()),
        }
        if not tracked.viewers and tracked.ended_at_us is None:
            values["leftAt"] = values["updatedAt"]
        if tracked.last_booked_us is not None:
            values["lastBookedAt"] = clock.wall(tracked.last_booked_us)
        if tracked.last_active_us is not None and tracked.active != tracked.stored.active:
            values["lastActiveAt"] = clock.wall(tracked.last_active_us)
        if tracked.ended_at_us is not None:
            # The target is stored with the score that was computed from it.
            values["targetMinutes"] = tracked.target_minutes
            facts = {**values, "startedAt": tracked.started_at, BY_HAND: tracked.by_hand}
            values |= ended_fields(facts, tracked.status, clock.wall(tracked.ended_at_us))
        return values

    def increments(self, increase: Counts) -> dict[str, int]:
        """Return the counter fields to increase, and by how much."""
        return {
            name: amount
            for name, amount in (
                ("elapsedSeconds", increase.elapsed),
                ("activeSeconds", increase.active),
                ("idleSeconds", increase.idle),
                ("tabSwitches", increase.tab_switches),
            )
            if amount
        }

    def counted(self, increase: Counts, at_us: int) -> dict[str, Any]:
        """Return the fields that are set when counters are increased."""
        at = self._clock.wall(at_us)
        values: dict[str, Any] = {"updatedAt": at}
        if increase.elapsed:
            values["lastBookedAt"] = at
            values["carryMs"] = 0.0  # the remainder that was claimed is in this second
        if increase.active:
            values["lastActiveAt"] = at
        return values

    def totals(self, document: Document) -> Counts:
        """Return the counters; raise ValueError or LookupError if unreadable."""
        totals = counts_in(document)
        if not all(isinstance(count, int) for count in totals):
            raise ValueError("a counter is not an integer")
        return totals

    def matches(self, tracked: TrackedSession, document: Document) -> bool:
        """Return whether status and owner are stored as memory holds them."""
        owner = self._stamps.process if tracked.owned else None
        return bool(document["status"] == tracked.status and document["owner"] == owner)

    def ended(self, document: Document) -> bool:
        """Return whether the session has a final status."""
        return document["status"] in FINAL
