"""Guesses at passwords: how many there may be, by whom, and whom they keep out."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pymongo.errors import ServerSelectionTimeoutError

from models.accounts import login_throttle as module
from models.accounts.login_throttle import (
    COLLECTION,
    FREE,
    INDEXES,
    LOGINS,
    LONGEST_S,
    PERIOD_S,
    WAITS_S,
    LoginThrottle,
)
from models.base.database import Database
from models.base.errors import TooMany
from models.base.indexes import ensure_indexes
from tests.support.embedded import EMBEDDED, KINDS, database_of, embedded_database

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
SECRET = "a secret that is long enough for the tests"
PER_ADDRESS = 20
HERE, THERE = "203.0.113.7", "198.51.100.9"
ADA, GRACE = "ada@example.com", "grace@example.com"


@pytest.fixture(params=KINDS)
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    async with database_of(request.param, tmp_path) as database:
        if request.param == EMBEDDED:
            await ensure_indexes(database, {COLLECTION: INDEXES})
        yield database


@pytest.fixture
def attempts(db: Database) -> LoginThrottle:
    return LoginThrottle(db, SECRET, per_address=PER_ADDRESS)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


async def wait_of(attempts: LoginThrottle, network: str, account: str, now: datetime) -> float:
    """How long a guess that is refused has to wait, in seconds; 0 if it passes."""
    try:
        await attempts.guess(network, account, now)
    except TooMany as refused:
        return refused.retry_after_s
    return 0


async def test_waits_double_up_to_a_quarter_of_an_hour(attempts: LoginThrottle) -> None:
    for _ in range(FREE):
        assert await wait_of(attempts, HERE, ADA, NOW) == 0
    at_s, waits = 0.0, []
    for _ in range(len(WAITS_S) + 3):
        waits.append(await wait_of(attempts, HERE, ADA, after(at_s)))
        at_s += waits[-1]
        assert await wait_of(attempts, HERE, ADA, after(at_s - 0.5)) == 1
        assert await wait_of(attempts, HERE, ADA, after(at_s)) == 0
    assert waits == [*WAITS_S, *[LONGEST_S] * 3]


async def test_a_refused_guess_makes_nobody_wait_longer(attempts: LoginThrottle) -> None:
    for _ in range(FREE):
        await attempts.guess(HERE, ADA, NOW)
    for _ in range(200):
        assert await wait_of(attempts, HERE, ADA, NOW) == WAITS_S[0]
    assert await wait_of(attempts, HERE, ADA, after(WAITS_S[0])) == 0
    assert await wait_of(attempts, HERE, GRACE, after(WAITS_S[0])) == 0  # nor did the address pay


async def test_nobody_elsewhere_is_kept_out(attempts: LoginThrottle) -> None:
    for _ in range(FREE):
        await attempts.guess(HERE, ADA, NOW)
    assert await wait_of(attempts, HERE, ADA, NOW) == WAITS_S[0]
    assert await wait_of(attempts, THERE, ADA, NOW) == 0
    assert await wait_of(attempts, HERE, GRACE, NOW) == 0


async def test_an_address_has_so_many_guesses_at_all_accounts_together(
    attempts: LoginThrottle,
) -> None:
    for each in range(PER_ADDRESS):
        assert await wait_of(attempts, HERE, f"{each}@example.com", NOW) == 0
    every_s = module.PERIOD_S / PER_ADDRESS
    assert await wait_of(attempts, HERE, ADA, NOW) == every_s
    assert await wait_of(attempts, HERE, ADA, after(every_s)) == 0
    assert await wait_of(attempts, HERE, GRACE, after(every_s)) == every_s
    assert await wait_of(attempts, THERE, ADA, NOW) == 0
    for each in range(PER_ADDRESS):  # all are given back, and no more
        await attempts.guess(HERE, f"{each}@example.com", after(10 * module.PERIOD_S))
    assert await wait_of(attempts, HERE, ADA, after(10 * module.PERIOD_S)) == every_s


async def test_a_right_password_costs_nothing(attempts: LoginThrottle) -> None:
    for _ in range(LOGINS // 2):
        await attempts.was_right(await attempts.guess(HERE, ADA, NOW))
    for _ in range(FREE - 1):
        await attempts.guess(HERE, ADA, NOW)
    await attempts.was_right(await attempts.guess(HERE, ADA, NOW))
    for _ in range(FREE):
        assert await wait_of(attempts, HERE, ADA, NOW) == 0
    assert await wait_of(attempts, HERE, ADA, NOW) == WAITS_S[0]


async def test_right_passwords_of_one_account_are_limited_too(attempts: LoginThrottle) -> None:
    """Each costs a hash, for which others wait."""
    for _ in range(LOGINS):
        await attempts.was_right(await attempts.guess(HERE, ADA, NOW))
    every_s = PERIOD_S // LOGINS
    assert await wait_of(attempts, HERE, ADA, NOW) == every_s
    assert await wait_of(attempts, THERE, ADA, NOW) == 0
    assert await wait_of(attempts, HERE, "eve@example.com", NOW) == 0
    assert await wait_of(attempts, HERE, ADA, NOW + timedelta(seconds=every_s)) == 0
    assert await wait_of(attempts, HERE, ADA, NOW + timedelta(seconds=every_s)) == every_s


async def test_what_was_not_judged_was_no_guess(attempts: LoginThrottle) -> None:
    for _ in range(5 * PER_ADDRESS):
        await attempts.was_not_judged(await attempts.guess(HERE, ADA, NOW), NOW)
    for _ in range(FREE):
        assert await wait_of(attempts, HERE, ADA, NOW) == 0
    assert await wait_of(attempts, HERE, ADA, NOW) == WAITS_S[0]


async def test_guesses_are_forgotten_after_a_day(attempts: LoginThrottle) -> None:
    for _ in range(FREE):
        await attempts.guess(HERE, ADA, NOW)
    day_s = module.FORGOTTEN_AFTER_S + 1
    for _ in range(FREE):
        assert await wait_of(attempts, HERE, ADA, after(day_s)) == 0
    assert await wait_of(attempts, HERE, ADA, after(day_s)) == WAITS_S[0]


async def test_a_clock_that_was_wrong_keeps_nobody_out(attempts: LoginThrottle) -> None:
    ahead = after(365 * 86_400)
    for each in range(PER_ADDRESS):
        await attempts.guess(HERE, f"{each}@example.com", ahead)
    for _ in range(FREE):
        await attempts.guess(THERE, ADA, ahead)
    assert await wait_of(attempts, HERE, GRACE, NOW) == 0
    assert await wait_of(attempts, THERE, ADA, NOW) == 0


async def test_signing_up_has_an_allowance_of_its_own(attempts: LoginThrottle) -> None:
    for _ in range(PER_ADDRESS):
        await attempts.sign_up(HERE, NOW)
    with pytest.raises(TooMany):
        await attempts.sign_up(HERE, NOW)
    await attempts.sign_up(THERE, NOW)
    assert await wait_of(attempts, HERE, ADA, NOW) == 0


async def test_of_many_at_once_no_more_pass_than_of_many_one_by_one(tmp_path: Path) -> None:
    async with embedded_database(tmp_path) as db:
        # As several servers do it: they share nothing but the database.
        servers = [LoginThrottle(db, SECRET, per_address=PER_ADDRESS) for _ in range(4)]
        waits = await asyncio.gather(
            *(wait_of(servers[each % 4], HERE, ADA, NOW) for each in range(60))
        )
        assert waits.count(0) == FREE
        waits = await asyncio.gather(
            *(wait_of(servers[each % 4], THERE, str(each), NOW) for each in range(60))
        )
        assert waits.count(0) == PER_ADDRESS


async def test_rows_tell_neither_address_nor_account(attempts: LoginThrottle, db: Database) -> None:
    await attempts.sign_up(HERE, NOW)
    await attempts.guess(HERE, ADA, NOW)
    rows = await db[COLLECTION].find().to_list(None)
    assert len(rows) == 3
    for row in rows:
        assert row["expiresAt"] > NOW
        assert not {HERE, ADA} & {str(value) for value in row.values()}
    other = LoginThrottle(db, SECRET + "!", per_address=PER_ADDRESS)
    await other.guess(HERE, ADA, NOW)
    assert await db[COLLECTION].count_documents({}) == 5  # without the secret they are others


async def test_switched_off_nothing_is_written(db: Database) -> None:
    attempts = LoginThrottle(db, SECRET, per_address=1, enabled=False)
    for _ in range(20):
        await attempts.sign_up(HERE, NOW)
        guess = await attempts.guess(HERE, ADA, NOW)
        await attempts.was_not_judged(guess, NOW)
    await attempts.was_right(guess)
    assert await db[COLLECTION].find().to_list(None) == []


class Gone:
    """A collection of a database that does not answer."""

    def __getattr__(self, _name: str) -> object:
        async def fail(*_: object, **__: object) -> None:
            raise ServerSelectionTimeoutError("nobody there")

        return fail


async def test_without_a_database_nothing_passes_and_a_right_password_is_right() -> None:
    attempts = LoginThrottle({COLLECTION: Gone()}, SECRET, per_address=PER_ADDRESS)  # type: ignore[arg-type]
    with pytest.raises(ServerSelectionTimeoutError):
        await attempts.guess(HERE, ADA, NOW)
    with pytest.raises(ServerSelectionTimeoutError):
        await attempts.sign_up(HERE, NOW)
    guess = module.Guess("account", "address", NOW)
    await attempts.was_right(guess)
    await attempts.was_not_judged(guess, NOW)
