"""Several tabs on one session: they share its seconds, one a second; it is active while any of
them is; each hears of it; and it goes away when the last one goes.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.support.live_server import LiveServer, running_server
from tests.support.peer_watch import is_booked, released
from tests.support.socket_client import SocketClient, connected, new_session, stored

IDLE_AFTER_S = 1.5
COUNTS = (2, 5)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that takes people for idle soon."""
    directory = tmp_path_factory.mktemp("tabs")
    with running_server(directory, IDLE_AFTER_SECONDS=str(IDLE_AFTER_S)) as server:
        yield server


@asynccontextmanager
async def open_tabs(
    server: LiveServer, user: str, session: str, count: int
) -> AsyncIterator[list[SocketClient]]:
    async with AsyncExitStack() as stack:
        tabs = []
        for number in range(count):
            tab = await stack.enter_async_context(connected(server, user))
            started = await tab.start(session)
            assert started["resumed"] is (number > 0)
            tabs.append(tab)
        yield tabs


async def test_one_second_a_second_active_while_any_tab_is(
    hasty: LiveServer, user: str, figures: Callable[..., None]
) -> None:
    await asyncio.gather(*(share(hasty, user, count, figures) for count in COUNTS))


async def share(server: LiveServer, user: str, count: int, figures: Callable[..., None]) -> None:
    session = new_session(server, user)
    began_s = time.monotonic()
    async with open_tabs(server, user, session, count) as tabs:
        started_s = time.monotonic()
        for second in range(1, 5):  # a different tab each second, each idle by itself
            await tabs[second % count].send("activity")
            ticks = [await tab.next("tick") for tab in tabs]
            assert ticks == [ticks[0]] * count
            assert (ticks[0]["elapsedSeconds"], ticks[0]["idleSeconds"]) == (second, 0)
        for idle in (1, 2):  # nobody moves any more
            ticks = [await tab.next("tick") for tab in tabs]
            assert {tick["idleSeconds"] for tick in ticks} == {idle}
        ended = (await tabs[-1].ask("stop", "stopped"))["session"]
        now_s = time.monotonic()
    figures(tabs=count, booked=ended["elapsedSeconds"], lived_s=now_s - began_s)
    assert is_booked(ended["elapsedSeconds"], now_s - started_s, now_s - began_s)
    assert (ended["activeSeconds"], ended["idleSeconds"]) == (4, 2)


async def test_it_goes_away_with_the_last_tab(hasty: LiveServer, user: str) -> None:
    await asyncio.gather(*(go_one_by_one(hasty, user, count) for count in COUNTS))


async def go_one_by_one(server: LiveServer, user: str, count: int) -> None:
    session = new_session(server, user)
    async with open_tabs(server, user, session, count) as tabs:
        began_s = time.monotonic()
        await tabs[-1].next("tick")
        for tab in tabs[:-1]:
            await tab.connection.close()
            before = stored(server, session, user)
            assert before["tracked"] is True
        told = await tabs[-1].next("tick")
        assert told["elapsedSeconds"] == 2  # the tabs that went took no second with them
        await tabs[-1].connection.close()
        lived_s = time.monotonic() - began_s
        found, _ = await released(server, user, session, within_s=2, due=int(lived_s))
    assert is_booked(found["elapsedSeconds"], lived_s)
    assert found["status"] == "active"
    await asyncio.sleep(1.1)  # nobody counts behind their backs
    assert stored(server, session, user)["elapsedSeconds"] == found["elapsedSeconds"]


async def test_each_tab_hears_of_what_another_does(hasty: LiveServer, user: str) -> None:
    await asyncio.gather(*(hear_each_other(hasty, user, count) for count in COUNTS))


async def hear_each_other(server: LiveServer, user: str, count: int) -> None:
    session = new_session(server, user, targetMinutes=1 / 60)
    async with open_tabs(server, user, session, count) as tabs:
        for tab in tabs:
            assert (await tab.next("targetReached"))["sessionId"] == session
        await tabs[0].send("tabSwitch")
        for tab in tabs:
            assert (await tab.next("tick"))["tabSwitches"] == 1
        await tabs[0].ask("pause", "paused")
        for tab in tabs[1:]:
            assert "id" not in await tab.next("paused")
        await tabs[-1].ask("resume", "resumed")
        for tab in tabs[:-1]:
            assert "id" not in await tab.next("resumed")
        mine = await tabs[0].ask("stop", "stopped")
        for tab in tabs[1:]:
            told = await tab.next("stopped")
            assert (told["session"], "id" in told) == (mine["session"], False)
