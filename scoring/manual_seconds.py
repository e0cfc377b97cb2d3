"""Seconds entered by hand beside those that were tracked. Pure.

Invariants:

- the counters of a session are the sum of its tracked runs and its entries, for each counter
  by itself;
- an entry belongs to the local date of its instant and to no hour; it covers no tracked second,
  and no tracked second covers it;
- what is taken away is taken from the newest entry first, then from the end of the runs: a
  tracked second stays where it was, or is gone;
- active seconds that become idle ones, or the other way round, stay where they were.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from scoring.timeline import NO_COUNTS, SECOND_US, Counts, Kind, Run, counts_of

MAX_MANUAL_SECONDS = 86_400
"""By hand in one session: a day."""


class Entry(NamedTuple):
    """Counts entered by hand for an instant, in a time zone."""

    at_us: int
    zone: str
    counts: Counts


class Counted(NamedTuple):
    """All that a session has counted: its tracked runs, and its entries in order of time."""

    runs: Sequence[Run]
    entries: Sequence[Entry]


def total_of(entries: Iterable[Entry]) -> Counts:
    """Return the sum of the entries."""
    return Counts(
        *(sum(each) for each in zip(NO_COUNTS, *(e.counts for e in entries), strict=True))
    )


def set_counters(
    counted: Counted, wanted: Counts, at_us: int, zone: str, *, may_join: Callable[[Entry], bool]
) -> Counted:
    """Return what a session has counted after its counters were set by hand.

    Args:
        wanted: All counters, as they are to be.
        at_us: The moment for which seconds are entered.
        joins: Whether more of this moment may join an earlier entry.
    """
    runs, entries = list(counted.runs), list(counted.entries)
    have = _plus(counts_of(runs), total_of(entries))
    # Of one kind less, of the other more: these seconds change their kind.
    turned = min(have.active - wanted.active, wanted.idle - have.idle)
    if turned > 0:
        runs, entries = _turned(runs, entries, Kind.ACTIVE, turned)
    turned = min(wanted.active - have.active, have.idle - wanted.idle)
    if turned > 0:
        runs, entries = _turned(runs, entries, Kind.IDLE, turned)
    have = _plus(counts_of(runs), total_of(entries))
    more = Counts(*(max(w - h, 0) for w, h in zip(wanted, have, strict=True)))
    less = Counts(*(max(h - w, 0) for w, h in zip(wanted, have, strict=True)))
    if any(less):
        entries, left = _taken_back(entries, less)
        runs = _shortened(runs, left)
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


def _taken_back(entries: Sequence[Entry], less: Counts) -> tuple[list[Entry], Counts]:
    """The entries without these counts, and the counts that no entry had."""
    kept: list[Entry] = []
    for entry in reversed(entries):
        taken = Counts(*(min(e, n) for e, n in zip(entry.counts, less, strict=True)))
        less = Counts(*(n - t for n, t in zip(less, taken, strict=True)))
        counts = Counts(*(e - t for e, t in zip(entry.counts, taken, strict=True)))
        kept.append(entry._replace(counts=counts))
    return kept[::-1], less


def _shortened(runs: Sequence[Run], less: Counts) -> list[Run]:
    """The runs without these counts, the last ones first."""
    left = {Kind.ACTIVE: less.active, Kind.IDLE: less.idle}
    tab_switches, freed = less.tab_switches, 0
    kept: list[Run] = []
    for run in reversed(runs):
        seconds = min(run.seconds, left.get(run.kind, 0))
        switches = min(run.tab_switches, tab_switches)
        tab_switches -= switches
        shorter = run._replace(
            length_us=run.length_us - seconds * SECOND_US,
            tab_switches=run.tab_switches - switches,
        )
        if seconds:
            left[run.kind] -= seconds
        if shorter.length_us:
            kept.append(shorter)
        else:  # its tab switches belong to the nearest run that is left
            freed += shorter.tab_switches
    kept.reverse()
    for at in reversed(range(len(kept))):
        if freed and kept[at].kind != Kind.PAUSED:
            kept[at] = kept[at]._replace(tab_switches=kept[at].tab_switches + freed)
            break
    return kept


def _turned(
    runs: Sequence[Run], entries: Sequence[Entry], kind: Kind, seconds: int
) -> tuple[list[Run], list[Entry]]:
    """These last seconds of a kind, active or idle, become seconds of the other kind."""
    other = Kind.IDLE if kind == Kind.ACTIVE else Kind.ACTIVE
    turned_entries: list[Entry] = []
    for entry in reversed(entries):
        active, idle, tab_switches = entry.counts
        count = min(seconds, active if kind == Kind.ACTIVE else idle)
        seconds -= count
        change = -count if kind == Kind.ACTIVE else count
        counts = Counts(active + change, idle - change, tab_switches)
        turned_entries.append(entry._replace(counts=counts))
    turned: list[Run] = []
    for run in reversed(runs):
        count = min(seconds, run.seconds) if run.kind == kind else 0
        seconds -= count
        if count:
            length_us = count * SECOND_US
            kept_us = run.length_us - length_us
            # Tab switches stay with the first of the two.
            tab_switches = 0 if kept_us else run.tab_switches
            turned.append(Run(other, run.start_us + kept_us, length_us, tab_switches))
            run = run._replace(length_us=kept_us)  # noqa: PLW2901 - what is left of it
        if run.length_us:
            turned.append(run)
    return turned[::-1], turned_entries[::-1]
