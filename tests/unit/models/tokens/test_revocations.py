"""Signing out: whatever belongs to a login, or to a user, ends with it, on every server."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.accounts.refresh_tokens import find_login, rotate_login
from models.accounts.service import INDEXES
from models.accounts.users import Credentials, Signup
from models.base.errors import Unauthorized
from models.base.indexes import ensure_indexes
from models.base.paging import MOST
from models.tokens import revocations as module
from models.tokens.access_tokens import Identity
from models.tokens.revocations import (
    FORGET_EVERY,
    LOGIN_KEPT,
    NARROW,
    OVERLAP,
    OVERLAP_EVERY,
    USER_KEPT,
    Revocations,
    grant_role,
    lock_user,
    revoke_everybody,
    revoke_logins,
    revoke_role,
    revoke_user,
    row_ids,
    unlock_user,
)
from tests.support.accounts_app import ACCESS_TTL_S, FakeClock, accounts_of
from tests.support.embedded import embedded_database

PASSWORD = "correct horse battery"
NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MILLISECOND, MICROSECOND = timedelta(milliseconds=1), timedelta(microseconds=1)


# --- what is revoked, without a server ---------------------------------------------------------


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[AsyncIOMotorDatabase[dict[str, Any]]]:
    async with embedded_database(tmp_path) as found:
        await ensure_indexes(found, INDEXES)
        yield found


def token(issued_at: datetime | None, user: str = "ada", **more: Any) -> Identity:
    """As another issuer signs one, for an hour."""
    return Identity(user, (issued_at or NOW) + HOUR, issued_at, **more)


async def signed_out(db: AsyncIOMotorDatabase[dict[str, Any]], by: Identity, now: datetime) -> None:
    await revoke_user(db, by.user_id, now, by.expires_at)


async def news(heard: Revocations, now: datetime) -> list[str]:
    return [id_ async for some in heard.read_new(now) for id_ in some]


async def test_tokens_of_others_end_by_their_time_of_issue(
    db: AsyncIOMotorDatabase[dict[str, Any]],
) -> None:
    here, there = Revocations(db), Revocations(db)
    assert not await news(there, NOW)
    whole = NOW.replace(microsecond=0)
    await signed_out(db, token(whole), NOW)
    for heard in (here, there):
        assert await news(heard, NOW + SECOND) == ["user:ada"]
        assert not await news(heard, NOW + SECOND)
        assert heard.is_revoked(token(whole - HOUR))
        assert heard.is_revoked(token(whole))
        assert not heard.is_revoked(token(whole + SECOND))
        assert not heard.is_revoked(token(whole, "bob"))
        # One that does not say when it was issued: told by when it expires.
        assert heard.is_revoked(Identity("ada", whole + HOUR))
        assert not heard.is_revoked(Identity("ada", whole + HOUR + SECOND))


async def test_a_login_begun_within_the_same_second_is_another(
    db: AsyncIOMotorDatabase[dict[str, Any]],
) -> None:
    whole = NOW.replace(microsecond=0)
    heard = Revocations(db)
    await signed_out(db, token(whole, login_id="old"), NOW)
    await news(heard, NOW)
    assert not heard.is_revoked(token(whole, login_id="new"))
    assert heard.is_revoked(token(whole - SECOND, login_id="unknown"))


@pytest.mark.parametrize("fraction", [MICROSECOND, 600 * MICROSECOND, 999 * MICROSECOND])
async def test_the_token_by_which_it_was_done_ends_whatever_its_fractions(
    db: AsyncIOMotorDatabase[dict[str, Any]], fraction: timedelta
) -> None:
    now = NOW + 999 * MICROSECOND
    used = [
        Identity("ada", NOW + HOUR + fraction),
        Identity("bob", NOW + HOUR + fraction, NOW + fraction),
        # Of an issuer whose clock is ahead of ours, by no more than is allowed.
        Identity("eve", NOW + HOUR + fraction, NOW + 4 * SECOND + fraction),
    ]
    heard = Revocations(db)
    for each in used:
        await signed_out(db, each, now)
    await news(heard, now)
    assert [heard.is_revoked(each) for each in used] == [True] * 3
    later = MILLISECOND + SECOND
    fresh = [
        replace(
            each,
            expires_at=each.expires_at + later,
            issued_at=each.issued_at and each.issued_at + later,
        )
        for each in used
    ]
    assert [heard.is_revoked(each) for each in fresh] == [False] * 3


@pytest.mark.parametrize(
    "second", [(-10 * SECOND, 5 * HOUR), (10 * SECOND, HOUR), (-10 * SECOND, HOUR)]
)
async def test_signing_out_everywhere_again_takes_nothing_back(
    db: AsyncIOMotorDatabase[dict[str, Any]], second: tuple[timedelta, timedelta]
) -> None:
    """By a server whose clock is behind, or by a token that expires earlier."""
    clock_apart, lasts = second
    first = Identity("ada", NOW + 3 * HOUR)
    await signed_out(db, first, NOW)
    await signed_out(db, Identity("ada", NOW + lasts), NOW + clock_apart)
    heard = Revocations(db)
    await news(heard, NOW)
    assert heard.is_revoked(first)
    assert heard.is_revoked(token(NOW - SECOND))
    (row,) = await db["revocations"].find().to_list(None)
    assert row["expiresAt"] >= NOW + USER_KEPT


async def test_rows_live_as_long_as_what_they_end(
    db: AsyncIOMotorDatabase[dict[str, Any]],
) -> None:
    clock, accounts = FakeClock(), accounts_of(db)
    ada = Signup(email="ada@example.com", password=PASSWORD)
    signed_in = await accounts.signup(ada, clock())
    await accounts.logout(signed_in.refresh_token, None, clock())
    login_id = signed_in.refresh_token.split(".")[0]
    of_login = token(clock(), signed_in.user.id, login_id=login_id)
    await signed_out(db, token(clock(), "bob"), clock())
    heard = Revocations(db)
    for at, login, user in (
        (clock(), True, True),
        (clock() + timedelta(seconds=ACCESS_TTL_S), True, True),
        (clock() + timedelta(seconds=ACCESS_TTL_S) + LOGIN_KEPT, False, True),
        (clock() + USER_KEPT, False, False),
    ):
        await db["revocations"].delete_many({"expiresAt": {"$lte": at}})  # as the database does
        await news(heard, at)
        assert heard.is_revoked(of_login) is login
        assert heard.is_revoked(token(clock(), "bob")) is user
    accounts.close()


@pytest.mark.parametrize("ended_before", [False, True])
async def test_a_login_ends_for_as_long_as_the_token_by_which_it_was_ended(
    db: AsyncIOMotorDatabase[dict[str, Any]], ended_before: bool
) -> None:
    """An app that shares the secret may sign one for a year, and name a login of ours."""
    accounts, heard = accounts_of(db), Revocations(db)
    of_app = Identity("ada", NOW + 30 * DAY, NOW, login_id="theirs")
    if ended_before:
        await revoke_logins(db, ["theirs"], NOW - MINUTE, NOW + HOUR)
        await news(heard, NOW)
    await accounts.logout(None, of_app, NOW)
    for since in (SECOND, 25 * HOUR, 30 * DAY):
        at = NOW + since
        await db["revocations"].delete_many({"expiresAt": {"$lte": at}})  # as the database does
        for reader in (heard, Revocations(db)):
            await news(reader, at)
            assert reader.is_revoked(of_app), since
    await news(heard, NOW + 31 * DAY)
    assert not heard.is_revoked(of_app)
    accounts.close()


async def test_a_row_that_is_stored_late_is_heard(
    db: AsyncIOMotorDatabase[dict[str, Any]],
) -> None:
    """Or by a server whose clock is behind: soon if it is a little, and else a bit later."""
    heard = Revocations(db)
    await news(heard, NOW)
    await signed_out(db, token(NOW), NOW - NARROW + SECOND)
    await signed_out(db, token(NOW, "bob"), NOW - OVERLAP + OVERLAP_EVERY)
    assert await news(heard, NOW + SECOND) == ["user:ada"]
    assert await news(heard, NOW + OVERLAP_EVERY) == ["user:bob"]


async def test_much_is_read_a_little_at_a_time_and_what_was_read_counts(
    db: AsyncIOMotorDatabase[dict[str, Any]],
) -> None:
    """Even where the reading breaks off: then the next one begins again."""
    together, times = MOST + 50, 5
    for number in range(times):
        ids = [f"{number}-{n}" for n in range(together)]
        await revoke_logins(db, ids, NOW - number * HOUR, NOW + HOUR)
    heard = Revocations(db)
    reading = heard.read_new(NOW)
    first = await anext(reading)
    await reading.aclose()
    assert 0 < len(first) <= MOST
    assert not heard.were_read
    assert all(heard.is_revoked(token(NOW, login_id=id_.removeprefix("login:"))) for id_ in first)
    rest = [some async for some in heard.read_new(NOW)]
    assert max(len(some) for some in rest) <= MOST
    read = [id_ for some in rest for id_ in some]
    assert len({*first, *read}) == len(first) + len(read) == together * times
    assert heard.were_read


async def test_the_login_that_changed_the_password_stays(
    db: AsyncIOMotorDatabase[dict[str, Any]],
) -> None:
    heard, old = Revocations(db), NOW - MINUTE
    await revoke_user(db, "ada", NOW, NOW + HOUR, kept_login="kept")
    await news(heard, NOW)
    assert not heard.is_revoked(token(old, login_id="kept"))
    assert heard.is_revoked(token(old, login_id="other"))
    assert heard.is_revoked(token(old))
    await revoke_user(db, "ada", NOW + SECOND, NOW + HOUR)
    await news(heard, NOW + SECOND)
    assert heard.is_revoked(token(old, login_id="kept"))


async def test_who_is_locked_stays_so_whatever_is_issued(
    db: AsyncIOMotorDatabase[dict[str, Any]],
) -> None:
    heard, late = Revocations(db), NOW + 800 * DAY
    await lock_user(db, "ada", NOW, NOW + HOUR)
    await news(heard, NOW)
    await revoke_user(db, "ada", NOW + SECOND, NOW + HOUR)
    await db["revocations"].delete_many({"expiresAt": {"$lte": late}})  # as the database does
    for reader in (heard, Revocations(db)):
        await news(reader, late)
        assert reader.is_revoked(token(late, login_id="new"))
        assert reader.is_revoked(token(late))
        assert not reader.is_revoked(token(late, "bob"))
    await unlock_user(db, "ada", late)
    assert await news(heard, late) == ["user:ada"]
    assert not heard.is_revoked(token(late + SECOND))
    assert heard.is_revoked(token(late - SECOND))


async def test_a_role_that_was_lost(db: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
    """Ours say what the account says; others say what they like, but not from before."""
    heard = Revocations(db)
    ours, theirs = token(NOW + HOUR, login_id="any"), token(NOW, role="admin")
    assert not heard.has_lost_role(ours)
    await revoke_role(db, "ada", NOW)
    await news(heard, NOW)
    assert heard.has_lost_role(ours)
    assert heard.has_lost_role(theirs)
    assert not heard.has_lost_role(token(NOW + HOUR))
    assert not heard.has_lost_role(token(NOW, "bob", login_id="any"))
    assert not heard.is_revoked(ours)
    await grant_role(db, "ada", NOW + SECOND)
    await news(heard, NOW + SECOND)
    assert not heard.has_lost_role(ours)
    assert not heard.has_lost_role(theirs)


async def test_everybody_is_signed_out(db: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
    heard = Revocations(db)
    await revoke_everybody(db, NOW, NOW + HOUR)
    assert await news(heard, NOW) == ["everybody"]
    assert "everybody" in row_ids(token(NOW))
    for each in (token(NOW - MINUTE, "bob"), token(NOW - MINUTE, login_id="a"), token(None)):
        assert heard.is_revoked(each)
    assert not heard.is_revoked(token(NOW + SECOND, "bob"))


async def test_memory_holds_so_many_users_and_ends_what_is_older(
    db: AsyncIOMotorDatabase[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_USERS", 20)
    await lock_user(db, "locked", NOW - 90 * MINUTE, NOW)
    for number in range(30):
        await revoke_user(db, f"user{number}", NOW - number * MINUTE, NOW + HOUR)
    for heard in (Revocations(db), Revocations(db)):
        await news(heard, NOW)
        await news(heard, NOW)
        assert len(heard._users) <= 20
        for number in range(30):
            issued_at = NOW - number * MINUTE - SECOND
            assert heard.is_revoked(token(issued_at, f"user{number}"))
        assert heard.is_revoked(token(NOW, "locked"))
        assert not heard.is_revoked(token(NOW - MINUTE, "user5"))  # signed out before
        assert heard.is_revoked(token(NOW - 30 * MINUTE, "stranger"))


async def test_what_is_over_is_forgotten(db: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
    """Though the database may not have removed it yet."""
    heard = Revocations(db)
    await revoke_logins(db, ["a"], NOW, NOW + SECOND)
    await signed_out(db, token(NOW), NOW)
    assert len(await news(heard, NOW)) == 2
    late = NOW + SECOND + LOGIN_KEPT + FORGET_EVERY
    assert await news(heard, late) == []
    assert not heard.is_revoked(token(NOW, "bob", login_id="a"))
    assert heard.is_revoked(token(NOW))
    heard.forget_user("ada")
    assert not heard.is_revoked(token(NOW))


async def test_unknown_refresh_tokens_leave_nothing_behind(
    db: AsyncIOMotorDatabase[dict[str, Any]],
) -> None:
    accounts = accounts_of(db)
    for number in range(5):
        await accounts.logout(f"{number:022}.{'A' * 43}", None, NOW)
    assert await db["revocations"].count_documents({}) == 0
    accounts.close()


async def test_refresh_reuse_revokes_its_family(
    db: AsyncIOMotorDatabase[dict[str, Any]],
) -> None:
    """Refresh tokens and access tokens of that login, and of no other."""
    clock, accounts, heard = FakeClock(), accounts_of(db), Revocations(db)
    ada = {"email": "ada@example.com", "password": PASSWORD}
    stolen = await accounts.signup(Signup(**ada), clock())
    other = await accounts.login(Credentials(**ada), clock())
    clock.advance(60)
    second = await accounts.refresh(stolen.refresh_token, clock())
    clock.advance(60)
    second = await accounts.refresh(second.refresh_token, clock())
    for spent in (stolen, second):
        with pytest.raises(Unauthorized, match="refresh_token_invalid"):
            await accounts.refresh(spent.refresh_token, clock())
    assert await news(heard, clock())
    family = token(clock(), stolen.user.id, login_id=second.refresh_token.split(".")[0])
    assert heard.is_revoked(family)
    mine = token(clock(), other.user.id, login_id=other.refresh_token.split(".")[0])
    assert not heard.is_revoked(mine)
    assert (await accounts.refresh(other.refresh_token, clock())).user.id == other.user.id
    accounts.close()


async def test_a_refresh_that_is_overtaken_by_a_sign_out_gives_nothing(
    db: AsyncIOMotorDatabase[dict[str, Any]],
) -> None:
    accounts = accounts_of(db)
    ada = await accounts.signup(Signup(email="ada@example.com", password=PASSWORD), NOW)
    login = await find_login(db, ada.refresh_token, NOW, NOW + HOUR)
    await accounts.logout_everywhere(token(NOW, ada.user.id), NOW)
    with pytest.raises(Unauthorized, match="refresh_token_invalid"):
        await rotate_login(db, login, ada.refresh_token, NOW, 3600, tokens_until=NOW + HOUR)
    accounts.close()
