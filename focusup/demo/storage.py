"""Store a demonstration, and remove it, beside a running server or without one.

Invariants:

- Data of an account that is not a demonstration is never changed.
- An interrupted command is completed when it is repeated.
- Stored counts of past days (`running_counts`, `page_rollups`) stay as if all rows were counted.
  Days of which retention has removed events or page views can't be counted again, so nothing is
  added to them. Visits need not be counted again, however many there are.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from focusup.demo.profile import NAME, ZONE
from focusup.demo.site import Days, Mark, Site, site_of
from focusup.demo.year import first_day, goals_of, sessions_of
from models.accounts.demos import Demo, delete_demo, find_demo, insert_demo, set_demo
from models.accounts.passwords import PasswordHashes
from models.accounts.settings import SettingsStore
from models.accounts.user_directory import COLLECTION as KNOWN_USERS
from models.accounts.user_directory import note_users
from models.accounts.users import (
    Signup,
    User,
    insert_user,
    new_user,
)
from models.activity import events, presence, visits
from models.base.database import Collection, Database, Document
from models.base.errors import Conflict, NotFound
from models.page_statistics import rollups, visitor_tallies
from models.pageviews import page_view
from models.pageviews.visitors import BROWSER_SESSIONS, VISITORS
from models.privacy.deletions import Deletions
from models.privacy.erasure import remove_person
from models.sessions.queries import new_id, sessions
from models.tokens.access_tokens import Identity
from scoring.local_days import midnight_us, utc_datetime
from scoring.utc_days import Span, day_of, last_days, midnight

SITE_DAYS = 14
CHUNK = 500


@dataclass(frozen=True)
class Made:
    """What there is now."""

    user_id: str
    sessions: int
    focused_s: int
    site: Site
    replaced: bool


async def add(
    db: Database,
    gone: Deletions,
    *,
    email: str,
    password: str,
    seed: int,
    until: datetime,
    now: datetime,
) -> Made:
    """Store a learner whose year ends at `until`, and a site around it, replacing a former one.

    Raises:
        Conflict: `not_a_demo`, the address belongs to a real user.
        StorageUnavailable: The database does not answer.
        StatementRefused: The database refuses a statement.
    """
    replaced = await find_demo(db, email) is not None
    if replaced:
        await remove(db, gone, email=email, now=now)
    user = await _new_account(email, password, first_day(until))
    demo, site = await _plan(db, user, seed, until)
    await _begin(db, demo, user)
    lived = list(sessions_of(demo.user_id, seed, until))
    await _insert(sessions(db), lived)
    await _store_site(db, demo, site)
    await _count_anew(db, demo)
    focused_s = sum(each["activeSeconds"] for each in lived)
    return Made(demo.user_id, len(lived), focused_s, site, replaced)


async def remove(db: Database, gone: Deletions, *, email: str, now: datetime) -> None:
    """Remove a demonstration with all its marked rows, even if its account is already deleted.

    A user who is signed in with the account is signed out.

    Raises:
        NotFound: `no_demo`.
        Conflict: `not_a_demo`, the address belongs to a real user.
        StorageUnavailable: The database does not answer.
        StatementRefused: The database refuses a statement.
    """
    demo = await find_demo(db, email)
    if demo is None:
        raise NotFound("no_demo", "There is no demonstration with this address.")
    if not demo.is_leaving:
        demo = await _still_whole(db, demo)
        await set_demo(db, demo)
    await _remove_site(db, demo)
    await _count_anew(db, demo)
    # Servers finish the departure of whoever has left, and know nothing of the site.
    await gone.begin(Identity(demo.user_id, now), now, had_account=True)
    await remove_person(db, demo.user_id, now)
    await delete_demo(db, demo)


async def _new_account(email: str, password: str, began_at: datetime) -> User:
    signup = Signup(email=email, password=password, name=NAME, time_zone=ZONE)
    hashes = PasswordHashes()
    try:
        user = new_user(signup, await hashes.hash(password), began_at)
    finally:
        hashes.close()
    return user.model_copy(update={"id": new_id(began_at)})


async def _plan(db: Database, user: User, seed: int, until: datetime) -> tuple[Demo, Site]:
    """What there will be of a site, and what has to be known of it to remove it."""
    spans = last_days(until, SITE_DAYS)
    dates = tuple(span.since.date() for span in spans)
    event_days = tuple(span.since.date() for span in await events.complete_days(db, spans))
    view_days = tuple(await rollups.complete_days(db, dates))
    mark = Mark.of(str(user.id))
    days = Days(dates, frozenset(event_days), frozenset(view_days))
    site = site_of(mark, str(user.id), seed, until, days)
    demo = Demo(
        email=user.email,
        user_id=str(user.id),
        tag=mark.tag,
        until=until,
        event_days=event_days,
        view_days=view_days,
        event_ids=tuple(event["_id"] for event in site.events),
        visits=Counter(visit["day_seen_at"].date() for visit in site.visits),
    )
    return demo, site


async def _begin(db: Database, demo: Demo, user: User) -> None:
    """The account, its settings and goals."""
    await insert_demo(db, demo)
    try:
        await insert_user(db, user)
    except Conflict:  # somebody signed up with it just now
        await delete_demo(db, demo)
        raise
    await note_users(db, [demo.user_id], user.created_at)
    learners = SettingsStore(db)
    await learners.set_zone(demo.user_id, ZONE)
    for each in goals_of(demo.until):
        at = utc_datetime(midnight_us(each.since, ZONE))
        await learners.set_goals(demo.user_id, each.goals, at)


async def _store_site(db: Database, demo: Demo, site: Site) -> None:
    """What leads to other rows comes first, so that `_remove_site` finds them all."""
    seen = [{"_id": id_, "first_seen_at": at} for id_, at in site.first_seen.items()]
    await _insert(db[KNOWN_USERS], [row for row in seen if row["_id"] != demo.user_id])
    there = [{"_id": id_, "last_seen_at": at} for id_, at in site.last_seen.items()]
    await _insert(db[presence.COLLECTION], there)
    await _insert(db[events.COLLECTION], site.events)
    await _insert(db[visits.COLLECTION], site.visits)
    await _insert(db[VISITORS], list(site.visitors.values()))
    await _insert(db[BROWSER_SESSIONS], site.browser_sessions)
    await _insert(page_view.page_views(db), site.page_views)
    pages = {view["page"] for view in site.page_views}
    if pages:
        await page_view.store_page_names(db, pages, demo.until)


async def _remove_site(db: Database, demo: Demo) -> None:
    of_it = {"_id": _starting_with(Mark(demo.tag).prefix)}
    await _delete(db[events.COLLECTION], demo.event_ids)
    for visitor_id in await _ids(db[VISITORS], of_it):
        for collection in (page_view.page_views(db), db[BROWSER_SESSIONS]):
            await _delete(collection, await _ids(collection, {"visitorId": visitor_id}))
    of_visitors = (VISITORS, visitor_tallies.COLLECTION)
    for name in (*of_visitors, visits.COLLECTION, presence.COLLECTION, KNOWN_USERS):
        await _delete(db[name], await _ids(db[name], of_it))
    pages = db[page_view.PAGES]
    await _delete(pages, await _ids(pages, {"_id": _starting_with(Mark(demo.tag).pages)}))


async def _still_whole(db: Database, demo: Demo) -> Demo:
    """It leaves, and this of it can be counted anew."""
    spans = await events.complete_days(db, _spans(demo.event_days))
    return demo._replace(
        is_leaving=True,
        event_days=tuple(span.since.date() for span in spans),
        view_days=tuple(await rollups.complete_days(db, demo.view_days)),
    )


async def _count_anew(db: Database, demo: Demo) -> None:
    """Rows of the past have come or gone."""
    await events.forget_days(db, _spans(demo.event_days))
    if demo.view_days:
        await rollups.lower_first_day(db, min(demo.view_days))
        days = {rollups.day_id(day) for day in demo.view_days}
        months = {rollups.month_id(day) for day in demo.view_days}
        await rollups.reopen(db, days | months)


def _spans(days: Sequence[date]) -> list[Span]:
    return [day_of(midnight(day)) for day in days]


def _starting_with(prefix: str) -> Document:
    return {"$gte": prefix, "$lt": prefix + "\x7f"}


async def _ids(collection: Collection, wanted: Document) -> list[Any]:
    return [row["_id"] async for row in collection.find(wanted, {"_id": 1})]


async def _insert(collection: Collection, documents: Sequence[Document]) -> None:
    for start in range(0, len(documents), CHUNK):
        await collection.insert_many(documents[start : start + CHUNK])


async def _delete(collection: Collection, ids: Sequence[Any]) -> None:
    for start in range(0, len(ids), CHUNK):
        await collection.delete_many({"_id": {"$in": ids[start : start + CHUNK]}})
