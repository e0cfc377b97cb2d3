"""Accounts that are changed, locked and reset, and what happens to their logins."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from models.accounts import refresh_tokens, users
from models.accounts.operator_actions import (
    RESET_LASTS,
    find_account,
    give_role,
    lock,
    reset_password,
    sign_out,
    sign_out_everybody,
    unlock,
)
from models.accounts.passwords import PasswordHashes, Verdict, common_passwords, refuse_common
from models.accounts.service import AccountService, SignedIn
from models.accounts.users import (
    Credentials,
    PasswordChange,
    Signup,
)
from models.base.database import Database
from models.base.errors import Busy, DomainError, Forbidden, Invalid, NotFound, Unauthorized
from models.tokens.access_tokens import Identity
from models.tokens.revocations import Revocations
from tests.support.accounts_app import accounts_of, cheap_hasher
from tests.support.embedded import KINDS, database_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
EMAIL, PASSWORD, OTHER = "ada@example.com", "correct horse", "battery staple"


@pytest.fixture(params=KINDS)
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    async with database_of(request.param, tmp_path) as database:
        yield database


@pytest.fixture
async def accounts(db: Database) -> AsyncIterator[AccountService]:
    found = accounts_of(db)
    yield found
    found.close()


@pytest.fixture
async def ada(accounts: AccountService) -> SignedIn:
    return await accounts.signup(Signup(email=EMAIL, password=PASSWORD), NOW)


def identity(signed_in: SignedIn, issued_at: datetime = NOW) -> Identity:
    login_id = signed_in.refresh_token.partition(".")[0]
    return Identity(signed_in.user.id, issued_at + HOUR, issued_at, login_id, signed_in.user.role)


async def sign_in(accounts: AccountService, password: str, now: datetime = NOW) -> SignedIn:
    return await accounts.login(Credentials(email=EMAIL, password=password), now)


async def code_of(work: Coroutine[Any, Any, Any]) -> str:
    with pytest.raises(DomainError) as caught:
        await work
    return caught.value.code


def change(current: str = PASSWORD, new: str = OTHER) -> PasswordChange:
    return PasswordChange(current_password=current, new_password=new)


async def heard(db: Database, now: datetime) -> Revocations:
    revocations = Revocations(db)
    async for _ in revocations.read_new(now):
        pass
    return revocations


# --- changing the password --------------------------------------------------------------------


async def test_a_changed_password_ends_all_other_logins(
    db: Database, accounts: AccountService, ada: SignedIn
) -> None:
    other, later = await sign_in(accounts, PASSWORD), NOW + MINUTE
    await accounts.change_password(identity(ada), change(), later)
    revocations = await heard(db, later)
    assert revocations.is_revoked(identity(other))
    assert not revocations.is_revoked(identity(ada))
    assert await code_of(accounts.refresh(other.refresh_token, later)) == "refresh_token_invalid"
    assert (await accounts.refresh(ada.refresh_token, later)).user.id == ada.user.id
    assert await code_of(sign_in(accounts, PASSWORD, later)) == "invalid_credentials"
    assert await sign_in(accounts, OTHER, later)


async def test_the_old_password_is_needed(accounts: AccountService, ada: SignedIn) -> None:
    wrong = accounts.change_password(identity(ada), change(current="wrong"), NOW)
    assert await code_of(wrong) == "password_wrong"
    stranger = Identity("their user 7", NOW + HOUR, NOW)
    assert await code_of(accounts.change_password(stranger, change(), NOW)) == "account_not_found"
    assert await sign_in(accounts, PASSWORD)


async def test_of_two_changes_at_once_one_is_made(accounts: AccountService, ada: SignedIn) -> None:
    news = ("the first new one", "the second new one")
    results = await asyncio.gather(
        *(accounts.change_password(identity(ada), change(new=new), NOW) for new in news),
        return_exceptions=True,
    )
    assert sorted(isinstance(each, Forbidden) for each in results) == [False, True]


ENDINGS: dict[str, Callable[[Database, AccountService, SignedIn], Coroutine[Any, Any, Any]]] = {
    "password": lambda _, accounts, ada: accounts.change_password(identity(ada), change(), NOW),
    "everywhere": lambda _, accounts, ada: accounts.logout_everywhere(identity(ada), NOW),
    "lock": lambda db, *_: of_account(db, lambda user: lock(db, user, NOW, NOW + HOUR)),
    "sign-out": lambda db, *_: of_account(db, lambda user: sign_out(db, user, NOW, NOW + HOUR)),
    "reset": lambda db, *_: of_account(
        db, lambda user: reset_password(db, user, NOW, NOW + HOUR, PasswordHashes(cheap_hasher()))
    ),
}


async def of_account(db: Database, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
    await work((await find_account(db, EMAIL)).user)


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_login_under_way_does_not_slip_through(
    db: Database, ada: SignedIn, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its password was compared before, its document is stored after all logins were ended."""
    accounts = accounts_of(db)
    start = refresh_tokens.start_login

    async def late(*arguments: Any, **named: Any) -> Any:
        await ENDINGS[ending](db, accounts, ada)
        return await start(*arguments, **named)

    monkeypatch.setattr(refresh_tokens, "start_login", late)
    assert await code_of(sign_in(accounts, PASSWORD)) == "invalid_credentials"
    left = await db["logins"].find({}).to_list(None)
    kept = [identity(ada).login_id] if ending == "password" else []
    assert [each["_id"] for each in left] == kept


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_refresh_is_refused_even_where_ending_all_logins_broke_off(
    db: Database,
    accounts: AccountService,
    ada: SignedIn,
    ending: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = await sign_in(accounts, PASSWORD)

    async def breaks_off(*_: Any, **_named: Any) -> None:
        raise Busy("busy", "It broke off.")

    with monkeypatch.context() as broken:
        broken.setattr(refresh_tokens, "end_logins", breaks_off)
        broken.setattr(refresh_tokens, "end_login", breaks_off)
        with pytest.raises(Busy):
            await ENDINGS[ending](db, accounts, ada)
    assert await code_of(accounts.refresh(other.refresh_token, NOW)) == "refresh_token_invalid"


# --- what the operator does --------------------------------------------------------------------


async def test_a_reset_password_is_good_for_a_day_and_until_it_is_changed(
    db: Database, accounts: AccountService, ada: SignedIn
) -> None:
    user = (await find_account(db, EMAIL)).user
    hashes = PasswordHashes(cheap_hasher())
    password = await reset_password(db, user, NOW, NOW + HOUR, hashes)
    assert password is not None
    later = NOW + MINUTE
    assert await code_of(accounts.refresh(ada.refresh_token, later)) == "refresh_token_invalid"
    assert await code_of(sign_in(accounts, PASSWORD, later)) == "invalid_credentials"
    signed_in = await sign_in(accounts, password, later)
    assert signed_in.user.password_expires_at == NOW + RESET_LASTS
    assert await code_of(sign_in(accounts, password, NOW + RESET_LASTS)) == "invalid_credentials"
    await accounts.change_password(identity(signed_in, later), change(current=password), later)
    assert (await sign_in(accounts, OTHER, later)).user.password_expires_at is None
    assert await reset_password(db, user, NOW, NOW + HOUR, hashes) is None  # read before
    hashes.close()


async def test_who_is_locked_is_out_until_unlocked(
    db: Database, accounts: AccountService, ada: SignedIn
) -> None:
    user = (await find_account(db, EMAIL)).user
    await lock(db, user, NOW, NOW + HOUR)
    assert (await heard(db, NOW)).is_revoked(identity(ada, NOW + MINUTE))
    assert await code_of(sign_in(accounts, "wrong password")) == "invalid_credentials"
    assert await code_of(sign_in(accounts, PASSWORD)) == "account_locked"
    assert await code_of(accounts.refresh(ada.refresh_token, NOW)) == "refresh_token_invalid"
    await unlock(db, user, NOW + MINUTE)
    again = await sign_in(accounts, PASSWORD, NOW + MINUTE)
    assert not (await heard(db, NOW + MINUTE)).is_revoked(identity(again, NOW + MINUTE))


async def test_a_removed_admin_is_none_for_tokens_that_are_out(
    db: Database, accounts: AccountService, ada: SignedIn
) -> None:
    user = (await find_account(db, EMAIL)).user
    await give_role(db, user, "admin", NOW)
    as_admin = await sign_in(accounts, PASSWORD)
    assert as_admin.user.role == "admin"
    await give_role(db, user, "user", NOW)
    revocations = await heard(db, NOW)
    assert revocations.has_lost_role(identity(as_admin))
    assert not revocations.is_revoked(identity(as_admin))
    assert (await accounts.refresh(as_admin.refresh_token, NOW)).user.role == "user"


async def test_signing_out_everybody_ends_what_a_backup_brings_back(
    db: Database, accounts: AccountService, ada: SignedIn
) -> None:
    backup = await db["logins"].find({}).to_list(None)
    await accounts.logout(ada.refresh_token, None, NOW)
    await db["logins"].insert_many(backup)
    await db["revocations"].delete_many({})
    assert await sign_out_everybody(db, NOW + MINUTE, NOW + HOUR) == 1
    assert (await heard(db, NOW + MINUTE)).is_revoked(identity(ada))
    assert await code_of(accounts.refresh(ada.refresh_token, NOW)) == "refresh_token_invalid"
    assert await sign_in(accounts, PASSWORD, NOW + 2 * MINUTE)


async def test_an_account_that_is_not_there(db: Database) -> None:
    with pytest.raises(NotFound):
        await find_account(db, EMAIL)


async def test_a_user_has_fifty_logins(
    db: Database, accounts: AccountService, ada: SignedIn
) -> None:
    for minute in range(1, refresh_tokens.MAX_LOGINS + 1):
        await sign_in(accounts, PASSWORD, NOW + minute * MINUTE)
    assert await db["logins"].count_documents({}) == refresh_tokens.MAX_LOGINS
    late = NOW + HOUR
    assert await code_of(accounts.refresh(ada.refresh_token, late)) == "refresh_token_invalid"


# --- passwords ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    [
        *("password", "Password", "12345678", "iloveyou", "PASSWORD1", "qwertyuiop"),
        *(" " * 8, "\t" * 12, "a" * 40, "abababababab", " password "),
        *(EMAIL, EMAIL.upper()),
    ],
)
async def test_what_a_guesser_tries_first_is_refused(
    accounts: AccountService, password: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await accounts.signup(Signup(email=EMAIL, password=password), NOW)
    assert caught.value.code == "password_too_common"
    assert [each["field"] for each in caught.value.errors] == ["password"]


@pytest.mark.parametrize("password", [PASSWORD, "2026 Äpfel", "x" * 8 + "yz", "passwörter"])
def test_others_are_taken(password: str) -> None:
    refuse_common(password, EMAIL, "password")


async def test_a_new_password_is_looked_at_too(accounts: AccountService, ada: SignedIn) -> None:
    with pytest.raises(Invalid) as caught:
        await accounts.change_password(identity(ada), change(new="password"), NOW)
    assert [each["field"] for each in caught.value.errors] == ["newPassword"]


def test_the_list_has_those_of_ten_thousand_that_are_long_enough() -> None:
    found = common_passwords()
    assert 3_000 < len(found) <= 10_000
    assert all(len(each) >= 8 and each == each.casefold() for each in found)


# --- hashing is shared --------------------------------------------------------------------------


class Turns(PasswordHashes):
    """Whose hash was made, in their order."""

    def __init__(self, **options: Any) -> None:
        super().__init__(cheap_hasher(), workers=1, **options)
        self.order: list[str] = []

    async def of(self, caller: str) -> None:
        await self.hash(PASSWORD, caller)
        self.order.append(caller)


async def test_addresses_take_turns() -> None:
    hashes = Turns()
    many = [asyncio.create_task(hashes.of("many")) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.gather(hashes.of("one"), hashes.of("two"))
    assert hashes.order.count("many") <= 4
    await asyncio.gather(*many)
    hashes.close()


async def test_where_all_is_taken_the_one_with_most_gives_way() -> None:
    hashes = Turns(max_waiting=6)
    many = [asyncio.create_task(hashes.of("many")) for _ in range(6)]
    await asyncio.sleep(0)
    with pytest.raises(Busy) as caught:
        await hashes.of("many")
    assert caught.value.code == "busy"
    assert caught.value.retry_after_s >= 1
    await asyncio.gather(hashes.of("one"), hashes.of("two"))
    results = await asyncio.gather(*many, return_exceptions=True)
    assert [isinstance(each, Busy) for each in results] == [False] * 4 + [True] * 2
    hashes.close()


async def test_a_slow_machine_lets_fewer_wait() -> None:
    hashes = Turns()
    hashes._took_s = 2.0
    results = await asyncio.gather(*(hashes.of("any") for _ in range(5)), return_exceptions=True)
    assert [isinstance(each, Busy) for each in results] == [False] * 2 + [True] * 3
    hashes.close()


async def test_a_request_that_is_gone_waits_no_more() -> None:
    hashes = Turns()
    gone = [asyncio.create_task(hashes.of("gone")) for _ in range(10)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    assert hashes._waiting == 0
    assert hashes._queues == {}
    assert await hashes.verify(PASSWORD, None) == Verdict(matches=False)
    hashes.close()


async def test_the_account_is_read_back_by_the_older_fields_alone(db: Database) -> None:
    """An account of an older version has no epoch, and its logins have none."""
    accounts = accounts_of(db)
    ada = await accounts.signup(Signup(email=EMAIL, password=PASSWORD), NOW)
    gone = dict.fromkeys(("epoch", "keptLogin", "lockedAt", "passwordExpiresAt"), 1)
    await db["users"].update_many({}, {"$unset": gone})
    await db["logins"].update_many({}, {"$unset": {"epoch": 1}})
    assert (await accounts.refresh(ada.refresh_token, NOW)).user.id == ada.user.id
    await accounts.change_password(identity(ada), change(), NOW)
    user = await users.find_user_by_email(db, EMAIL)
    assert user is not None
    assert user.epoch
    with pytest.raises(Unauthorized):
        await sign_in(accounts, PASSWORD)
