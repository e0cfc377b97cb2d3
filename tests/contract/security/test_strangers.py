"""What strangers can make us store: each line of docs/security.md, tried without a token."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest

from realtime.pageviews.page_limit import OVERFLOW
from tests.support.app_server import AppServer, running_app
from tests.support.embedded import shared_uri
from tests.support.page_client import viewing

NAMES_OF_ADDRESS = 6
KILOBYTE = 1_000
METRICS_TOKEN = "a token that reads the figures"
OF_ADDRESS, IN_ALL = 60 * KILOBYTE, 400 * KILOBYTE
"""Half of them is there at once."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AppServer]:
    with running_app(
        tmp_path,
        shared_uri(),
        rate_limits=True,
        trusted_proxies="127.0.0.1",
        metrics_token=METRICS_TOKEN,
        max_new_pages_per_address=NAMES_OF_ADDRESS,
        stored_mb_per_day=IN_ALL / 1e6,
        stored_mb_per_day_of_address=OF_ADDRESS / 1e6,
    ) as server:
        yield server


def beacon(client: httpx.Client, view: int, address: str, **fields: Any) -> httpx.Response:
    body = {"view": str(view), "sequence": 0, "visibleSeconds": 0, "engagedSeconds": 0}
    client.cookies.clear()
    headers = {"X-Forwarded-For": address}
    path = "/api/track-engagement"
    return client.post(path, json={**body, "page": "/home", **fields}, headers=headers)


def stored(server: AppServer, collection: str) -> list[dict[str, Any]]:
    with pymongo.MongoClient[dict[str, Any]](server.mongodb_uri) as mongo:
        return list(mongo[server.database][collection].find())


def test_names_beyond_those_of_an_address_are_counted_under_one(server: AppServer) -> None:
    with server.rest(None) as client:
        for number in range(NAMES_OF_ADDRESS + 3):
            beacon(client, number, "192.0.2.1", page=f"/{number}").raise_for_status()
        beacon(client, 99, "192.0.2.2", page="/honest").raise_for_status()
    pages = Counter(view["page"] for view in stored(server, "page_views"))
    assert pages.pop(OVERFLOW) == 3
    assert pages.pop("/honest") == 1
    assert pages == {f"/{number}": 1 for number in range(NAMES_OF_ADDRESS)}


def test_views_of_one_address_are_bounded_and_another_is_served(server: AppServer) -> None:
    params = {f"p{number}": "x" * 95 for number in range(20)}
    with server.rest(None) as client:
        answers = [beacon(client, n, "192.0.2.1", params=params) for n in range(20)]
        statuses = Counter(answer.status_code for answer in answers)
        refused = answers[-1]
        assert beacon(client, 99, "192.0.2.2").status_code == 200
    assert refused.json()["code"] == "too_much_stored"
    assert int(refused.headers["Retry-After"]) >= 1
    assert statuses[200] <= OF_ADDRESS / 2 / (2 * KILOBYTE) < 20
    assert set(statuses) == {200, 429}


def test_parameters_and_title_are_bounded_together(server: AppServer) -> None:
    large: tuple[dict[str, Any], ...] = (
        {"params": {f"p{number}": "ü" * 60 for number in range(20)}},
        {"params": {f"p{number}": "x" * 95 for number in range(20)}, "title": "x" * 200},
    )
    with server.rest(None) as client:
        for number, fields in enumerate(large):
            answer = beacon(client, number, "192.0.2.1", **fields)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")
            assert answer.json()["errors"][0]["field"] in ("params", "title")
    assert stored(server, "page_views") == []


def test_visits_and_events_of_one_address_are_bounded(server: AppServer) -> None:
    with server.rest(None) as client:
        client.headers["X-Forwarded-For"] = "192.0.2.3"
        visits = [
            client.post("/api/track-visit", json={"sessionId": f"s{n}"}).status_code
            for n in range(70)
        ]
        again = client.post("/api/track-visit", json={"sessionId": "s0"}).status_code
        event = client.post("/api/track-event", json={"type": "app_open"}).status_code
        client.headers["X-Forwarded-For"] = "192.0.2.4"
        elsewhere = client.post("/api/track-event", json={"type": "app_open"}).status_code
    assert visits == [200] * 60 + [429] * 10
    assert (again, event, elsewhere) == (200, 429, 204)


def test_a_user_from_many_addresses_is_one(server: AppServer) -> None:
    with server.rest("ada") as client:
        statuses = []
        for number in range(20):
            client.headers["X-Forwarded-For"] = f"192.0.2.{number}"
            body = {"title": "x" * 200, "notes": "x" * 1_000}
            statuses.append(client.post("/api/sessions", json=body).status_code)
    assert statuses.count(201) <= OF_ADDRESS / 2 / (3 * KILOBYTE)
    assert statuses[-1] == 429


async def test_a_socket_begins_ten_views_at_once(server: AppServer) -> None:
    async with viewing(server) as client:
        for number in range(12):
            await client.send("view", id=str(number), page="/home")
        told = [(await client.next("viewing", "error")).get("code") for _ in range(12)]
        assert told == [None] * 10 + ["too_many_views"] * 2
        await asyncio.sleep(1.1)
        assert (await client.view("/home"))["page"] == "/home"


def test_budgets_are_told_by_the_figures_and_the_disk_by_health(server: AppServer) -> None:
    with server.rest(None) as client:
        beacon(client, 1, "192.0.2.1").raise_for_status()
        reader = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        figures = client.get("/metrics", headers=reader).text
        health = client.get("/api/health").json()
    assert 'focusup_storage_charged_bytes_total{kind="views"} 2505.0' in figures
    assert "focusup_storage_budget_used_ratio 0.01" in figures
    assert "focusup_page_names 1.0" in figures
    assert "disk" in health
