"""What a learner did on each of their days, from the sessions they lived. Pure.

What must always hold:

- a second belongs to the date and hour in which it began, in the zone that its session was
  lived in; a session to the date on which it ended;
- a second in which two sessions were tracked counts once: as active if it was so in one of
  them, and for the session that began first. So a day is never longer than the wall;
- tallies of sessions that do not overlap, merged in any order, are the tally of all of them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from heapq import merge as merge_sorted
from itertools import islice
from typing import Any, NamedTuple

from scoring.intervals import IntervalSet
from scoring.local_days import Calendar
from scoring.manual_seconds import Entry
from scoring.text import clean
from scoring.timeline import Kind, Run

COMPLETED = "completed"
SORTED_TOGETHER = 500


class StudySession(NamedTuple):
    """A session as it was lived. Instants are microseconds since 1970; `end_us` is None for
    one that has not ended. `runs` are those of its timeline, from `origin_us` on; `by_hand`
    are entries without a place in it."""

    id: str
    zone: str
    status: str
    origin_us: int
    end_us: int | None
    runs: Sequence[Run]
    paused_seconds: int
    away_seconds: int
    focus_score: int | None
    content: str | None
    tags: Sequence[str]
    by_hand: Sequence[Entry] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no second of it was counted."""
        return not any(run.seconds for run in self.runs if run.kind != Kind.PAUSED) and not any(
            each.counts.elapsed for each in self.by_hand
        )

    @property
    def until_us(self) -> int:
        """When its last run ended."""
        return self.origin_us + (self.runs[-1].end_us if self.runs else 0)


class DayMark(NamedTuple):
    """What streaks and calendars need of a date. `first` and `last` are the instants and
    zones of its first and its last moment."""

    date: date
    focused: int
    completed: int
    first: tuple[int, str] | None
    last: tuple[int, str] | None

    def plus(self, other: "DayMark") -> "DayMark":
        firsts = [each for each in (self.first, other.first) if each is not None]
        lasts = [each for each in (self.last, other.last) if each is not None]
        return DayMark(
            self.date,
            self.focused + other.focused,
            self.completed + other.completed,
            min(firsts, default=None),
            max(lasts, default=None),
        )

    def to_row(self) -> list[Any]:
        """As it is stored."""
        return [
            self.date.isoformat(),
            self.focused,
            self.completed,
            *(self.first or ()),
            *(self.last or ()),
        ]

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> "DayMark":
        day, focused, completed, *seen = row
        first, last = ((seen[0], seen[1]), (seen[2], seen[3])) if seen else (None, None)
        return cls(date.fromisoformat(day), focused, completed, first, last)


class Share(NamedTuple):
    """What a content, or a tag, has of a day."""

    focused: int = 0
    ended: int = 0

    def plus(self, other: "Share") -> "Share":
        return Share(self.focused + other.focused, self.ended + other.ended)


