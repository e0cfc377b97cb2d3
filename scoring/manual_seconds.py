"""Combine seconds entered by hand with tracked ones. Pure.

Invariants:

- Each counter of a session is the sum over its tracked runs and its entries.
- An entry belongs to the local date of its instant and to no hour. It overlaps no tracked second.
- Seconds are removed from the newest entry first, then from the end of the runs: a tracked second
  stays where it was or is removed.
- Active seconds that become idle ones, or vice versa, stay where they were.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from scoring.timeline import NO_COUNTS, SECOND_US, Counts, Kind, Run, counts_of

MAX_MANUAL_SECONDS = 86_400
"""Most seconds that can be entered by hand in one session: a day."""


class Entry(NamedTuple):
    """Counts entered by hand for an instant, in a time zone."""

    at_us: int
    zone: str
    counts: Counts


class Counted(NamedTuple):
    """All counted time of a session: its tracked runs, and its entries in order of time."""

    runs: Sequence[Run]
    entries: Sequence[Entry]


def total_of(entries: Iterable[Entry]) -> Counts:
    """Return the sum of the entries."""
    return Counts(
        *(sum(each) for each in zip(NO_COUNTS, *(e.counts for e in entries), strict=True))
    )


def set_counters(
    counted: Counted, target: Counts, at_us: int, zone: str, *, may_join: Callable[[Entry], bool]
) -> Counted:
    """Return the counted time of a session after its counters were set by hand.

    Args:
        counted: The counted time so far.
        target: The new values of all counters.
        at_us: The instant for which added seconds are entered, in microseconds since 1970.
        zone: The time zone of the entry.
        may_join: Whether added seconds may be merged into an earlier entry.
    """
    runs, entries = list(counted.runs), list(counted.entries)
    have = _plus(counts_of(runs), total_of(entries))
    # Less of one kind and more of the other: these seconds change their kind in place.
    converted = min(have.active - target.active, target.idle - have.idle)
    if converted > 0:
        runs, entries = _convert(runs, entries, Kind.ACTIVE, converted)
    converted = min(target.active - have.active, have.idle - target.idle)
    if converted > 0:
        runs, entries = _convert(runs, entries, Kind.IDLE, converted)
    have = _plus(counts_of(runs), total_of(entries))
    more = Counts(*(max(w - h, 0) for w, h in zip(target, have, strict=True)))
    less = Counts(*(max(h - w, 0) for w, h in zip(target, have, strict=True)))
    if any(less):
        entries, remaining = _remove_from_entries(entries, less)
        runs = _remove_from_runs(runs, remaining)
    if any(more):
        last = entries[-1] if entries else None
        if last is not None and may_join(last):
            entries[-1] = Entry(max(at_us, last.at_us), zone, _plus(last.counts, more))
        else:
            entries.append(Entry(at_us, zone, more))
    return Counted(runs, [each for each in entries if any(each.counts)])


def _plus(one: Counts, other: Counts) -> Counts:
    return Counts(
        one.active + other.active, one.idle + other.idle, one.tab_switches + other.tab_switches
    )


def _remove_from_entries(entries: Sequence[Entry], less: Counts) -> tuple[list[Entry], Counts]:
    """Return the entries without these counts, and the counts that exceed all entries."""
    kept: list[Entry] = []
    for entry in reversed(entries):
        taken = Counts(*(min(e, n) for e, n in zip(entry.counts, less, strict=True)))
        less = Counts(*(n - t for n, t in zip(less, taken, strict=True)))
        counts = Counts(*(e - t for e, t in zip(entry.counts, taken, strict=True)))
        kept.append(entry._replace(counts=counts))
    return kept[::-1], less


def _remove_from_runs(runs: Sequence[Run], less: Counts) -> list[Run]:
    """Return the runs without these counts, which are removed from the last runs first."""
    remaining = {Kind.ACTIVE: less.active, Kind.IDLE: less.idle}
    tab_switches, freed = less.tab_switches, 0
    kept: list[Run] = []
    for run in reversed(runs):
        seconds = min(run.seconds, remaining.get(run.kind, 0))
        switches = min(run.tab_switches, tab_switches)
        tab_switches -= switches
        shorter = run._replace(
            length_us=run.length_us - seconds * SECOND_US,
            tab_switches=run.tab_switches - switches,
        )
        if seconds:
            remaining[run.kind] -= seconds
        if shorter.length_us:
            kept.append(shorter)
        else:  # its remaining tab switches move to the last run that is kept
            freed += shorter.tab_switches
    kept.reverse()
    for at in reversed(range(len(kept))):
        if freed and kept[at].kind != Kind.PAUSED:
            kept[at] = kept[at]._replace(tab_switches=kept[at].tab_switches + freed)
            break
    return kept


def _convert(
    runs: Sequence[Run], entries: Sequence[Entry], kind: Kind, seconds: int
) -> tuple[list[Run], list[Entry]]:
    """Return runs and entries after the last seconds of one kind became the other kind.

    Args:
        runs: The tracked runs.
        entries: The entries by hand, which are converted first.
        kind: Active or idle.
        seconds: How many seconds of that kind change.
    """
    other = Kind.IDLE if kind == Kind.ACTIVE else Kind.ACTIVE
    converted_entries: list[Entry] = []
    for entry in reversed(entries):
        active, idle, tab_switches = entry.counts
        count = min(seconds, active if kind == Kind.ACTIVE else idle)
        seconds -= count
        change = -count if kind == Kind.ACTIVE else count
        counts = Counts(active + change, idle - change, tab_switches)
        converted_entries.append(entry._replace(counts=counts))
    converted: list[Run] = []
    for run in reversed(runs):
        count = min(seconds, run.seconds) if run.kind == kind else 0
        seconds -= count
        if count:
            length_us = count * SECOND_US
            kept_us = run.length_us - length_us
            # The run is split in two; its tab switches stay with the first part.
            tab_switches = 0 if kept_us else run.tab_switches
            converted.append(Run(other, run.start_us + kept_us, length_us, tab_switches))
            run = run._replace(length_us=kept_us)  # noqa: PLW2901 - its first part
        if run.length_us:
            converted.append(run)
    return converted[::-1], converted_entries[::-1]
