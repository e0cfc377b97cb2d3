"""Test that a deletion that is interrupted anywhere is completed by the next attempt."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase

from focusup.wiring.data import INDEXES
from models.base.errors import StorageUnavailable
from models.base.indexes import ensure_indexes
from models.privacy import erasure
from models.privacy.deletions import SETTLED_AFTER, Deletions
from models.privacy.erasure import remove_person
from models.sessions.queries import new_id
from models.sessions.session import NewSession, new_document
from models.tokens.access_tokens import Identity
from models.tokens.revocations import Revocations, revoke_user
from tests.support.embedded import embedded_database
from tests.support.views import a_view

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=n) for n in (1, 60, 3600, 86_400))
ADA = ObjectId()
SECRET = "a secret that is long enough for the tests"
Database = AsyncIOMotorDatabase[dict[str, Any]]


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        await ensure_indexes(db, INDEXES)
        yield db


async def fill(db: Database) -> None:
    """Something of Ada's in every collection, and of an unknown visitor who became her."""
    ada = str(ADA)
    await db.users.insert_one({"_id": ADA, "email": "ada@example.com"})
    await db.logins.insert_one({"_id": "login", "userId": ADA, "expiresAt": NOW + DAY})
    for days in range(3):
        at = NOW - days * 40 * DAY
        id_ = new_id(at)
        await db.sessions.insert_one(
            {**new_document(ada, NewSession(), stamp="t.1", now=at), "_id": id_}
        )
        await db.attendance.insert_one({"_id": id_})
        await db.notices.insert_one({"to": "x", "sessionId": id_, "at": NOW})
        await db.activity_events.insert_one({"_id": new_id(at), "user_id": ada})
    await db.study_periods.insert_one({"_id": f"2026-04 {ada}", "userId": ada})
    await db.goals_reached.insert_one({"_id": f"2026-04-01 dailyMinutes 1 {ada}", "userId": ada})
    await revoke_user(db, ada, NOW, NOW + HOUR)
    for name in ("learners", "user_presence", "known_users"):
        await db[name].insert_one({"_id": ada})
    visitor = "v" * 32
    await db.visitors.insert_one({"_id": visitor, "userId": ada, "lastSeenAt": NOW})
    await db.browser_sessions.insert_one(
        {"_id": new_id(NOW), "visitorId": visitor, "userId": ada, "userAgent": "hers"}
    )
    for user in (None, ada):
        await db.page_views.insert_one(a_view(NOW - HOUR, visitor=visitor, user=user, title="hers"))


async def known(db: Database) -> set[str]:
    """The collections in which something of hers is left."""
    names = await db.list_collection_names()
    found = {name: repr([row async for row in db[name].find()]) for name in names}
    hers = (str(ADA), "hers", "ada@example.com")
    left = {name for name, text in found.items() if any(each in text for each in hers)}
    return left | {name for name in ("attendance", "notices") if await db[name].find_one()}


