"""Which idle connection makes room for a new one."""

import asyncio
from typing import Any

import pytest
from hypercorn.asyncio.worker_context import WorkerContext

from focusup.asgi.idle_connections import ConnectionLimits, Connections


class One:
    """A connection that ends when it is told to, unless something arrives on it."""

    def __init__(self, kept: Connections, peer: str, *, is_arriving: bool = False) -> None:
        self.peer = peer
        self.is_open = True
        self._kept = kept
        self._is_arriving = is_arriving
        kept.add(self)

    def end_if_idle(self) -> bool:
        if self._is_arriving:
            return False
        self.is_open = False
        self._kept.discard(self)
        return True


def connections(**limits: Any) -> Connections:
    return Connections(ConnectionLimits(**limits), WorkerContext(None))


async def test_the_one_that_is_idle_for_longest_ends() -> None:
    kept = connections(idle_in_all=3)
    found = [One(kept, f"10.0.0.{number}") for number in range(5)]
    assert [one.is_open for one in found] == [False, False, True, True, True]
    assert len(kept) == 3


async def test_one_on_which_something_arrives_is_passed_over() -> None:
    kept = connections(idle_in_all=2)
    found = [One(kept, "a", is_arriving=True), One(kept, "b"), One(kept, "c")]
    assert [one.is_open for one in found] == [True, False, True]


async def test_one_that_has_a_request_is_not_idle() -> None:
    kept = connections(idle_in_all=2)
    busy = One(kept, "a")
    kept.discard(busy)
    found = [One(kept, "b"), One(kept, "c")]
    kept.add(busy)
    assert busy.is_open
    assert [one.is_open for one in found] == [False, True]


async def test_an_address_has_its_part_and_pays_for_more() -> None:
    kept = connections(idle_in_all=6, idle_of_one=100)
    honest = [One(kept, f"10.0.0.{number}") for number in range(2)]
    flood = [One(kept, "10.6.6.6") for _ in range(50)]
    assert all(one.is_open for one in honest)
    assert sum(one.is_open for one in flood) == 4


@pytest.mark.parametrize(("is_proxy", "left"), [(False, 2), (True, 10)])
async def test_an_address_has_no_more_than_its_number_unless_it_is_a_proxy(
    *, is_proxy: bool, left: int
) -> None:
    kept = connections(idle_in_all=100, idle_of_one=2, is_proxy=lambda _peer: is_proxy)
    found = [One(kept, "10.0.0.1") for _ in range(10)]
    assert sum(one.is_open for one in found) == left


async def test_a_stop_ends_what_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("focusup.asgi.idle_connections.LAST_REQUEST_S", 0.01)
    context = WorkerContext(None)
    kept = Connections(ConnectionLimits(), context)
    found = [One(kept, "a"), One(kept, "b")]
    await asyncio.sleep(0)
    await context.terminated.set()
    await asyncio.wait_for(kept.stopped(), 5)
    assert not any(one.is_open for one in found)
