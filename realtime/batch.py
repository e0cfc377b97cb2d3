"""Composes the fewest statements that write what changed. Pure.

What must always hold: each thing is in exactly one statement of a flush, with the stamp
that its document is believed to carry; things with the same stamp and the same increase
share one statement of at most `GROUP_SIZE`; and a whole flush sets one fresh stamp, so
that groups written together can be written together again a second later.

A thing whose status or viewers changed is written alone, with absolute totals.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from realtime.tracked import Attempt, Totals, Tracked

GROUP_SIZE = 250


@dataclass(frozen=True, slots=True)
class Statement:
    things: list[Tracked]
    expected: str
    """The stamp that all of these documents are believed to carry."""
    stamp: str
    increase: Totals | None = None
    """What is added to the counters; None for an absolute write of a single thing."""
    values: dict[str, Any] | None = None


def compose(
    things: Iterable[Tracked],
    *,
    stamp: str,
    booked_at: datetime,
    absolute: Callable[[Tracked], dict[str, Any]],
) -> list[Statement]:
    """Statements for these things; each thing's `attempt` says what its one will store.

    Absolute writes come first: somebody waits for them.
    """
    singles: list[Statement] = []
    groups: dict[tuple[str, Totals, int], list[Tracked]] = {}
    for thing in things:
        totals, stored = thing.totals, thing.stored
        if thing.revision != thing.saved_revision:
            singles.append(Statement([thing], thing.stamp, stamp, values=absolute(thing)))
        elif totals != stored:
            increase = Totals(
                totals.active - stored.active,
                totals.idle - stored.idle,
                totals.tab_switches - stored.tab_switches,
            )
            groups.setdefault((thing.stamp, increase, thing.cell), []).append(thing)
        else:
            continue
        thing.attempt = Attempt(stamp, totals, thing.revision)
    statements = singles
    for (expected, increase, _), members in groups.items():
        values: dict[str, Any] = {"updatedAt": booked_at}
        if increase.elapsed:
            values["lastBookedAt"] = booked_at
        if increase.active:
            values["lastActiveAt"] = booked_at
        statements += [
            Statement(members[at : at + GROUP_SIZE], expected, stamp, increase, values)
            for at in range(0, len(members), GROUP_SIZE)
        ]
    return statements
