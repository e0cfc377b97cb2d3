"""Users: addresses, time zones, passwords, and one account per address."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from argon2 import PasswordHasher
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorDatabase
from pydantic import ValidationError

from models.accounts.passwords import PasswordHashes, default_hasher
from models.accounts.service import INDEXES
from models.accounts.users import (
    Credentials,
    Signup,
    find_user,
    find_user_by_email,
    insert_user,
    new_user,
    normalised_email,
    replace_password_hash,
)
from models.base.errors import Busy, Conflict, Unauthorized
from models.base.indexes import ensure_indexes
from models.base.time_zones import known_zones
from tests.support.accounts_app import accounts_of, cheap_hasher
from tests.support.embedded import embedded_database

Database = AsyncIOMotorDatabase[dict[str, Any]]
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def memory() -> Database:
    db: Database = AsyncMongoMockClient(tz_aware=True)["focusup"]
    return db


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        await ensure_indexes(db, INDEXES)
        yield db


def signup(email: str = "ada@example.com", **fields: Any) -> Signup:
    return Signup.model_validate({"email": email, "password": "correct horse"} | fields)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("ada@example.com", "ada@example.com"),
        ("Ada.Lovelace@Example.COM", "ada.lovelace@example.com"),
        ("ada+focus@example.com", "ada+focus@example.com"),
        ("ada@school.test", "ada@school.test"),
        ("me@nas.local", "me@nas.local"),
        ("Admin@LOCALHOST", "admin@localhost"),
        ("me@nas.home.arpa", "me@nas.home.arpa"),
        ("ada@nas", "ada@nas"),
        (" ada@example.com \n", "ada@example.com"),
        ("jose\u0301@example.com", "jos\u00e9@example.com"),
        ("ada@B\u00dcCHER.example", "ada@b\u00fccher.example"),
    ],
)
def test_an_address_has_one_spelling(text: str, stored: str) -> None:
    assert normalised_email(text) == stored
    assert normalised_email(stored) == stored


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@@example.com",
        "ada@example..com",
        "a da@example.com",
        "ada@nas.local.",
        "ada@example\n.com",
        "ada@example.com\u202e",
        "Ada <ada@example.com>",
        "ada@[127.0.0.1]",
        "ada@" + "a" * 250 + ".com",
        "ada\x00@example.com",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        signup(email=text)
    assert [error["loc"] for error in caught.value.errors()] == [("email",)]
    assert not text or text not in str(caught.value)


@given(st.emails())
def test_every_address_stays_what_it_became(email: str) -> None:
    once = normalised_email(email)
    assert normalised_email(once) == once == once.lower()


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Calcutta"])
def test_a_time_zone_is_an_iana_name(zone: str) -> None:
    assert signup(timeZone=zone).time_zone == zone
    assert zone in known_zones()


@pytest.mark.parametrize("zone", ["", "Berlin", "europe/berlin", "../UTC", "/etc/passwd", "GMT+25"])
def test_other_time_zones_are_refused(zone: str) -> None:
    with pytest.raises(ValidationError, match="IANA"):
        signup(timeZone=zone)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("password", "7 chars"),
        ("password", "x" * 1025),
        ("password", 12345678),
        ("password", None),
        ("name", ""),
        ("name", "x" * 101),
        ("role", "admin"),
        ("_id", "x"),
        ("email", {"$gt": ""}),
    ],
)
def test_other_fields_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        signup(**{field: value})
    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


def test_a_password_is_never_shown() -> None:
    body = signup(password="a very secret one")
    login = Credentials(email="ada@example.com", password="a very secret one")
    user = new_user(body, "argon2 hash", NOW)
    assert "secret" not in repr(body) + str(body) + repr(login)
    assert "argon2 hash" not in repr(user)


async def test_what_is_stored(memory: Database) -> None:
    await accounts_of(memory).signup(signup("Ada@Example.com", name="Ada"), NOW)
    document = await memory["users"].find_one({})
    assert document is not None
    assert isinstance(document.pop("_id"), ObjectId)
    assert document.pop("passwordHash").startswith("$argon2id$")
    stored_at = NOW.replace(microsecond=123000)
    assert document == {
        "email": "ada@example.com",
        "name": "Ada",
        "timeZone": "UTC",
        "role": "user",
        "epoch": "",
        "keptLogin": None,
        "lockedAt": None,
        "passwordExpiresAt": None,
        "createdAt": stored_at,
        "updatedAt": stored_at,
    }


async def test_a_user_is_read_back_as_written(memory: Database) -> None:
    user = new_user(signup(), "hash", NOW)
    await insert_user(memory, user)
    await memory["users"].update_one({"_id": user.id}, {"$set": {"laterField": 1}})
    assert await find_user(memory, str(user.id)) == user
    assert await find_user_by_email(memory, "ada@example.com") == user
    assert await find_user_by_email(memory, "eve@example.com") is None


async def test_an_id_has_one_spelling(memory: Database) -> None:
    user = new_user(signup(), "hash", NOW).model_copy(update={"id": ObjectId("a" * 24)})
    await insert_user(memory, user)
    assert await find_user(memory, "a" * 24) == user
    assert await find_user(memory, "A" * 24) is None


@pytest.mark.parametrize("user_id", ["", "42", "x" * 24, "a" * 23, "\ud800", "0" * 24])
async def test_ids_of_others_are_nobody_here(memory: Database, user_id: str) -> None:
    assert await find_user(memory, user_id) is None


async def test_a_hash_is_replaced_only_if_it_is_still_the_same(memory: Database) -> None:
    user = new_user(signup(), "first", NOW)
    await insert_user(memory, user)
    await replace_password_hash(memory, user, "second")
    await replace_password_hash(memory, user, "third")
    found = await find_user(memory, str(user.id))
    assert found is not None
    assert found.password_hash == "second"


async def test_of_many_signing_up_at_once_with_one_address_one_succeeds(
    embedded: Database,
) -> None:
    accounts = accounts_of(embedded)
    spellings = ["ada@example.com", "Ada@Example.com", "ADA@EXAMPLE.COM"] * 4
    results = await asyncio.gather(
        *(accounts.signup(signup(email), NOW) for email in spellings), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, Conflict)]
    assert [error.code for error in refused] == ["email_taken"] * 11
    assert await embedded["users"].count_documents({}) == 1
    assert await embedded["logins"].count_documents({}) == 1


async def test_indexes_are_made_once_and_again(embedded: Database) -> None:
    await ensure_indexes(embedded, INDEXES)
    users = await embedded["users"].index_information()
    logins = await embedded["logins"].index_information()
    assert users["email_1"]["unique"] is True
    assert logins["expiresAt_1"]["expireAfterSeconds"] == 0


async def test_the_real_hash_is_argon2id_with_64_mib() -> None:
    hashes = PasswordHashes()
    stored = await hashes.hash("correct horse")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert (await hashes.verify("correct horse", stored)).matches
    assert not (await hashes.verify("correct horsf", stored)).matches
    hashes.close()


@pytest.mark.parametrize(
    "stored", ["", "plain", "$argon2id$v=19$m=8,t=1,p=1$AAAA$BBBB", "$2b$12$x"]
)
async def test_a_damaged_hash_fits_nothing(stored: str) -> None:
    assert not (await PasswordHashes(cheap_hasher()).verify("correct horse", stored)).matches


async def test_a_password_typed_on_another_keyboard_is_the_same() -> None:
    hashes = PasswordHashes(cheap_hasher())
    stored = await hashes.hash("cafe\u0301 noir")
    assert (await hashes.verify("caf\u00e9 noir", stored)).matches


async def test_old_parameters_are_renewed_at_login(memory: Database) -> None:
    old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    await insert_user(memory, new_user(signup(), old.hash("correct horse"), NOW))
    credentials = Credentials(email="ada@example.com", password="correct horse")
    for _ in range(2):
        await accounts_of(memory).login(credentials, NOW)
        user = await find_user_by_email(memory, "ada@example.com")
        assert user is not None
        assert not cheap_hasher().check_needs_rehash(user.password_hash)


class CountingHasher(PasswordHasher):
    """Counts what costs time, in how many threads, and how many at once."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.work = 0
        self.threads: set[str] = set()
        self.running = 0
        self.most_at_once = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        with self:
            return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
        with self:
            return super().verify(hash, password)

    def __enter__(self) -> None:
        self.work += 1
        self.threads.add(threading.current_thread().name)
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self.running -= 1


