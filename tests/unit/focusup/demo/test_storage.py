"""A demonstration comes and goes, and what was there stays as it was."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase

from focusup.demo import storage
from focusup.demo.site import PAGES
from focusup.demo.storage import SITE_DAYS, Made, add, remove
from focusup.wiring.data import INDEXES
from models.accounts.demos import find_demo
from models.accounts.passwords import PasswordHashes
from models.accounts.users import Signup, find_user_by_email, insert_user, new_user
from models.activity import events, visits
from models.activity.events import Event
from models.activity.visits import Visitor
from models.admin.dashboard import Dashboard, Metrics
from models.base.errors import Conflict, NotFound
from models.base.indexes import ensure_indexes
from models.page_statistics.reports import PagesQuery, PagesReport
from models.page_statistics.rollup_job import ClosedPeriods
from models.page_statistics.statistics import FRESH_FOR, PageStats
from models.pageviews import page_view
from models.privacy.deletions import Deletions
from models.privacy.erasure import remove_person
from tests.support.embedded import embedded_database
from tests.support.study import past_session
from tests.support.views import a_view

Database = AsyncIOMotorDatabase[dict[str, Any]]
NOW = datetime(2026, 4, 3, 15, 20, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
EMAIL = "demo@focusup.test"
SECRET = "a secret that is long enough for the tests"
BOOKKEEPING = ("page_rollups", "running_counts", "departures")


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        await ensure_indexes(db, INDEXES)
        for days_ago in range(20):
            at = NOW - days_ago * DAY - 11 * MINUTE
            await visits.record_visits(db, {f"visit{days_ago}": Visitor("a" * 32, "b" * 32)}, at)
            await events.insert_events(db, {ObjectId(): Event("login", None, "ada")}, at)
            await db.page_views.insert_one(a_view(at, user="ada"))
            await db.sessions.insert_one(past_session("ada", at))
        yield db


class Server:
    """What a server that runs has in its memory."""

    def __init__(self, db: Database) -> None:
        self.periods = ClosedPeriods(db, is_alive=lambda _: False, pause_s=0)
        self.page_stats = PageStats(db, self.periods, is_alive=lambda _: False)
        self.dashboard = Dashboard(db, 5 * MINUTE, 10 * MINUTE, self._nothing)

    async def _nothing(self) -> int:
        return 0

    async def read(self, now: datetime = NOW) -> tuple[Metrics, PagesReport]:
        """`asOf` tells the same instant, whenever it is read."""
        pages = await self.page_stats.pages(PagesQuery(limit=100), now)
        return await self.dashboard.read(NOW), pages.model_copy(update={"as_of": NOW})

    async def settle(self) -> None:
        """As it does in the background."""
        await self.dashboard.cache_counts(NOW)
        await self.periods.close_due(lambda: NOW)


async def make(db: Database, *, seed: int = 1, email: str = EMAIL) -> Made:
    return await add(
        db, gone(db), email=email, password="pass phrase", seed=seed, until=NOW, now=NOW
    )


def gone(db: Database) -> Deletions:
    return Deletions(db, SECRET, 3600)


async def everything(db: Database) -> dict[str, list[Any]]:
    """All documents, but for what servers remember."""
    names = set(await db.list_collection_names()) - set(BOOKKEEPING)
    found = {name: await db[name].find().to_list(None) for name in names}
    return {name: sorted(map(repr, rows)) for name, rows in found.items() if rows}


class KilledError(Exception):
    """In the middle of it."""


@contextmanager
def killed_at(step: str) -> Iterator[None]:
    """Within this, the step of `filling` is not done any more, nor what follows."""

    def kill(*_: Any, **__: Any) -> None:
        raise KilledError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(storage, step, kill)
        with pytest.raises(KilledError):
            yield


@pytest.mark.parametrize("settled", [False, True])
async def test_a_server_that_runs_shows_it_and_then_what_was_there_before(
    db: Database, settled: bool
) -> None:
    server = Server(db)
    if settled:
        await server.settle()
    before, documents = await server.read(), await everything(db)
    made = await make(db)
    for round_ in (1, 2):
        metrics, pages = await server.read(NOW + round_ * FRESH_FOR)
        assert metrics.total_visits == before[0].total_visits + len(made.site.visits)
        assert metrics.visitors_now >= 5
        assert pages.total.views == before[1].total.views + len(made.site.page_views)
        assert pages.total.visitors == before[1].total.visitors + len(made.site.visitors)
        fresh = await Server(db).read()
        assert (metrics, pages) == fresh
        await server.settle()
    await remove(db, gone(db), email=EMAIL, now=NOW)
    assert await everything(db) == documents
    for round_ in (3, 4):
        assert await server.read(NOW + round_ * FRESH_FOR) == before
        assert await Server(db).read() == before
        await server.settle()


async def test_the_account_is_marked_and_can_sign_in(db: Database) -> None:
    made = await make(db)
    user = await find_user_by_email(db, EMAIL)
    assert user is not None
    assert (str(user.id), user.name, user.time_zone) == (
        made.user_id,
        "Demo learner",
        "Europe/Berlin",
    )
    hashes = PasswordHashes()
    assert (await hashes.verify("pass phrase", user.password_hash)).matches
    hashes.close()
    demo = await find_demo(db, EMAIL)
    assert demo is not None
    assert (demo.user_id, demo.until) == (made.user_id, NOW)


async def test_nobody_elses_account_is_touched(db: Database) -> None:
    signup = Signup(email=EMAIL, password="pass phrase")
    await insert_user(db, new_user(signup, "a hash", NOW))
    documents = await everything(db)
    with pytest.raises(Conflict, match="not_a_demo"):
        await make(db)
    with pytest.raises(Conflict, match="not_a_demo"):
        await remove(db, gone(db), email=EMAIL, now=NOW)
    with pytest.raises(NotFound, match="no_demo"):
        await remove(db, gone(db), email="nobody@focusup.test", now=NOW)
    assert await everything(db) == documents


async def test_visits_are_what_they_were_when_it_goes_on_a_later_day(db: Database) -> None:
    later = NOW + DAY
    real = await visits.count_ever(db, NOW)
    made = await make(db)
    await visits.record_visits(db, {"visit0": Visitor("a" * 32, "b" * 32)}, later)
    assert await visits.count_ever(db, later) == real + len(made.site.visits)
    assert await visits.count_today(db, later) == 1
    await remove(db, gone(db), email=EMAIL, now=later)
    assert (
        await visits.count_ever(db, later) == real == await db.visitor_sessions.count_documents({})
    )
    assert await visits.count_today(db, later) == 1


async def test_what_was_counted_of_visits_is_not_counted_again(db: Database) -> None:
    async def remembered() -> list[Any]:
        wanted = {"_id": {"$gte": "visits.", "$lt": "visits/"}}
        return await db.running_counts.find(wanted).sort("_id", 1).to_list(None)

    server = Server(db)
    await server.settle()
    before = await remembered()
    assert [each["counts"] for each in before] == [{"rows": 1}, {"rows": 20}]
    await make(db)
    await server.read()
    assert await remembered() == before
    await remove(db, gone(db), email=EMAIL, now=NOW)
    await server.read()
    assert await remembered() == before


async def test_when_its_account_has_left_the_rest_can_still_be_removed(db: Database) -> None:
    server = Server(db)
    await server.settle()
    before, documents = await server.read(), await everything(db)
    made = await make(db)
    await remove_person(db, made.user_id, NOW)
    await remove(db, gone(db), email=EMAIL, now=NOW)
    assert await everything(db) == documents
    assert await server.read(NOW + FRESH_FOR) == before


async def test_whoever_has_its_address_after_it_left_is_somebody_real(db: Database) -> None:
    made = await make(db)
    await remove_person(db, made.user_id, NOW)
    user = new_user(Signup(email=EMAIL, password="pass phrase"), "a hash", NOW)
    await insert_user(db, user)
    with pytest.raises(Conflict, match="email_taken"):
        await make(db)
    with pytest.raises(Conflict, match="not_a_demo"):
        await remove(db, gone(db), email=EMAIL, now=NOW)
    assert await find_user_by_email(db, EMAIL) == user


async def test_pages_of_a_site_stay_whatever_they_are_called(db: Database) -> None:
    names = {"/demo/home", "/demo/ours", "/demo-video"}
    await page_view.store_page_names(db, names, NOW - DAY)
    made = await make(db)
    assert len(await page_view.read_page_names(db)) == len(names) + len(PAGES)
    assert not names & {view["page"] for view in made.site.page_views}
    await remove(db, gone(db), email=EMAIL, now=NOW)
    assert {row["_id"] for row in await page_view.read_page_names(db)} == names


async def test_again_it_replaces_what_was_there_and_the_same_seed_makes_the_same(
    db: Database,
) -> None:
    async def shown() -> list[Any]:
        fields = ("_id", "userId")
        wanted = {"contentId": {"$ne": None}}
        found = await db.sessions.find(wanted).sort("createdAt", 1).to_list(None)
        return [{k: v for k, v in row.items() if k not in fields} for row in found]

    first = await make(db)
    sessions, before = await shown(), await everything(db)
    second = await make(db)
    assert (first.replaced, second.replaced) == (False, True)
    assert await shown() == sessions
    assert {name: len(rows) for name, rows in (await everything(db)).items()} == {
        name: len(rows) for name, rows in before.items()
    }
    await make(db, seed=2)
    assert await shown() != sessions
    assert len(await db.users.find().to_list(None)) == 1


async def test_two_of_them_do_not_get_into_each_others_way(db: Database) -> None:
    await make(db)
    documents = await everything(db)
    await make(db, email="other@focusup.test")
    await remove(db, gone(db), email="other@focusup.test", now=NOW)
    assert await everything(db) == documents


@pytest.mark.parametrize(
    "step", ["_count_anew", "remove_person", "_remove_site", "_delete", "delete_demo"]
)
async def test_a_removal_that_was_cut_off_is_finished_by_the_next_one(
    db: Database, step: str
) -> None:
    server = Server(db)
    await server.settle()
    before, documents = await server.read(), await everything(db)
    await make(db)
    await server.settle()

    with killed_at(step):
        await remove(db, gone(db), email=EMAIL, now=NOW)
    await remove(db, gone(db), email=EMAIL, now=NOW)
    assert await everything(db) == documents
    assert await server.read(NOW + 3 * FRESH_FOR) == before


@pytest.mark.parametrize("step", ["insert_user", "sessions_of", "_store_site", "_count_anew"])
async def test_a_making_that_was_cut_off_can_be_made_again_or_removed(
    db: Database, step: str
) -> None:
    server = Server(db)
    await server.settle()
    before, documents = await server.read(), await everything(db)

    with killed_at(step):
        await make(db)
    assert (await make(db)).replaced
    await remove(db, gone(db), email=EMAIL, now=NOW)
    assert await everything(db) == documents
    assert await server.read(NOW + 3 * FRESH_FOR) == before


async def test_days_of_which_retention_has_removed_something_are_left_alone(
    db: Database,
) -> None:
    server = Server(db)
    await server.settle()
    before = await server.read()
    kept_from = NOW - 9 * DAY
    await db.page_views.delete_many({"startedAt": {"$lt": kept_from}})
    await db.activity_events.delete_many({"created_at": {"$lt": kept_from}})
    await db.visitor_sessions.delete_many({"last_seen_at": {"$lt": kept_from}})
    made = await make(db)
    last_gone = (NOW - 10 * DAY).date()
    assert min(each["created_at"] for each in made.site.events).date() > last_gone
    assert min(each["startedAt"] for each in made.site.page_views).date() > last_gone
    metrics, pages = await server.read(NOW + FRESH_FOR)
    assert metrics.total_visits == before[0].total_visits + len(made.site.visits)
    assert pages.total.views == before[1].total.views + len(made.site.page_views)
    await remove(db, gone(db), email=EMAIL, now=NOW)
    assert await server.read(NOW + 2 * FRESH_FOR) == before
    assert SITE_DAYS > 10
