"""Leaving, with a removal that is slow or fails, and with tokens of before and after."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.base.errors import Forbidden, StorageUnavailable, Unavailable
from models.privacy.deletions import SETTLED_AFTER, Deletions
from models.tokens.access_tokens import Identity
from realtime.cluster import account_deletion
from realtime.cluster.account_deletion import AccountDeletions
from tests.support.database_programs import until

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECRET = "a secret that is long enough for the tests"


class World:
    """Whoever leaves, what is removed, and a clock."""

    def __init__(self) -> None:
        self.now = NOW
        self.db: AsyncIOMotorDatabase[dict[str, Any]] = AsyncMongoMockClient(tz_aware=True)["test"]
        self.removed: list[str] = []
        self.forgotten: list[str] = []
        self.may_remove = asyncio.Event()
        self.may_remove.set()
        self.failures = 0
        self.gone, self.leavers = self.server()

    def server(self) -> tuple[Deletions, AccountDeletions]:
        gone = Deletions(self.db, SECRET, 3600)
        return gone, AccountDeletions(
            gone, remove=self.remove, forget=[self.forgotten.append], now=lambda: self.now
        )

    async def remove(self, user_id: str, _now: datetime) -> None:
        await self.may_remove.wait()
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable
        self.removed.append(user_id)

    def token(self, user: str = "ada") -> Identity:
        return Identity(user, self.now + timedelta(hours=1), self.now)

    async def run_until(self, what: Callable[[], Any]) -> None:
        task = asyncio.create_task(self.leavers.run())
        await until(what)
        task.cancel()


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(account_deletion, "REMOVED_WITHIN_S", 0.05)
    monkeypatch.setattr(account_deletion, "HEAR_EVERY_S", 0.01)
    return World()


async def has_account() -> bool:
    return True


async def has_none() -> bool:
    return False


async def test_whoever_proves_nothing_stays(world: World) -> None:
    async def wrong() -> bool:
        raise Forbidden

    with pytest.raises(Forbidden):
        await world.leavers.leave(world.token(), wrong)
    assert not world.gone.is_deleted(world.token())
    assert (world.removed, world.forgotten) == ([], [])


async def test_they_are_forgotten_before_they_are_removed(world: World) -> None:
    world.may_remove.clear()
    leaving = asyncio.create_task(world.leavers.leave(world.token(), has_account))
    await until(lambda: bool(world.forgotten))
    assert world.gone.is_deleted(world.token())
    assert world.removed == []
    world.may_remove.set()
    await leaving
    assert world.removed == ["ada"]


async def test_what_takes_long_goes_on_and_may_be_waited_for_again(world: World) -> None:
    world.may_remove.clear()
    for _ in range(2):
        with pytest.raises(Unavailable) as raised:
            await world.leavers.leave(world.token(), has_account)
        assert raised.value.code == "leaving"
    again = asyncio.create_task(world.leavers.leave(world.token(), has_account))
    world.may_remove.set()
    await again
    assert world.removed == ["ada"]


async def test_what_failed_is_done_again_and_once_more_in_the_end(world: World) -> None:
    world.failures = 3
    with pytest.raises(Unavailable):
        await world.leavers.leave(world.token(), has_account)
    assert world.removed == []
    world.now += SETTLED_AFTER
    await world.run_until(lambda: world.removed)
    await world.run_until(lambda: not world.gone.is_pending(world.token()))
    assert world.removed == ["ada"]
    (row,) = await world.db["departures"].find().to_list(None)
    assert (row["userId"], row["expiresAt"] > world.now) == (None, True)


async def test_another_server_hears_of_it_and_may_finish_it(world: World) -> None:
    await world.leavers.leave(world.token(), has_none)
    there, others = world.server()
    await others.hear()
    await others.hear()
    assert world.forgotten == ["ada", "ada"]
    assert there.is_deleted(world.token())
    world.gone, world.leavers = there, others
    world.now += SETTLED_AFTER
    await world.run_until(lambda: not there.is_pending(world.token()))
    assert world.removed == ["ada", "ada"]


async def test_an_old_token_does_nothing_to_who_came_back(world: World) -> None:
    old = world.token()
    await world.leavers.leave(old, has_none)
    world.now += SETTLED_AFTER
    await world.run_until(lambda: not world.gone.is_pending(old))
    removals = len(world.removed)
    assert not world.gone.is_deleted(world.token())
    await world.leavers.leave(old, has_none)
    assert len(world.removed) == removals
    await world.leavers.leave(world.token(), has_none)
    assert len(world.removed) == removals + 1


async def test_a_removal_that_takes_long_delays_no_hearing(world: World) -> None:
    """Of who leaves on another server meanwhile."""
    world.may_remove.clear()
    ada = world.token()
    with pytest.raises(Unavailable):
        await world.leavers.leave(ada, has_account)
    world.now += SETTLED_AFTER
    elsewhere, _ = world.server()
    running = asyncio.create_task(world.leavers.run())
    await asyncio.sleep(0.05)  # it removes ada once more by now
    await elsewhere.begin(world.token("bob"), world.now, had_account=True)
    await until(lambda: world.gone.is_deleted(world.token("bob")))
    assert world.removed == []
    world.may_remove.set()
    await until(lambda: "ada" in world.removed)
    running.cancel()
