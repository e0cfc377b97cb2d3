"""Sum up sessions by local date. Pure.

Invariants:

- A second belongs to the date and hour in which it began, in the time zone of its session; a
  session belongs to the date on which it ended.
- A second in which two sessions were tracked counts once: as active if one of them was active,
  and for the session that started first. So no day has more seconds than the wall clock.
- Merging the tallies of sessions that do not overlap gives the tally of all of them, in any order.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from heapq import merge as merge_sorted
from itertools import islice
from typing import Any, NamedTuple

from scoring.intervals import IntervalSet
from scoring.local_days import Calendar
from scoring.manual_seconds import Entry
from scoring.streaks import DayMark
from scoring.text import clean
from scoring.timeline import Kind, Run

COMPLETED = "completed"
SORTED_TOGETHER = 500
"""Sessions that one step of `tally_steps` sorts."""


class StudySession(NamedTuple):
    """A session, reduced to what day statistics need. Instants are microseconds since 1970."""

    id: str
    zone: str
    status: str
    origin_us: int
    """The instant from which its runs are measured."""
    end_us: int | None
    """None for a session that has not ended."""
    runs: Sequence[Run]
    paused_seconds: int
    away_seconds: int
    focus_score: int | None
    content: str | None
    tags: Sequence[str]
    by_hand: Sequence[Entry] = ()
    """Seconds entered by hand, which are no part of the runs."""

    @property
    def is_empty(self) -> bool:
        """Whether no second of the session was counted."""
        return not any(run.seconds for run in self.runs if run.kind != Kind.PAUSED) and not any(
            each.counts.elapsed for each in self.by_hand
        )

    @property
    def until_us(self) -> int:
        """The instant at which its last run ended."""
        return self.origin_us + (self.runs[-1].end_us if self.runs else 0)


class Share(NamedTuple):
    """The part of a day that belongs to one content or one tag."""

    focused: int = 0
    """Seconds."""
    ended: int = 0
    """Number of sessions that ended."""

    def plus(self, other: "Share") -> "Share":
        """Return the sum of both."""
        return Share(self.focused + other.focused, self.ended + other.ended)


@dataclass(slots=True)
class DayTally:
    """The sums of one date. All times are seconds unless a name says otherwise."""

    focused: int = 0
    idle: int = 0
    paused: int = 0
    away: int = 0
    tab_switches: int = 0
    manual: int = 0
    """Focused seconds that were entered by hand."""
    ended: Counter[str] = field(default_factory=Counter)
    """Number of sessions with at least one second, by final status."""
    empty: Counter[str] = field(default_factory=Counter)
    """Number of sessions without a second, by final status."""
    score_sum: int = 0
    best_score: int = 0
    last_score: tuple[int, int] | None = None
    """End, in microseconds since 1970, and score of the session that ended last."""
    hours: Counter[int] = field(default_factory=Counter)
    """Focused seconds by local hour."""
    contents: dict[str | None, Share] = field(default_factory=dict)
    tags: dict[str, Share] = field(default_factory=dict)
    first: tuple[int, str] | None = None
    """Instant, in microseconds since 1970, and time zone of the first second, entry or end."""
    last: tuple[int, str] | None = None
    """Instant and time zone of the last second, entry or end."""

    @property
    def sessions(self) -> int:
        """Number of sessions that ended with at least one second."""
        return self.ended.total()

    @property
    def completed(self) -> int:
        """Number of sessions that ended as completed."""
        return self.ended[COMPLETED]

    def mark(self, day: date) -> DayMark:
        """Return the excerpt that streaks and calendars use."""
        return DayMark(day, self.focused, self.completed, self.first, self.last)

    def merge(self, other: "DayTally", *, shares: bool = True) -> None:
        """Add another tally.

        Args:
            other: The tally to add.
            shares: Whether to add contents and tags, of which a day may have very many.
        """
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
        for moment in (other.first, other.last):
            if moment is not None:
                self.include_moment(*moment)

    def include_moment(self, at_us: int, zone: str) -> None:
        """Extend the span from `first` to `last` so that it includes this instant."""
        moment = (at_us, zone)
        if self.first is None or moment < self.first:
            self.first = moment
        if self.last is None or moment > self.last:
            self.last = moment

    def add_share(self, session: StudySession, share: Share) -> None:
        """Add a share to the content and the tags of a session."""
        _add(self.contents, session.content, share)
        for tag in session.tags:
            _add(self.tags, tag, share)

    def to_document(self) -> dict[str, Any]:
        """Return the tally in its stored form."""
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
        """Return the tally that was stored as this document."""
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
    """Return shares as rows in order of name; the share of sessions without content is first."""
    named = sorted(shares.items(), key=lambda item: (item[0] is not None, item[0] or ""))
    return [[name, *share] for name, share in named]


NOTHING = Share()
StudyDays = dict[date, DayTally]


def day_tally_of(days: StudyDays, day: date) -> DayTally:
    """Return the tally of a date; add an empty one if there is none."""
    found = days.get(day)
    if found is None:
        found = days[day] = DayTally()
    return found


def merge(days: StudyDays, others: StudyDays) -> None:
    """Add `others` to `days`."""
    for day, tally in others.items():
        day_tally_of(days, day).merge(tally)


def sum_of_days(tallies: Iterable[DayTally]) -> DayTally:
    """Return the sum of the tallies, without contents and tags."""
    total = DayTally()
    for each in tallies:
        total.merge(each, shares=False)
    return total


def tally(sessions: Iterable[StudySession], starts_at: int = 0) -> StudyDays:
    """Return the tally of each date.

    Args:
        sessions: In any order.
        starts_at: When days begin, in minutes after midnight.
    """
    days: StudyDays = {}
    for _ in tally_steps(days, sessions, starts_at):
        pass
    return days


def tally_steps(
    days: StudyDays, sessions: Iterable[StudySession], starts_at: int = 0
) -> Iterator[None]:
    """Add sessions to the days in steps, each of which is a bounded amount of work.

    Args:
        days: Is changed.
        sessions: In any order.
        starts_at: When days begin, in minutes after midnight.

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
    while part := sorted(islice(remaining, SORTED_TOGETHER), key=_start_key):
        ordered.append(part)
        yield
    for group in _groups(merge_sorted(*ordered, key=_start_key)):
        yield
        if group is None:
            continue
        covered = IntervalSet() if len(group) > 1 else None
        # Active runs first, so that a second that is active in one session and idle in another
        # counts as active.
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
    """Yield groups of sessions that overlap in time, in order of their start."""
    return (group for group in _groups(sorted(sessions, key=_start_key)) if group is not None)


def _start_key(session: StudySession) -> tuple[int, str]:
    return session.origin_us, session.id


def _groups(ordered: Iterable[StudySession]) -> Iterator[list[StudySession] | None]:
    """Yield groups of sessions that overlap in time, and None after each session of a group.

    The None lets `tally_steps` pause within a group that is large.
    """
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
                day.include_moment(part.start_us, session.zone)
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
    day.include_moment(entry.at_us, entry.zone)
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
        return  # so that no empty tally is made for the date of `at_us`
    day = day_tally_of(days, calendar.day_at(at_us).date)
    day.paused += session.paused_seconds
    day.away += session.away_seconds
    if end_us is None:
        return
    if session.is_empty:
        day.empty[session.status] += 1
        return
    day.include_moment(end_us, session.zone)
    day.ended[session.status] += 1
    day.add_share(session, Share(0, 1))
    if session.focus_score is not None:
        day.score_sum += session.focus_score
        day.best_score = max(day.best_score, session.focus_score)
        score = (end_us, session.focus_score)
        day.last_score = max(day.last_score or score, score)
