"""Logins: rotation, reuse, expiry, and two uses of one token at once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.accounts import refresh_tokens as module
from models.accounts.refresh_tokens import (
    MAX_LOGINS,
    end_every_login,
    end_login,
    end_login_of_token,
    end_logins,
    end_oldest_logins,
    find_login,
    rotate_login,
    start_login,
)
from models.accounts.service import INDEXES
from models.base.errors import Unauthorized
from models.base.indexes import ensure_indexes
from tests.support.embedded import KINDS, database_of, embedded_database

Database = AsyncIOMotorDatabase[dict[str, Any]]
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
TTL_S = 1000.0
UNTIL = NOW + timedelta(hours=1)
USER = ObjectId()


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        await ensure_indexes(db, INDEXES)
        yield db


@pytest.fixture(params=KINDS)
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    async with database_of(request.param, tmp_path) as database:
        yield database


async def use(db: Database, token: str, now: datetime) -> str:
    login = await find_login(db, token, now, UNTIL)
    return await rotate_login(db, login, token, now, TTL_S, tokens_until=UNTIL)


async def refused(db: Database, token: str, now: datetime) -> None:
    with pytest.raises(Unauthorized) as caught:
        await use(db, token, now)
    assert caught.value.code == "refresh_token_invalid"


async def count(db: Database) -> int:
    return await db["logins"].count_documents({})


async def test_each_use_gives_another_token_and_a_longer_life(db: Database) -> None:
    login, first = await start_login(db, USER, NOW, TTL_S)
    second = await use(db, first, after(500))
    third = await use(db, second, after(1400))
    assert len({first, second, third}) == 3
    assert {token.split(".")[0] for token in (first, second, third)} == {login.id}
    found = await find_login(db, third, after(2399), UNTIL)
    assert found.user_id == USER
    assert (found.created_at, found.rotated_at, found.expires_at) == (NOW, after(1400), after(2400))
    assert await count(db) == 1


async def test_no_secret_is_in_the_database(db: Database) -> None:
    _, first = await start_login(db, USER, NOW, TTL_S)
    second = await use(db, first, NOW)
    stored = str(await db["logins"].find_one({}))
    assert first.split(".")[1] not in stored
    assert second.split(".")[1] not in stored


async def test_a_token_is_good_until_its_successor_is_used(db: Database) -> None:
    """However long the answer stays away."""
    _, first = await start_login(db, USER, NOW, TTL_S)
    second = await use(db, first, after(1))
    assert await use(db, first, after(TTL_S)) == second
    third = await use(db, second, after(TTL_S))
    assert third not in {first, second}
    assert await use(db, second, after(TTL_S)) == third


@pytest.mark.parametrize("older", range(3))
async def test_after_that_it_ends_the_login_for_everyone(db: Database, older: int) -> None:
    _, token = await start_login(db, USER, NOW, TTL_S)
    tokens = [token]
    for second in range(4):
        tokens.append(await use(db, tokens[-1], after(second)))
    await refused(db, tokens[older], after(5))
    for each in tokens:
        await refused(db, each, after(6))
    assert await count(db) == 0


async def test_a_made_up_secret_changes_nothing(db: Database) -> None:
    """The id of a login is in each of its access tokens."""
    login, first = await start_login(db, USER, NOW, TTL_S)
    second = await use(db, first, NOW)
    made_up = f"{login.id}.{'A' * 43}"
    await refused(db, made_up, NOW)
    await end_login_of_token(db, made_up, NOW, UNTIL)
    assert await use(db, first, NOW) == second
    assert await db["revocations"].count_documents({}) == 0


async def test_a_login_that_an_older_version_has_rotated_goes_on(db: Database) -> None:
    """It chose another salt each time, and counted nothing."""
    login, first = await start_login(db, USER, NOW, TTL_S)
    await db["logins"].update_one({"_id": login.id}, {"$unset": {"salt": 1, "rotations": 1}})
    second = await use(db, first, NOW)
    await db["logins"].update_one({"_id": login.id}, {"$unset": {"rotations": 1}})
    assert await use(db, first, after(20)) == second
    assert await use(db, second, after(30)) not in {first, second}


@pytest.mark.parametrize(
    ("begun", "left"), [(MAX_LOGINS, MAX_LOGINS), (MAX_LOGINS + 2, MAX_LOGINS)]
)
async def test_the_logins_that_were_not_used_for_longest_end(
    db: Database, begun: int, left: int
) -> None:
    tokens = [(await start_login(db, USER, after(each), TTL_S))[1] for each in range(begun)]
    tokens[0] = await use(db, tokens[0], after(100))
    other = (await start_login(db, ObjectId(), NOW, TTL_S))[1]
    await end_oldest_logins(db, USER, after(101), UNTIL)
    assert await count(db) == left + 1
    for token in (tokens[0], tokens[-1], other):
        assert await use(db, token, after(102))
    for token in tokens[1 : 1 + begun - left]:
        await refused(db, token, after(102))
    assert await db["revocations"].count_documents({}) == begun - left


async def test_many_logins_end_a_few_at_a_time(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOGETHER", 3)
    kept, _ = await start_login(db, USER, NOW, TTL_S)
    for _ in range(7):
        await start_login(db, USER, NOW, TTL_S)
    await start_login(db, ObjectId(), NOW, TTL_S)
    await end_logins(db, USER, NOW, UNTIL, but=kept.id)
    assert await count(db) == 2
    assert await db["revocations"].count_documents({}) == 7
    assert await end_every_login(db, NOW, UNTIL) == 2
    assert await count(db) == 0


async def test_a_login_expires_by_our_clock_whether_or_not_it_was_removed(db: Database) -> None:
    _, token = await start_login(db, USER, NOW, TTL_S)
    await refused(db, token, after(TTL_S))
    assert await count(db) == 1
    assert await use(db, token, after(TTL_S - 0.001))


async def test_ending_is_idempotent_and_touches_no_other_login(db: Database) -> None:
    login, first = await start_login(db, USER, NOW, TTL_S)
    _, other = await start_login(db, USER, NOW, TTL_S)
    second = await use(db, first, NOW)
    for _ in range(2):
        await end_login_of_token(db, second, NOW, UNTIL)
        await end_login(db, login.id, NOW, UNTIL)
    await refused(db, second, NOW)
    assert await use(db, other, NOW)


async def test_a_login_that_ends_between_finding_and_rotating_is_refused(db: Database) -> None:
    login, token = await start_login(db, USER, NOW, TTL_S)
    await end_login(db, login.id, NOW, UNTIL)
    with pytest.raises(Unauthorized, match="refresh_token_invalid"):
        await rotate_login(db, login, token, NOW, TTL_S, tokens_until=UNTIL)
    assert await count(db) == 0


async def test_who_rotates_second_gets_what_the_first_one_got(db: Database) -> None:
    login, token = await start_login(db, USER, NOW, TTL_S)
    first = await rotate_login(db, login, token, NOW, TTL_S, tokens_until=UNTIL)
    second = await rotate_login(db, login, token, after(1), TTL_S, tokens_until=UNTIL)
    assert first == second
    assert (await find_login(db, first, NOW, UNTIL)).rotated_at == NOW


async def test_used_twice_at_once_it_rotates_once(embedded: Database) -> None:
    _, token = await start_login(embedded, USER, NOW, TTL_S)
    for _ in range(20):
        followers = await asyncio.gather(*(use(embedded, token, NOW) for _ in range(8)))
        assert len(set(followers)) == 1
        assert followers[0] != token
        token = followers[0]
    assert await count(embedded) == 1


@pytest.mark.parametrize(
    "token",
    ["", ".", "x", "a.b", "A" * 22, f"{'A' * 22}.{'A' * 42}", f"{'A' * 22}.{'ä' * 43}", "\ud800"],
)
async def test_what_is_no_refresh_token(token: str) -> None:
    memory: Database = AsyncMongoMockClient(tz_aware=True)["focusup"]
    await refused(memory, token, NOW)
    await end_login_of_token(memory, token, NOW, UNTIL)


@given(st.text(max_size=80) | st.from_regex(r"[\w-]{22}\.[\w-]{43}", fullmatch=True))
def test_any_text_is_a_clean_refusal(token: str) -> None:
    memory: Database = AsyncMongoMockClient(tz_aware=True)["focusup"]
    asyncio.run(refused(memory, token, NOW))