async def test_wherever_it_is_cut_off_it_is_finished_by_the_next(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = statements = 0
    real = {name: getattr(erasure, name) for name in ("_delete", "_set")}

    def counted(name: str) -> Any:
        async def call(*args: Any) -> None:
            nonlocal statements
            statements += 1
            if statements > allowed:
                raise StorageUnavailable
            await real[name](*args)

        return call

    for name in real:
        monkeypatch.setattr(erasure, name, counted(name))
    cut_off = True
    while cut_off:
        for name in await db.list_collection_names():
            await db[name].delete_many({})
        await fill(db)
        statements = 0
        try:
            await remove_person(db, str(ADA), NOW)
            cut_off = False
        except StorageUnavailable:
            assert await db.users.find_one({"_id": ADA}) is not None
        allowed, before = 1000, allowed
        statements = 0
        await remove_person(db, str(ADA), NOW)
        assert await known(db) == set()
        allowed = before + 1
    assert allowed > 10


async def test_who_was_never_there_may_leave(db: Database) -> None:
    await remove_person(db, "nobody", NOW)
    assert await known(db) == set()


# --- who has left -----------------------------------------------------------------------


def departures(db: Database) -> Deletions:
    return Deletions(db, SECRET, 3600)


def token(user: str, issued_at: datetime | None = NOW - MINUTE) -> Identity:
    return Identity(user, NOW + HOUR, issued_at)


async def test_tokens_from_before_are_refused_for_good(db: Database) -> None:
    here, there = departures(db), departures(db)
    assert await there.read_new(NOW) == []
    for user, had_account in (("ada", True), ("bob", False)):
        await here.begin(token(user), NOW, had_account=had_account)
    assert await there.read_new(NOW + SECOND) == ["ada", "bob"]
    assert await there.read_new(NOW + SECOND) == []
    newer = NOW + MINUTE
    for gone in (here, there):
        assert all(gone.is_deleted(token(user)) for user in ("ada", "bob"))
        assert all(gone.is_deleted(token(user, newer)) for user in ("ada", "bob"))
        assert not gone.is_deleted(token("eve"))
    assert here.due_for_second_pass(NOW + SETTLED_AFTER - SECOND) == []
    for each in here.due_for_second_pass(NOW + SETTLED_AFTER):
        await here.complete(each)
    await there.read_new(NOW + SETTLED_AFTER)
    for gone in (here, there):
        assert gone.due_for_second_pass(NOW + HOUR) == []
        assert gone.is_deleted(token("bob"))
        assert gone.is_deleted(token("bob", None))
        assert not gone.is_deleted(token("bob", newer))
        assert gone.is_deleted(token("ada", newer))
    rows = [row async for row in db.departures.find()]
    assert not any("ada" in repr(row) or "bob" in repr(row) for row in rows)
    assert all(row["expiresAt"] > NOW + HOUR for row in rows)


async def test_rows_are_forgotten_when_their_tokens_are(db: Database) -> None:
    gone = departures(db)
    await gone.begin(token("bob"), NOW, had_account=False)
    for each in gone.due_for_second_pass(NOW + HOUR):
        await gone.complete(each)
    await gone.read_new(NOW + 3 * HOUR)
    await db.departures.delete_many({})
    await gone.read_new(NOW + 3 * HOUR)
    assert not gone.is_deleted(token("bob"))


@pytest.mark.parametrize("had_account", [False, True])
async def test_what_was_signed_out_stays_so_after_leaving(db: Database, had_account: bool) -> None:
    """Though its row goes with the user: a token that was stolen may last for long."""
    stolen = Identity("bob", NOW + 30 * DAY, NOW - MINUTE)
    await revoke_user(db, "bob", NOW, stolen.expires_at)
    gone = departures(db)
    await gone.begin(token("bob", NOW), NOW + SECOND, had_account=had_account)
    await remove_person(db, "bob", NOW + SECOND)
    for each in gone.due_for_second_pass(NOW + HOUR):
        await gone.complete(each)
    at = NOW + 29 * DAY
    await db.departures.delete_many({"expiresAt": {"$lte": at}})  # as the database does
    again, revocations = departures(db), Revocations(db)
    for reader in (gone, again):
        await reader.read_new(at)
        assert reader.is_deleted(stolen)
        assert reader.is_deleted(token("bob", at)) is had_account
    assert [news async for news in revocations.read_new(at)] == []


async def test_leaving_again_keeps_out_what_the_first_time_did(db: Database) -> None:
    old = Identity("bob", NOW + 30 * DAY, NOW - MINUTE)
    first, second = departures(db), departures(db)
    await first.begin(old, NOW, had_account=False)
    for each in first.due_for_second_pass(NOW + HOUR):
        await first.complete(each)
    later = Identity("bob", NOW + 2 * HOUR, NOW + HOUR)
    await second.read_new(NOW + HOUR)
    await second.begin(later, NOW + HOUR, had_account=False)
    for each in second.due_for_second_pass(NOW + 2 * HOUR):
        await second.complete(each)
    at = NOW + DAY
    await db.departures.delete_many({"expiresAt": {"$lte": at}})
    for reader in (first, second, departures(db)):
        await reader.read_new(at)
        assert reader.is_deleted(old)


async def test_a_token_that_never_ends_is_refused_for_ever(db: Database) -> None:
    gone = departures(db)
    for_ever = Identity("bob", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    await gone.begin(for_ever, NOW, had_account=False)
    assert gone.is_deleted(for_ever)
