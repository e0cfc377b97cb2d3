"""Page views as sockets ask for them: arrivals, the order of views, limits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from models.base.driver_errors import StorageUnavailable
from models.base.indexes import ensure_indexes
from models.pageviews import visitors
from models.pageviews.page_view import page_views
from models.pageviews.storage_budgets import StorageBudget
from models.tokens.access_tokens import TokenAuthority
from realtime.engine.clock import ManualClock
from realtime.pageviews.page_limit import PageLimit
from realtime.pageviews.socket import PageClient, PageSocket
from realtime.pageviews.tracking import PageViewTracking
from realtime.protocol.close_codes import CloseCode
from realtime.sessions.socket import SocketSettings
from tests.support.embedded import embedded_database

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE_S = 60
TOKENS = TokenAuthority("a secret of at least 32 bytes....", 3600)


class SocketTransport:
    """Keeps what is pushed."""

    connection_id = "c1"

    def __init__(self) -> None:
        self.said: list[str] = []
        self.closed_with: int | None = None

    def listen(self, listener: Any) -> None:
        self.listener = listener

    def push(self, text: str) -> None:
        self.said.append(text)

    push_count = push

    def close(self, code: CloseCode, reason: str) -> None:
        self.closed_with = code

    def cut(self) -> None:
        raise AssertionError("nobody is cut off here")


class World:
    def __init__(self, db: Any) -> None:
        self.db = db
        self.clock = ManualClock(1_000_000_000, NOW)
        self.alive: set[str | None] = set()
        self.pages = PageViewTracking(
            db,
            self.clock,
            process="me",
            is_alive=self.alive.__contains__,
            coefficient=lambda page: 4.0 if page == "/long" else 1.0,
            idle_after_s=15,
            max_sockets_per_visitor=2,
            max_sockets=100,
            names=PageLimit(most=100, most_of_visitor=100, most_of_address=100),
            budget=StorageBudget(
                bytes_of_address=1e9,
                bytes_in_all=1e9,
                views_per_minute=100,
                clock_s=lambda: self.clock.now_us() / 1e6,
            ),
            max_waiting=20,
        )

    def socket(self, visitor: str = "v") -> tuple[SocketTransport, PageSocket]:
        wire = SocketTransport()
        visiting = PageClient(visitor, key=None, identity=None, user_agent="Mozilla")
        settings = SocketSettings(tokens=TOKENS, now=lambda: NOW)
        socket = PageSocket(wire, visiting, self.pages, settings)  # type: ignore[arg-type]
        socket.open()
        return wire, socket

    async def views(self) -> list[dict[str, Any]]:
        await self.pages.ledger.drain()
        return await page_views(self.db).find().sort("startedAt", 1).to_list(None)

    async def pass_time(self, seconds: float) -> None:
        """As the ticker does."""
        for _ in range(round(seconds)):
            self.pages.engine.advance(self.clock.advance_s(1))
        await asyncio.sleep(0)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with embedded_database(tmp_path) as db:
        await ensure_indexes(db, visitors.INDEXES)
        world = World(db)
        writing = asyncio.create_task(world.pages.ledger.run())
        yield world
        writing.cancel()


def _has_more(wire: SocketTransport, before: int) -> bool:
    return len(wire.said) > before


async def until(so: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not so():  # noqa: ASYNC110 - it happens step by step
            await asyncio.sleep(0.01)


async def answered(wire: SocketTransport, count: int) -> None:
    await until(lambda: len(wire.said) >= count)


async def test_all_tabs_opened_at_once_are_one_browser_session(world: World) -> None:
    arrivals = await asyncio.gather(*(world.pages.arrive("v", None, "Mozilla") for _ in range(10)))
    assert len({arrival.browser_session_id for arrival in arrivals}) == 1
    assert await world.db["browser_sessions"].count_documents({}) == 1


async def test_a_pause_of_more_than_30_minutes_on_one_connection(world: World) -> None:
    wire, socket = world.socket()
    said = 0
    for gap_minutes in (29, 31):
        for page, seconds in (("/a", 5), ("/b", 0)):
            socket.received(f'{{"type":"view","page":"{page}"}}')
            await answered(wire, said + 1)
            await world.pass_time(seconds)
            socket.received('{"type":"leave"}')
            await answered(wire, said + 2)
            said += 2
            if page == "/a":
                await world.pass_time(gap_minutes * MINUTE_S)
    first, second, third, fourth = await world.views()
    assert first["browserSessionId"] == second["browserSessionId"] == third["browserSessionId"]
    assert second["previousViewId"] == first["_id"]
    assert fourth["browserSessionId"] != third["browserSessionId"]
    assert fourth["previousViewId"] is None
    assert [view["visibleSeconds"] for view in (first, second, third, fourth)] == [5, 0, 5, 0]


async def test_a_view_that_another_server_tracks_is_open(world: World) -> None:
    wire, socket = world.socket()
    socket.received('{"type":"view","page":"/a","visible":false}')
    await answered(wire, 1)
    await world.pages.ledger.drain()
    (view,) = world.pages.engine.all_tracked.values()
    world.pages.engine.drop(view)
    await page_views(world.db).update_one({"_id": view.tracked_id}, {"$set": {"owner": "other"}})
    world.clock.advance_s(60 * MINUTE_S)
    world.alive.add("other")
    same = await world.pages.arrive("v", None, "Mozilla")
    assert same.browser_session_id == view.begun["browserSessionId"]
    world.alive.clear()
    world.clock.advance_s(60 * MINUTE_S)
    other = await world.pages.arrive("v", None, "Mozilla")
    assert other.browser_session_id != view.begun["browserSessionId"]


async def test_messages_wait_for_the_arrival_and_count_from_when_they_were_read(
    world: World,
) -> None:
    wire, socket = world.socket()
    socket.received('{"type":"view","page":"/a"}')
    await world.pass_time(3)
    socket.received('{"type":"hidden"}')
    await world.pass_time(3)
    socket.received('{"type":"visible"}')
    await world.pass_time(2)
    socket.received('{"type":"leave"}')
    await answered(wire, 2)
    (view,) = await world.views()
    assert (view["visibleSeconds"], view["engagedSeconds"]) == (5, 5)


async def test_one_that_goes_before_it_has_arrived_has_viewed_all_the_same(world: World) -> None:
    _, socket = world.socket()
    socket.received('{"type":"view","page":"/a"}')
    world.clock.advance_s(2)
    socket.gone()
    await until(lambda: world.pages.ledger.figures.statements)
    (view,) = await world.views()
    assert (view["status"], view["visibleSeconds"]) == ("ended", 2)
    assert not world.pages.engine.all_tracked
    assert len(world.pages.registry) == 0


async def test_attention_lasts_as_long_as_the_page_deserves(world: World) -> None:
    for page, engaged in (("/short", 15), ("/long", 60)):
        wire, socket = world.socket(page)
        socket.received(f'{{"type":"view","page":"{page}"}}')
        await answered(wire, 1)
        await world.pass_time(100)
        socket.received('{"type":"leave"}')
        await answered(wire, 2)
        view = (await world.views())[-1]
        assert (view["visibleSeconds"], view["engagedSeconds"]) == (100, engaged)


async def test_so_many_tabs_of_one_visitor_and_no_more(world: World) -> None:
    wires = [world.socket()[0] for _ in range(3)]
    assert [wire.closed_with for wire in wires] == [None, None, CloseCode.TOO_MANY]


async def test_of_too_many_tabs_the_one_that_is_hidden_gives_way(world: World) -> None:
    tabs = [world.socket() for _ in range(2)]
    for wire, tab in tabs:
        tab.received('{"type":"view","page":"/a"}')
        await answered(wire, 1)
    hidden, shown = tabs
    for _, tab in (shown, hidden):
        tab.received('{"type":"hidden"}')
    shown[1].received('{"type":"visible"}')
    third, _ = world.socket()
    assert hidden[0].closed_with is CloseCode.TAKEN_OVER
    assert shown[0].closed_with is third.closed_with is None
    shown[1].received('{"type":"activity"}')
    fourth, _ = world.socket()
    assert fourth.closed_with is CloseCode.TOO_MANY


async def test_a_deleted_view_closes_its_connection(world: World) -> None:
    wire, socket = world.socket()
    socket.received('{"type":"view","page":"/a"}')
    await answered(wire, 1)
    await world.pages.ledger.drain()
    await page_views(world.db).delete_many({})
    await world.pass_time(2)
    await world.pages.ledger.drain()
    assert wire.closed_with == CloseCode.DELETED
    assert not world.pages.engine.all_tracked


async def test_views_that_wait_for_the_database_are_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> set[Any]:
        raise StorageUnavailable

    wire, socket = world.socket()
    socket.received('{"type":"view","page":"/a"}')
    await until(lambda: wire.said)
    monkeypatch.setattr(world.pages._store, "insert", never)
    refused = 0
    for _ in range(60):
        world.clock.advance_s(1)
        before = len(wire.said)
        socket.received('{"type":"view","page":"/a"}')
        await until(partial(_has_more, wire, before))
        refused += '"too_busy"' in wire.said[-1]
        assert len(world.pages.engine.all_tracked) <= 21
    assert refused >= 39
    monkeypatch.undo()
    await world.pages.ledger.drain()
    world.clock.advance_s(1)
    socket.received('{"type":"view","page":"/a"}')
    await until(lambda: '"viewing"' in wire.said[-1])


async def test_a_connection_that_begins_too_many_views_is_told_and_counted_no_more(
    world: World,
) -> None:
    wire, socket = world.socket()
    for _ in range(15):
        before = len(wire.said)
        socket.received('{"type":"view","page":"/a"}')
        await until(partial(_has_more, wire, before))
    assert ['"too_many_views"' in text for text in wire.said] == [False] * 10 + [True] * 5
    assert socket._tracked is None
    world.clock.advance_s(1)
    socket.received('{"type":"view","page":"/a"}')
    assert '"viewing"' in wire.said[-1]


async def test_parameters_and_title_are_at_most_two_kilobytes(world: World) -> None:
    wire, socket = world.socket()
    params = ",".join(f'"p{number}":"{"x" * 100}"' for number in range(20))
    for fields in (
        f'"params":{{{params}}}',
        f'"title":"{"ü" * 30}","params":{{{params[: params.rindex(",")]}}}',
    ):
        socket.received(f'{{"type":"view","page":"/a",{fields}}}')
        assert '"invalid_message"' in wire.said[-1]
    assert not world.pages.engine.all_tracked
