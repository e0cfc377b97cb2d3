"""Composes the fewest statements that write what changed. Pure.

What must always hold: each thing is in exactly one statement of a flush, compared with the
stamp that its own document is believed to carry; a whole flush sets one fresh stamp, so
that things written together can be written together again a second later.

Things with the same stamp and the same increase share a statement of up to `GROUP_SIZE`.
Those with a stamp of their own (just joined) share one of up to `MIXED_SIZE`, as do things
whose status or viewers changed, which are written with absolute totals: what a statement
costs beyond its commit grows with the square of its different stamps and values, and at
this size it is an eighth of writing each alone.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from models.base.compare_and_set import PerDocument
from realtime.engine.tracked import Attempt, T
from scoring.timeline import Counts

Item = TypeVar("Item")

GROUP_SIZE = 250
MIXED_SIZE = 50
FEW = 10
"""Fewer things than this of one stamp are written with those of other stamps."""


@dataclass(frozen=True, slots=True)
class Statement(Generic[T]):
    batch: list[T]
    expected: str | PerDocument
    """The stamps that these documents are believed to carry."""
    stamp: str
    increase: Counts | None
    """What is added to the counters; None for absolute totals."""
    values: dict[str, Any]


def compose(
    batch: Iterable[T],
    *,
    stamp: str,
    absolute: Callable[[T], dict[str, Any]],
    counted: Callable[[Counts], dict[str, Any]],
) -> list[Statement[T]]:
    """Statements for these things; each thing's `attempt` says what its one will store.

    `absolute` gives all values of a thing, `counted` those that go along when its counters
    are increased. Absolute writes come first: somebody waits for them.
    """
    changed: dict[tuple[frozenset[str], int], list[tuple[T, dict[str, Any]]]] = {}
    increased: defaultdict[tuple[str, int, int, int, int], list[T]] = defaultdict(list)
    for tracked in batch:
        totals = Counts(tracked.active, tracked.idle, tracked.tab_switches)
        if tracked.revision != tracked.saved_revision:
            values = absolute(tracked)
            changed.setdefault((frozenset(values), tracked.cell), []).append((tracked, values))
        elif totals != tracked.stored:
            active, idle, tab_switches = tracked.stored
            increased[
                tracked.stamp,
                totals[0] - active,
                totals[1] - idle,
                totals[2] - tab_switches,
                tracked.cell,
            ].append(tracked)
        else:
            continue
        tracked.attempt = Attempt(stamp, totals, tracked.revision)
    statements = [
        _absolute(part, stamp) for pairs in changed.values() for part in _parts(pairs, MIXED_SIZE)
    ]
    scattered: dict[tuple[Counts, int], list[T]] = {}
    for (expected, active, idle, tab_switches, cell), members in increased.items():
        increase = Counts(active, idle, tab_switches)
        if len(members) < FEW:
            scattered.setdefault((increase, cell), []).extend(members)
            continue
        values = counted(increase)
        statements += [
            Statement(part, expected, stamp, increase, values)
            for part in _parts(members, GROUP_SIZE)
        ]
    for (increase, _), members in scattered.items():
        values = counted(increase)
        statements += [
            Statement(part, _stamps(part), stamp, increase, values)
            for part in _parts(members, MIXED_SIZE)
        ]
    return statements


def _absolute(pairs: list[tuple[T, dict[str, Any]]], stamp: str) -> Statement[T]:
    batch = [tracked for tracked, _ in pairs]
    values = {
        name: PerDocument((tracked.tracked_id, own[name]) for tracked, own in pairs)
        for name in pairs[0][1]
    }
    return Statement(batch, _stamps(batch), stamp, None, values)


def _stamps(batch: list[T]) -> PerDocument:
    return PerDocument((tracked.tracked_id, tracked.stamp) for tracked in batch)


def _parts(items: list[Item], size: int) -> Iterator[list[Item]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
