"""Build some days of a site and its visitors, for the admin's dashboard. Pure.

Invariants:

- The same seed, mark, user and day give the same site. All of it lies in the past, within the given
  days.
- Every id that is not an ObjectId begins with the mark's prefix, and every page name with the
  mark's `pages`, so the rows are found again. Visits also have the mark as a field.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from hashlib import sha256
from random import Random
from typing import NamedTuple, Self

from focusup.demo.seeded_random import dice, id_of
from models.base.database import Document
from models.base.schema_types import milliseconds
from models.pageviews.page_view import new_view
from scoring.local_days import ONE_DAY
from scoring.utc_days import midnight

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
PEOPLE, BROWSERS = 12, 22
"""The first browser is the learner's, the next ones are those of people; nobody ever signed
in with the others."""
HERE_NOW = 5
"""So many of them, the learner among them, are there at the end."""
WEEKDAY, WEEKEND = 0.6, 0.35
"""How likely it is that a browser comes on a day."""
HOURS = {7: 3, 8: 5, 9: 4, 10: 3, 11: 2, 12: 2, 13: 3, 14: 3, 15: 4, 16: 3, 17: 3, 18: 5, 19: 4,
         20: 2}  # fmt: skip
ACTIONS = ("open_chapter", "finish_quiz", "start_session", "share_notes")
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Safari/605.1.15",
    "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36",
)


class Page(NamedTuple):
    """A page of the demonstration site."""

    name: str
    title: str
    visible_s: float
    """On average."""
    engaged: float
    """Part of that, at most."""
    weight: int


PAGES = (
    Page("home", "Home", 25, 0.8, 5),
    Page("library", "Library", 60, 0.9, 4),
    Page("chapter", "Chapter", 260, 0.95, 7),
    Page("quiz", "Quiz", 150, 1, 3),
    Page("progress", "Progress", 40, 0.7, 2),
)


@dataclass(frozen=True)
class Mark:
    """What tells the rows of one demonstration from all others."""

    tag: str
    """Eight hexadecimal digits."""

    @classmethod
    def of(cls, learner_id: str) -> Self:
        """Return the mark of a learner's demonstration."""
        return cls(sha256(learner_id.encode()).hexdigest()[:8])

    @property
    def prefix(self) -> str:
        """The prefix of all ids of the demonstration."""
        return f"demo-{self.tag}-"

    @property
    def pages(self) -> str:
        """The prefix of its page names, which no real site has."""
        return f"/demo-{self.tag}/"

    def browser(self, number: int) -> str:
        """Return the id of a visitor, as long as a real one."""
        text = sha256(f"{self.tag}/{number}".encode()).hexdigest()
        return f"{self.prefix}{text}"[:32]

    def person(self, number: int) -> str:
        """Return the id of a user."""
        return f"{self.prefix}person-{number}"


@dataclass
class Site:
    """The days of a site: everything to insert."""

    visits: list[Document] = field(default_factory=list)
    events: list[Document] = field(default_factory=list)
    page_views: list[Document] = field(default_factory=list)
    browser_sessions: list[Document] = field(default_factory=list)
    visitors: dict[str, Document] = field(default_factory=dict)
    first_seen: dict[str, datetime] = field(default_factory=dict)
    """People."""
    last_seen: dict[str, datetime] = field(default_factory=dict)


class Call(NamedTuple):
    """One browser's time on the site on one day; never past midnight."""

    key: str
    browser: int
    visitor_id: str
    user_id: str | None
    began_at: datetime
    until: datetime


class Days(NamedTuple):
    """The UTC days with data, and the days that may have more than visits.

    `events` and `views` are the days whose counts change when the demonstration is removed.
    """

    all: tuple[date, ...]
    events: frozenset[date]
    views: frozenset[date]


def site_of(mark: Mark, learner_id: str, seed: int, now: datetime, days: Days) -> Site:
    """What happened on these days, up to `now`."""
    site = Site()
    for day in sorted(days.all):
        for call in _calls(mark, learner_id, seed, day, now):
            chance = dice(seed, "call", call.key)
            site.visits.append(_visit(mark, call))
            views = list(_views(chance, mark, call))
            if views and day in days.views:
                _note(site, call, views)
            if call.user_id is not None:
                if day in days.events:
                    site.events += _events(chance, call, is_new=call.user_id not in site.last_seen)
                site.first_seen.setdefault(call.user_id, call.began_at)
                site.last_seen[call.user_id] = call.until
    return site


