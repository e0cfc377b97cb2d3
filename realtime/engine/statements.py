"""Compose the fewest statements that write all changes of a flush. Pure.

Invariants:

- Each item is in exactly one statement of a flush, and is compared with the stamp that its own
  document is believed to carry.
- A whole flush sets one fresh stamp, so items that were written together can be written together
  again a second later.

Items with the same stamp and the same increase share a statement of up to `GROUP_SIZE`. Items with
a stamp of their own (just joined) share one of up to `MIXED_SIZE`. So do items whose status or
viewers changed; these are written with absolute totals. Beyond its commit, the cost of a mixed
statement grows with the square of its different stamps and values: at this size it is an eighth of
the cost of single writes.
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
"""Fewer items than this of one stamp are written together with items of other stamps."""


@dataclass(frozen=True, slots=True)
class Statement(Generic[T]):
    """One `update_many` by id, fenced by stamps."""

    batch: list[T]
    expected: str | PerDocument
    """The stamp of all documents, or of each."""
    stamp: str
    increase: Counts | None
    """The seconds and tab switches to add; None for absolute totals."""
    values: dict[str, Any]


def compose(
    batch: Iterable[T],
    *,
    stamp: str,
    absolute: Callable[[T], dict[str, Any]],
    counted: Callable[[Counts], dict[str, Any]],
) -> list[Statement[T]]:
    """Return the statements of a flush, and set the `attempt` of each item that is written.

    Absolute writes come first, because a client waits for them.

    Args:
        batch: The items to write, none of which is in doubt.
        stamp: The fresh stamp of this flush.
        absolute: Returns all values of an item, by the name of the field.
        counted: Returns the values that are set when counters are increased.
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