async def test_an_unknown_address_costs_as_much_as_a_wrong_password(memory: Database) -> None:
    await insert_user(memory, new_user(signup(), cheap_hasher().hash("correct horse"), NOW))
    work = []
    for email in ("ada@example.com", "eve@example.com"):
        hasher = CountingHasher()
        accounts = accounts_of(memory)
        accounts._hashes = PasswordHashes(hasher)
        with pytest.raises(Unauthorized, match="invalid_credentials"):
            await accounts.login(Credentials(email=email, password="wrong"), NOW)
        work.append(hasher.work)
    assert work == [1, 1]


async def test_hashing_stays_off_the_loop_and_two_at_a_time() -> None:
    hasher = CountingHasher()
    hashes = PasswordHashes(hasher)
    beats = 0

    async def heart() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.005)
            beats += 1

    beating = asyncio.create_task(heart())
    await asyncio.gather(*(hashes.hash("correct horse") for _ in range(10)))
    beating.cancel()
    assert hasher.work == 10
    assert hasher.most_at_once == 2
    assert all(name.startswith("passwords") for name in hasher.threads)
    assert beats >= 5


async def test_a_crowd_is_turned_away_rather_than_queued_without_end() -> None:
    hashes = PasswordHashes(CountingHasher(), max_waiting=4)
    results = await asyncio.gather(
        *(hashes.hash("correct horse") for _ in range(10)), return_exceptions=True
    )
    assert [isinstance(result, Busy) for result in results] == [False] * 4 + [True] * 6
    assert await hashes.hash("correct horse")


def test_the_default_hasher_uses_one_lane() -> None:
    assert default_hasher().parallelism == 1
