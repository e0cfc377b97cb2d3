"""A request with a key is carried out once, whatever is lost on the way."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.accounts.idempotency_keys import (
    COLLECTION,
    INDEXES,
    KEPT_FOR,
    LEASE,
    MAX_BODY_CHARS,
    Answer,
    Claimed,
    IdempotencyKeys,
    Request,
    fingerprint,
)
from models.base.errors import Invalid
from models.base.indexes import ensure_indexes
from models.sessions.queries import RESERVED_FOR, insert_session, new_id, sessions
from models.sessions.session import NewSession
from tests.support.embedded import KINDS, database_of

SECRET = "a secret that is long enough for HS256"
NOW = datetime.now(UTC).replace(microsecond=0)
"""Not of the past: mongomock removes what has expired by the machine's clock."""
ANSWER = Answer(201, '{"session":{}}', "/api/sessions/1")
ASKED = Request("user ada", "ada", "key-1", fingerprint("POST", "/api/sessions?", b"{}"))

Database = AsyncIOMotorDatabase[dict[str, Any]]


@pytest.fixture(params=KINDS)
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    async with database_of(request.param, tmp_path) as db:
        await ensure_indexes(db, {COLLECTION: INDEXES})
        yield db


@pytest.fixture
def keys(db: Database) -> IdempotencyKeys:
    return IdempotencyKeys(db, SECRET)


async def claimed(keys: IdempotencyKeys, asked: Request = ASKED, at: datetime = NOW) -> Claimed:
    found = await keys.claim(asked, at)
    assert isinstance(found, Claimed), found
    return found


async def test_a_success_is_answered_again_until_the_key_ends(keys: IdempotencyKeys) -> None:
    first = await claimed(keys)
    assert await keys.claim(ASKED, NOW) is None
    await keys.remember(first, ANSWER, NOW)
    assert await keys.claim(ASKED, NOW) == ANSWER
    last = NOW + KEPT_FOR - timedelta(milliseconds=1)
    assert await keys.claim(ASKED, last) == ANSWER
    again = await claimed(keys, at=NOW + KEPT_FOR)
    assert again.makes != first.makes


@pytest.mark.parametrize(
    "other",
    [
        ASKED._replace(fingerprint=fingerprint("POST", "/api/sessions?", b'{"title":"x"}')),
        ASKED._replace(fingerprint=fingerprint("POST", "/api/track-event?", b"{}")),
        ASKED._replace(fingerprint=fingerprint("PUT", "/api/sessions?", b"{}")),
    ],
)
async def test_another_request_with_the_key_is_refused(
    keys: IdempotencyKeys, other: Request
) -> None:
    first = await claimed(keys)
    for _ in range(2):  # while it is carried out, and afterwards
        with pytest.raises(Invalid) as caught:
            await keys.claim(other, NOW)
        assert caught.value.code == "idempotency_key_reused"
        await keys.remember(first, ANSWER, NOW)


async def test_keys_of_others_are_other_keys(keys: IdempotencyKeys) -> None:
    await keys.remember(await claimed(keys), ANSWER, NOW)
    await claimed(keys, ASKED._replace(scope="user eve", user_id="eve"))
    await claimed(keys, ASKED._replace(scope="address 127.0.0.1", user_id=None))
    await claimed(keys, ASKED._replace(key="key-2"))


async def test_of_many_at_once_one_is_carried_out(db: Database) -> None:
    servers = [IdempotencyKeys(db, SECRET) for _ in range(8)]
    # Whichever is first: their clocks need not agree.
    found = await asyncio.gather(
        *(each.claim(ASKED, NOW - timedelta(seconds=number)) for number, each in enumerate(servers))
    )
    assert sorted(each is None for each in found) == [False] + [True] * 7


async def test_what_failed_may_come_again_and_makes_the_same(keys: IdempotencyKeys) -> None:
    first = await claimed(keys)
    await keys.release(first, NOW, refused=False)
    again = await claimed(keys)
    assert (again.makes, again.stamp != first.stamp) == (first.makes, True)
    with pytest.raises(Invalid):
        await keys.claim(ASKED._replace(fingerprint="other"), NOW)


async def test_what_was_refused_may_come_with_another_body(keys: IdempotencyKeys) -> None:
    await keys.release(await claimed(keys), NOW, refused=True)
    await claimed(keys, ASKED._replace(fingerprint="other"))


@pytest.mark.parametrize("after", [LEASE, -2 * LEASE])
async def test_a_server_that_died_keeps_nobody_out(keys: IdempotencyKeys, after: timedelta) -> None:
    dead = await claimed(keys)
    again = await claimed(keys, at=NOW + after)
    assert again.makes == dead.makes
    await keys.remember(dead, ANSWER._replace(status=299), NOW)  # it was only suspended
    assert await keys.claim(ASKED, NOW + after) is None
    await keys.remember(again, ANSWER, NOW)
    assert await keys.claim(ASKED, NOW) == ANSWER


async def test_no_key_and_no_address_is_stored_and_no_answer_without_a_bound(
    db: Database, keys: IdempotencyKeys
) -> None:
    asked = Request("address 203.0.113.9", None, "key-of-mine", "f")
    first = await claimed(keys, asked)
    await keys.remember(first, Answer(200, "x" * (MAX_BODY_CHARS + 1), None), NOW)
    stored = await db[COLLECTION].find_one({})
    assert stored is not None
    assert "203.0.113.9" not in repr(stored)
    assert "key-of-mine" not in repr(stored)
    assert stored["answer"] is None


async def test_a_session_whose_answer_was_lost_is_found_again(db: Database) -> None:
    reserved = new_id(NOW)

    async def make(user: str, at: datetime, id_: ObjectId | None) -> Any:
        return await insert_session(db, user, NewSession(), stamp="a.1", now=at, reserved=id_)

    first = await make("ada", NOW, reserved)
    for at in (NOW, NOW + RESERVED_FOR, NOW + KEPT_FOR):
        assert (await make("ada", at, reserved))["_id"] == first["_id"]
    assert await sessions(db).count_documents({}) == 1


async def test_a_session_that_comes_late_belongs_to_the_day_on_which_it_came(db: Database) -> None:
    late = NOW + RESERVED_FOR
    made = await insert_session(
        db, "ada", NewSession(), stamp="a.1", now=late, reserved=new_id(NOW)
    )
    assert made["_id"].generation_time == late
