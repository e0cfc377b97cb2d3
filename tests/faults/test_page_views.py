"""Page views through the faults that focus sessions go through: the same engine and ledger."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.pageviews.page_limit import OVERFLOW
from tests.support.database_server import Database
from tests.support.figures import Figures
from tests.support.live_server import LiveServer
from tests.support.page_client import Views, page_server, viewing

Site = tuple[LiveServer, Views, Database]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with page_server(tmp_path, MAX_PAGES="200") as site:
        yield site


@pytest.fixture
def wary_site(tmp_path: Path) -> Iterator[Site]:
    with page_server(tmp_path, MAX_NEW_PAGES_PER_VISITOR="50") as site:
        yield site


async def test_a_database_that_stands_still(site: Site) -> None:
    """Views that began before and meanwhile are stored with every second."""
    server, views, database = site
    async with viewing(server) as one, viewing(server) as other:
        before = await one.view("/before")
        await other.view("/warm")
        database.freeze()
        try:
            meanwhile = await other.view("/meanwhile")
            await one.next("degraded")
            await asyncio.sleep(1)
        finally:
            database.thaw()
        await one.next("recovered")
        left = [await client.ask("leave", "left") for client in (one, other)]
    for view, told in zip((before, meanwhile), left, strict=True):
        stored = views.view(view["viewId"])
        assert told["visibleSeconds"] == stored["visibleSeconds"] == stored["engagedSeconds"] >= 3
        lasted_s = (stored["endedAt"] - stored["startedAt"]).total_seconds()
        assert stored["visibleSeconds"] == int(lasted_s)


async def test_a_database_that_is_killed(site: Site) -> None:
    server, views, database = site
    async with viewing(server) as client:
        view = await client.view("/a")
        await asyncio.sleep(1.5)
        await asyncio.to_thread(database.kill)
        second = await client.view("/b")
        await asyncio.to_thread(database.start)
        left = await client.ask("leave", "left")
    one, two = views.view(view["viewId"]), views.view(second["viewId"])
    assert one["visibleSeconds"] == 1
    assert two["visibleSeconds"] == left["visibleSeconds"]
    assert two["previousViewId"] == one["_id"]


async def test_a_server_that_is_killed_loses_a_second_at_most(site: Site) -> None:
    server, views, _ = site
    async with viewing(server) as client:
        first = await client.view("/a")
        await asyncio.sleep(3.5)
        await asyncio.to_thread(server.kill)
        await client.closed()
    stored = views.view(first["viewId"])
    assert stored["visibleSeconds"] in {2, 3}
    assert stored["endedAt"] is None
    await asyncio.to_thread(server.start)
    async with viewing(server, visitor=first["visitor"]) as client:
        again = await client.view("/a")
    assert again["browserSessionId"] == first["browserSessionId"]


async def test_a_server_that_stops_ends_every_view(site: Site) -> None:
    server, views, _ = site
    async with viewing(server) as client:
        view = await client.view("/a")
        await asyncio.sleep(1.5)
        assert await asyncio.to_thread(server.stop) == 0
        assert await client.closed() == 1012
    stored = views.view(view["viewId"])
    assert (stored["status"], stored["visibleSeconds"], stored["owner"]) == ("ended", 1, None)
    assert stored["endedAt"] is not None


async def test_a_reset_ends_the_view(site: Site, figures: Figures) -> None:
    server, views, _ = site
    async with viewing(server) as client:
        view = await client.view("/a")
        await asyncio.sleep(1.5)
        client.connection.transport.abort()
        began_s = time.monotonic()
        while views.view(view["viewId"])["endedAt"] is None:
            assert time.monotonic() - began_s < 2
            await asyncio.sleep(0.05)
    figures(stored_after_s=time.monotonic() - began_s)
    assert views.view(view["viewId"])["visibleSeconds"] == 1


async def test_one_visitor_cannot_use_up_the_page_names(wary_site: Site) -> None:
    server, _, _ = wary_site
    async with viewing(server) as hostile, viewing(server) as honest:
        names = [(await hostile.view(f"/{number}"))["page"] for number in range(60)]
        assert names == [f"/{number}" for number in range(50)] + [OVERFLOW] * 10
        assert (await honest.view("/new"))["page"] == "/new"


async def test_10000_page_names_from_one_client(site: Site) -> None:
    """They are bounded for all; what is known already is viewed on, the rest under one name."""
    server, views, _ = site
    async with viewing(server) as client:
        await client.view("/known")
        for number in range(180):
            await client.view(f"/{number}")
    async with viewing(server) as client:
        names = [(await client.view(f"/{number}"))["page"] for number in range(180, 230)]
        assert names == [f"/{number}" for number in range(180, 199)] + [OVERFLOW] * 31
        assert (await client.view("/known"))["page"] == "/known"
    async with viewing(server) as client:
        await client.view("/known")
        for number in range(10_000):
            await client.send("view", page=f"/{number}")
        assert await client.closed() == 4429
    await asyncio.sleep(0.5)
    assert views.count("pages") == 200 + 1  # the name of the rest