def _calls(mark: Mark, learner_id: str, seed: int, day: date, now: datetime) -> Iterator[Call]:
    for browser in range(BROWSERS):
        chance = dice(seed, "browser", day, browser)
        likely = WEEKEND if day.weekday() >= 5 else WEEKDAY
        comes = chance.random() < likely and day >= _joined(browser, now.date())
        (hour,) = chance.choices(list(HOURS), list(HOURS.values()))
        began_at = midnight(day) + timedelta(hours=hour, seconds=chance.randrange(3600))
        until = began_at + timedelta(minutes=min(2 + chance.expovariate(1 / 12), 90))
        if day == now.date() and browser < HERE_NOW:
            began_at = max(midnight(day), now - chance.uniform(4, 15) * MINUTE)
            until, comes = max(began_at, now - chance.uniform(0, 3) * MINUTE), True
        if comes and began_at <= now:
            yield Call(
                f"{day}/{browser}",
                browser,
                mark.browser(browser),
                _user(mark, learner_id, browser),
                milliseconds(began_at),
                milliseconds(min(until, now)),
            )


def _joined(browser: int, today: date) -> date:
    """Every other day somebody signs up; the others were there before."""
    if HERE_NOW <= browser <= PEOPLE:
        return today - 2 * (PEOPLE - browser) * ONE_DAY
    return date.min


def _user(mark: Mark, learner_id: str, browser: int) -> str | None:
    if browser == 0:
        return learner_id
    return mark.person(browser) if browser <= PEOPLE else None


def _visit(mark: Mark, call: Call) -> Document:
    return {
        "_id": f"{call.visitor_id}-{call.began_at:%m%d}",
        "first_seen_at": call.began_at,
        "last_seen_at": call.until,
        "day_seen_at": call.began_at,
        "ip_hash": sha256(call.visitor_id.encode()).hexdigest()[:32],
        "ua_hash": sha256(_agent(call).encode()).hexdigest()[:32],
        "demo": mark.tag,
    }


def _agent(call: Call) -> str:
    return AGENTS[call.browser % len(AGENTS)]


def _events(chance: Random, call: Call, *, is_new: bool) -> Iterator[Document]:
    types = ["app_open"]
    if is_new and call.browser >= HERE_NOW:
        types.insert(0, "signup")
    elif is_new or chance.random() < 0.4:
        types.insert(0, "login")
    types += ["action"] * chance.randrange(4)
    at = call.began_at + SECOND
    for number, type_ in enumerate(types):
        if at > call.until:
            return
        yield {
            "_id": id_of(at, call.visitor_id, call.key, number),
            "event_type": type_,
            "action_name": chance.choice(ACTIONS) if type_ == "action" else None,
            "user_id": call.user_id,
            "created_at": at,
        }
        at = milliseconds(at + timedelta(seconds=chance.uniform(1, 90)))


def _views(chance: Random, mark: Mark, call: Call) -> Iterator[Document]:
    """One after the other; the last one ended when they went, or before."""
    at, previous = call.began_at, None
    session_id = id_of(at, call.visitor_id, call.key)
    for number in range(chance.randrange(2, 8)):
        (page,) = chance.choices(PAGES, [page.weight for page in PAGES])
        rest = timedelta(milliseconds=chance.randrange(1000))
        visible = int(chance.expovariate(1 / page.visible_s))
        engaged = int(visible * page.engaged * chance.uniform(0.6, 1))
        ended_at = milliseconds(at + visible * SECOND + rest)
        if ended_at > call.until:
            return
        begun = new_view(
            view_id=id_of(at, call.visitor_id, call.key, number),
            visitor_id=call.visitor_id,
            user_id=call.user_id,
            browser_session_id=session_id,
            page=mark.pages + page.name,
            params={"chapter": chance.randrange(1, 20)} if page.title == "Chapter" else {},
            title=page.title,
            previous_view_id=previous,
            source="socket",
            coefficient=1.0,
            visible=True,
            stamp=f"{mark.prefix}{call.key}.{number}",
            owner=None,
            now=at,
        )
        yield begun | {
            "status": "ended",
            "visibleSeconds": visible,
            "engagedSeconds": engaged,
            "endedAt": ended_at,
            "updatedAt": ended_at,
            "lastBookedAt": at + visible * SECOND if visible else None,
        }
        previous, at = begun["_id"], ended_at


def _note(site: Site, call: Call, views: Sequence[Document]) -> None:
    first, last = views[0], views[-1]
    site.page_views += views
    site.browser_sessions.append(
        {
            "_id": first["browserSessionId"],
            "visitorId": call.visitor_id,
            "userId": call.user_id,
            "userAgent": _agent(call),
            "startedAt": first["startedAt"],
        }
    )
    known = site.visitors.get(call.visitor_id, first)
    site.visitors[call.visitor_id] = {
        "_id": call.visitor_id,
        "userId": call.user_id,
        "firstSeenAt": known.get("firstSeenAt", first["startedAt"]),
        "lastSeenAt": last["startedAt"],
        "browserSessionId": last["browserSessionId"],
        "lastViewId": last["_id"],
    }
