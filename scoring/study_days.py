"""What a learner did on each of their days, from the sessions they lived. Pure.

What must always hold:

- a second belongs to the date and hour in which it began, in the zone that its session was
  lived in; a session to the date on which it ended;
- a second in which two sessions were tracked counts once: as active if it was so in one of
  them, and for the session that began first. So a day is never longer than the wall;
- tallies of sessions that do not overlap, merged in any order, are the tally of all of them.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import islice
from typing import Any, NamedTuple

from scoring.local_days import Calendar
from scoring.text import clean
from scoring.timeline import SECOND_US, Kind, Run

COMPLETED = "completed"


class Lived(NamedTuple):
    """A session as it was lived. Instants are microseconds since 1970; `end_us` is None for
    one that has not ended. `runs` are those of its timeline, from `origin_us` on."""

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
        "ended",
        "first",
        "focused",
        "hours",
        "idle",
        "last",
        "last_score",
        "paused",
        "score_sum",
        "tab_switches",
        "tags",
    )

    def __init__(self) -> None:
        self.focused = self.idle = self.paused = self.away = self.tab_switches = 0
        self.ended: Counter[str] = Counter()
        """Sessions by their final status."""
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

    def merge(self, other: "DayTally") -> None:
        self.focused += other.focused
        self.idle += other.idle
        self.paused += other.paused
        self.away += other.away
        self.tab_switches += other.tab_switches
        self.ended += other.ended
        self.score_sum += other.score_sum
        self.best_score = max(self.best_score, other.best_score)
        if other.last_score is not None:
            self.last_score = max(self.last_score or other.last_score, other.last_score)
        self.hours += other.hours
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

    def add_share(self, session: Lived, share: Share) -> None:
        _add(self.contents, session.content, share)
        for tag in session.tags:
            _add(self.tags, tag, share)

    def to_document(self) -> dict[str, Any]:
        return {
            "sums": [self.focused, self.idle, self.paused, self.away, self.tab_switches],
            "ended": dict(self.ended),
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
        tally.ended.update(document["ended"])
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


def day_in(days: StudyDays, day: date) -> DayTally:
    """The tally of a date, begun if need be."""
    found = days.get(day)
    if found is None:
        found = days[day] = DayTally()
    return found


def merge(days: StudyDays, others: StudyDays) -> None:
    """Add the others to the days."""
    for day, tally in others.items():
        day_in(days, day).merge(tally)


def together(tallies: Iterable[DayTally]) -> DayTally:
    """The sum of these."""
    total = DayTally()
    for each in tallies:
        total.merge(each)
    return total


def tally(sessions: Iterable[Lived]) -> StudyDays:
    """The days of these sessions."""
    days: StudyDays = {}
    calendars: dict[str, Calendar] = {}
    for group in overlapping(sessions):
        covered = Covered() if len(group) > 1 else None
        for kind in (Kind.ACTIVE, Kind.IDLE):
            for session in group:
                calendar = calendars.setdefault(session.zone, Calendar(session.zone))
                _add_runs(days, session, kind, calendar, covered)
        for session in group:
            _add_end(days, session, calendars[session.zone])
    return days


def overlapping(sessions: Iterable[Lived]) -> Iterator[list[Lived]]:
    """The sessions in order of their begin, those together that overlap in time."""
    group: list[Lived] = []
    until_us = 0
    for session in sorted(sessions, key=lambda each: (each.origin_us, each.id)):
        if group and session.origin_us >= until_us:
            yield group
            group = []
        until_us = max(until_us, session.until_us) if group else session.until_us
        group.append(session)
    if group:
        yield group


class Covered:
    """Stretches of time that have been counted."""

    def __init__(self) -> None:
        self._stretches: list[tuple[int, int]] = []

    def take(self, start_us: int, seconds: int) -> list[tuple[int, int]]:
        """Those of these seconds that overlap nothing, as stretches; they are covered now."""
        end_us = start_us + seconds * SECOND_US
        free: list[tuple[int, int]] = []
        at = max(bisect_left(self._stretches, (start_us, 0)) - 1, 0)
        for since_us, until_us in islice(self._stretches, at, None):
            if until_us <= start_us:
                continue
            if since_us >= end_us:
                break
            count = max((since_us - start_us) // SECOND_US, 0)
            if count:
                free.append((start_us, count))
            # The first second that begins after the stretch, on the grid of these seconds.
            skipped = max(-((start_us - until_us) // SECOND_US), 0)
            start_us += skipped * SECOND_US
        if start_us < end_us:
            free.append((start_us, (end_us - start_us) // SECOND_US))
        for at_us, count in free:
            insort(self._stretches, (at_us, at_us + count * SECOND_US))
        return free


def _add_runs(
    days: StudyDays, session: Lived, kind: Kind, calendar: Calendar, covered: Covered | None
) -> None:
    for run in session.runs:
        if run.kind != kind:
            continue
        start_us = session.origin_us + run.start_us
        if run.tab_switches:
            day = day_in(days, calendar.day_at(start_us).date)
            day.tab_switches += run.tab_switches
        stretches = [(start_us, run.seconds)]
        if covered is not None:
            stretches = covered.take(start_us, run.seconds)
        for at_us, seconds in stretches:
            for part in calendar.parts_of(at_us, seconds):
                day = day_in(days, part.date)
                day.seen(part.start_us, session.zone)
                if kind == Kind.ACTIVE:
                    day.focused += part.seconds
                    day.hours[part.hour] += part.seconds
                    day.add_share(session, Share(part.seconds, 0))
                else:
                    day.idle += part.seconds


def _add_end(days: StudyDays, session: Lived, calendar: Calendar) -> None:
    end_us = session.end_us
    at_us = session.until_us if end_us is None else end_us
    if end_us is None and not (session.paused_seconds or session.away_seconds):
        return
    day = day_in(days, calendar.day_at(at_us).date)
    day.paused += session.paused_seconds
    day.away += session.away_seconds
    if end_us is None:
        return
    day.seen(end_us, session.zone)
    day.ended[session.status] += 1
    day.add_share(session, Share(0, 1))
    if session.focus_score is not None:
        day.score_sum += session.focus_score
        day.best_score = max(day.best_score, session.focus_score)
        score = (end_us, session.focus_score)
        day.last_score = max(day.last_score or score, score)