class DayTally:
    """One date. Seconds throughout; `zones` are those of its first and its last second or
    end, with their instants."""

    __slots__ = (
        "away",
        "best_score",
        "contents",
        "empty",
        "ended",
        "first",
        "focused",
        "hours",
        "idle",
        "last",
        "last_score",
        "manual",
        "paused",
        "score_sum",
        "tab_switches",
        "tags",
    )

    def __init__(self) -> None:
        self.focused = self.idle = self.paused = self.away = self.tab_switches = 0
        self.manual = 0
        """Of the focused seconds, those by hand."""
        self.ended: Counter[str] = Counter()
        """Sessions with at least a second, by their final status."""
        self.empty: Counter[str] = Counter()
        """Sessions without a second, by their final status."""
        self.score_sum = self.best_score = 0
        self.last_score: tuple[int, int] | None = None
        """That of the last session that ended, and when."""
        self.hours: Counter[int] = Counter()
        """Focused seconds by hour."""
        self.contents: dict[str | None, Share] = {}
        self.tags: dict[str, Share] = {}
        self.first: tuple[int, str] | None = None
        self.last: tuple[int, str] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DayTally) and self.to_document() == other.to_document()

    __hash__ = None  # type: ignore[assignment]

    @property
    def sessions(self) -> int:
        """How many ended."""
        return self.ended.total()

    @property
    def completed(self) -> int:
        return self.ended[COMPLETED]

    def mark(self, day: date) -> DayMark:
        return DayMark(day, self.focused, self.completed, self.first, self.last)

    def merge(self, other: "DayTally", *, shares: bool = True) -> None:
        """Add the other; `shares` may be left out, since a day may have very many."""
        self.focused += other.focused
        self.idle += other.idle
        self.paused += other.paused
        self.away += other.away
        self.tab_switches += other.tab_switches
        self.manual += other.manual
        self.ended += other.ended
        self.empty += other.empty
        self.score_sum += other.score_sum
        self.best_score = max(self.best_score, other.best_score)
        if other.last_score is not None:
            self.last_score = max(self.last_score or other.last_score, other.last_score)
        self.hours += other.hours
        if shares:
            for content, share in other.contents.items():
                _add(self.contents, content, share)
            for tag, share in other.tags.items():
                _add(self.tags, tag, share)
        for seen in (other.first, other.last):
            if seen is not None:
                self.seen(*seen)

    def seen(self, at_us: int, zone: str) -> None:
        """Something of this date was lived at this instant."""
        here = (at_us, zone)
        if self.first is None or here < self.first:
            self.first = here
        if self.last is None or here > self.last:
            self.last = here

    def add_share(self, session: StudySession, share: Share) -> None:
        _add(self.contents, session.content, share)
        for tag in session.tags:
            _add(self.tags, tag, share)

    def to_document(self) -> dict[str, Any]:
        return {
            "sums": [self.focused, self.idle, self.paused, self.away, self.tab_switches],
            "manual": self.manual,
            "ended": dict(self.ended),
            "empty": dict(self.empty),
            "scores": [self.score_sum, self.best_score, *(self.last_score or ())],
            "hours": [number for item in sorted(self.hours.items()) for number in item],
            "contents": _rows(self.contents),
            "tags": _rows(self.tags),
            "seen": [*(self.first or ()), *(self.last or ())],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "DayTally":
        tally = cls()
        (tally.focused, tally.idle, tally.paused, tally.away, tally.tab_switches) = document["sums"]
        tally.manual = document["manual"]
        tally.ended.update(document["ended"])
        tally.empty.update(document["empty"])
        tally.score_sum, tally.best_score, *last_score = document["scores"]
        if last_score:
            tally.last_score = (last_score[0], last_score[1])
        hours = document["hours"]
        tally.hours.update(dict(zip(hours[::2], hours[1::2], strict=True)))
        for name, focused, ended in document["contents"]:
            _add(tally.contents, None if name is None else clean(name), Share(focused, ended))
        for name, focused, ended in document["tags"]:
            _add(tally.tags, clean(name), Share(focused, ended))
        if seen := document["seen"]:
            tally.first, tally.last = (seen[0], seen[1]), (seen[2], seen[3])
        return tally


def _add(shares: dict[Any, Share], name: str | None, share: Share) -> None:
    shares[name] = share.plus(shares.get(name, NOTHING))


def _rows(shares: Mapping[Any, Share]) -> list[list[Any]]:
    """By name, that of no content first."""
    named = sorted(shares.items(), key=lambda item: (item[0] is not None, item[0] or ""))
    return [[name, *share] for name, share in named]


NOTHING = Share()
StudyDays = dict[date, DayTally]


def day_tally_of(days: StudyDays, day: date) -> DayTally:
    """The tally of a date, begun if need be."""
    found = days.get(day)
    if found is None:
        found = days[day] = DayTally()
    return found


def merge(days: StudyDays, others: StudyDays) -> None:
    """Add the others to the days."""
    for day, tally in others.items():
        day_tally_of(days, day).merge(tally)


def sum_of_days(tallies: Iterable[DayTally]) -> DayTally:
    """The sum of these, without shares."""
    total = DayTally()
    for each in tallies:
        total.merge(each, shares=False)
    return total


def tally(sessions: Iterable[StudySession], starts_at: int = 0) -> StudyDays:
    """The days of these sessions, which begin `starts_at` minutes after midnight."""
    days: StudyDays = {}
    for _ in tally_steps(days, sessions, starts_at):
        pass
    return days


def tally_steps(
    days: StudyDays, sessions: Iterable[StudySession], starts_at: int = 0
) -> Iterator[None]:
    """Add these sessions to the days, step by step: each step is a bounded amount of work.

    Yields:
        After each run, part of a run, entry and session.
    """
    calendars: dict[str, Calendar] = {}

    def calendar_of(zone: str) -> Calendar:
        if zone not in calendars:
            calendars[zone] = Calendar(zone, starts_at)
        return calendars[zone]

    ordered: list[list[StudySession]] = []
    remaining = iter(sessions)
    while part := sorted(islice(remaining, SORTED_TOGETHER), key=_begin):
        ordered.append(part)
        yield
    for group in _groups(merge_sorted(*ordered, key=_begin)):
        yield
        if group is None:
            continue
        covered = IntervalSet() if len(group) > 1 else None
        for kind in (Kind.ACTIVE, Kind.IDLE):
            for session in group:
                yield from _add_runs(days, session, kind, calendar_of(session.zone), covered)
        for session in group:
            for entry in session.by_hand:
                _add_entry(days, session, entry, calendar_of(entry.zone))
                yield
            _add_end(days, session, calendar_of(session.zone))
            yield


def group_overlapping(sessions: Iterable[StudySession]) -> Iterator[list[StudySession]]:
    """The sessions in order of their begin, those together that overlap in time."""
    return (group for group in _groups(sorted(sessions, key=_begin)) if group is not None)


def _begin(session: StudySession) -> tuple[int, str]:
    return session.origin_us, session.id


def _groups(ordered: Iterable[StudySession]) -> Iterator[list[StudySession] | None]:
    """The groups of sessions that overlap; None after each session that joins a group."""
    group: list[StudySession] = []
    until_us = 0
    for session in ordered:
        if group and session.origin_us >= until_us:
            yield group
            group = []
        until_us = max(until_us, session.until_us) if group else session.until_us
        group.append(session)
        yield None
    if group:
        yield group


def _add_runs(
    days: StudyDays,
    session: StudySession,
    kind: Kind,
    calendar: Calendar,
    covered: IntervalSet | None,
) -> Iterator[None]:
    for run in session.runs:
        if run.kind != kind:
            continue
        start_us = session.origin_us + run.start_us
        if run.tab_switches:
            day = day_tally_of(days, calendar.day_at(start_us).date)
            day.tab_switches += run.tab_switches
        stretches: Iterable[tuple[int, int]] = [(start_us, run.seconds)]
        if covered is not None:
            stretches = covered.cover(start_us, run.seconds)
        for at_us, seconds in stretches:
            for part in calendar.parts_of(at_us, seconds):
                day = day_tally_of(days, part.date)
                day.seen(part.start_us, session.zone)
                if kind == Kind.ACTIVE:
                    day.focused += part.seconds
                    day.hours[part.hour] += part.seconds
                    day.add_share(session, Share(part.seconds, 0))
                else:
                    day.idle += part.seconds
                yield
        yield


def _add_entry(days: StudyDays, session: StudySession, entry: Entry, calendar: Calendar) -> None:
    day = day_tally_of(days, calendar.day_at(entry.at_us).date)
    day.seen(entry.at_us, entry.zone)
    active, idle, tab_switches = entry.counts
    day.focused += active
    day.manual += active
    day.idle += idle
    day.tab_switches += tab_switches
    if active:
        day.add_share(session, Share(active, 0))


def _add_end(days: StudyDays, session: StudySession, calendar: Calendar) -> None:
    end_us = session.end_us
    at_us = session.until_us if end_us is None else end_us
    if end_us is None and not (session.paused_seconds or session.away_seconds):
        return
    day = day_tally_of(days, calendar.day_at(at_us).date)
    day.paused += session.paused_seconds
    day.away += session.away_seconds
    if end_us is None:
        return
    if session.is_empty:
        day.empty[session.status] += 1
        return
    day.seen(end_us, session.zone)
    day.ended[session.status] += 1
    day.add_share(session, Share(0, 1))
    if session.focus_score is not None:
        day.score_sum += session.focus_score
        day.best_score = max(day.best_score, session.focus_score)
        score = (end_us, session.focus_score)
        day.last_score = max(day.last_score or score, score)
