"""`/metrics` of a real server: what it says is what sessions, views and requests did."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.live_server import LiveServer, running_server
from tests.support.outage import server_and_hang
from tests.support.page_client import viewing
from tests.support.socket_client import connected, new_session

Labels = frozenset[tuple[str, str]]
ROUTE = "/api/sessions/<session_id>"


class Scrape:
    def __init__(self, text: str) -> None:
        self.text = text
        self.types: dict[str, str] = {}
        self._values: dict[tuple[str, Labels], float] = {}
        for family in text_string_to_metric_families(text):
            self.types[family.name] = family.type
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self._values, f"twice: {key}"
                self._values[key] = sample.value

    def value(self, name: str, **labels: str) -> float:
        """Of exactly these labels; 0 if it is not there."""
        return self._values.get((name, frozenset(labels.items())), 0)

    def total(self, name: str, **labels: str) -> float:
        """The sum over all other labels."""
        wanted = set(labels.items())
        return sum(v for (n, has), v in self._values.items() if n == name and wanted <= has)

    def with_label(self, label: str) -> set[str]:
        return {value for _, labels in self._values for key, value in labels if key == label}


def scrape(server: LiveServer, **headers: str) -> Scrape:
    answer = httpx.get(f"{server.url}/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return Scrape(answer.text)


async def scrape_after(server: LiveServer, before: Scrape, *, closes: int) -> Scrape:
    """Once so many sockets have ended since, and nothing is left of them."""
    async with asyncio.timeout(8):
        while True:
            after = scrape(server)
            ended = after.total("focusup_socket_closes_total")
            left = after.total("focusup_sockets") + after.total("focusup_tracked")
            if ended - before.total("focusup_socket_closes_total") >= closes and not left:
                return after
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One whose figures nobody else moves, and which logs all it has to say."""
    with running_server(tmp_path_factory.mktemp("metrics"), LOG_LEVEL="debug") as server:
        yield server


async def test_what_a_session_did_is_what_is_told(server: LiveServer) -> None:
    before = scrape(server)
    session = new_session(server)
    async with connected(server) as waiting, connected(server) as client:
        await waiting.ask("ping", "pong")
        await client.start(session)
        for _ in range(3):
            await client.next("tick")
        during = scrape(server)
        assert during.value("focusup_sockets", kind="session", state="tracking") == 1
        assert during.value("focusup_sockets", kind="session", state="waiting") == 1
        assert during.value("focusup_tracked", kind="session", state="counting") == 1
        await client.ask("pause", "paused")
        paused = scrape(server)
        assert paused.value("focusup_tracked", kind="session", state="counting") == 0
        assert paused.value("focusup_tracked", kind="session", state="held") == 1
        stopped = await client.ask("stop", "stopped")
        with server.rest() as rest:
            assert rest.get(f"/api/sessions/{session}?q=hunter2").status_code == 200
            assert rest.get("/api/sessions/" + "0" * 24).status_code == 404
            assert rest.get("/api/no/such/place").status_code == 404
    async with connected(server, token="nonsense") as refused:
        assert await refused.closed() == 4401
    after = await scrape_after(server, before, closes=3)

    def grown(name: str, **labels: str) -> float:
        return after.total(name, **labels) - before.total(name, **labels)

    booked = stopped["session"]["elapsedSeconds"]
    assert booked >= 3
    assert grown("focusup_booked_seconds_total", kind="session") == booked
    assert grown("focusup_booked_seconds_total", kind="session", state="active") == booked
    closes = {"kind": "session"}
    assert grown("focusup_socket_closes_total", **closes, by="client", code="1000") == 2
    assert grown("focusup_socket_closes_total", **closes, by="server", code="4401") == 1
    assert grown("focusup_socket_closes_total") == 3
    assert after.total("focusup_pending") == 0
    assert grown("focusup_http_requests_total", route=ROUTE, status="200") == 1
    assert grown("focusup_http_requests_total", route=ROUTE, status="404") == 1
    assert grown("focusup_http_requests_total", route="none", status="404") == 1
    assert grown("focusup_http_request_seconds_count", route=ROUTE) == 2
    assert grown("focusup_flush_seconds_count", kind="session") >= 4
    assert grown("focusup_flush_statements_total", kind="session") >= 4
    assert grown("focusup_tick_lag_seconds_count", kind="session") >= 20 * 3
    assert 0 <= after.value("focusup_booking_behind_seconds", kind="session") < 1
    assert after.value("focusup_booking_degraded", kind="session") == 0
    assert after.total("focusup_database_up") == 1
    assert 0 < after.total("focusup_database_ping_seconds") < 2
    assert session not in after.text
    assert "no/such" not in after.text
    assert "hunter2" not in after.text


async def test_page_views_are_told_apart_from_sessions(server: LiveServer) -> None:
    before = scrape(server)
    async with viewing(server) as client:
        await client.view("/a-page-of-its-own")
        await asyncio.sleep(1.3)
        during = scrape(server)
        assert during.value("focusup_sockets", kind="view", state="tracking") == 1
        assert during.value("focusup_tracked", kind="view", state="counting") == 1
        left = await client.ask("leave", "left")
        assert left["visibleSeconds"] >= 1
        assert scrape(server).value("focusup_sockets", kind="view", state="waiting") == 1
    after = await scrape_after(server, before, closes=1)
    booked = {kind: after.total("focusup_booked_seconds_total", kind=kind)
              - before.total("focusup_booked_seconds_total", kind=kind)
              for kind in ("session", "view")}  # fmt: skip
    assert booked == {"session": 0, "view": left["visibleSeconds"]}
    assert "a-page-of-its-own" not in after.text


async def test_clients_cannot_make_up_labels(server: LiveServer) -> None:
    before = scrape(server)
    for code in (3999, 4123, 4999):
        async with connected(server) as client:
            await client.connection.close(code)
    with server.rest(None) as rest:
        for number in range(5):
            rest.request(f"BREW{number}", f"/made/up/{number}")
    after = await scrape_after(server, before, closes=3)
    others = {"by": "client", "code": "other"}
    name = "focusup_socket_closes_total"
    assert after.total(name, **others) - before.total(name, **others) == 3
    assert after.with_label("route") - before.with_label("route") <= {"none"}
    assert after.with_label("method") <= {"GET", "POST", "other"}


def test_histograms_and_zeros_are_as_prometheus_wants_them(server: LiveServer) -> None:
    told = scrape(server)
    assert told.types["focusup_tick_lag_seconds"] == "histogram"
    assert told.types["focusup_booked_seconds"] == "counter"
    for name in (name for name, type_ in told.types.items() if type_ == "histogram"):
        assert told.total(f"{name}_bucket", le="+Inf") == told.total(f"{name}_count")
    # A rate sees the first 1011 only if there was a zero before it.
    closes = 'focusup_socket_closes_total{by="server",code="1011",kind="session"} 0.0'
    assert closes in told.text
    assert told.total("process_resident_memory_bytes") > 1e6


def test_it_is_no_part_of_the_published_interface(server: LiveServer) -> None:
    with server.rest(None) as rest:
        assert "/metrics" not in rest.get("/openapi.json").json()["paths"]
        answer = rest.get("/metrics", headers={"Origin": "http://localhost:3000"})
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert rest.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403


def test_with_a_token_only_its_bearer_reads(tmp_path: Path) -> None:
    token = "of-at-least-16-characters"
    with running_server(tmp_path, METRICS_TOKEN=token, MONGODB_URI="memory") as server:
        with server.rest() as rest:  # a user's token is none of these
            refused = rest.get("/metrics")
            assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")
        assert scrape(server, Authorization=f"Bearer {token}").types
        assert token not in server.log()


async def test_lines_of_a_request_and_of_a_socket_can_be_found_by_their_ids(
    server: LiveServer,
) -> None:
    token, before = server.token(), scrape(server)
    with server.rest() as rest:
        asked = rest.get("/api/sessions?q=hunter2", headers={"X-Request-ID": "from-the-proxy"})
        made = rest.get("/api/sessions", headers={"X-Request-ID": "not well formed"})
    assert asked.headers["X-Request-ID"] == "from-the-proxy"
    assert len(made.headers["X-Request-ID"]) == 16
    url = f"{server.ws_url}?token={token}"
    async with connect(url, additional_headers={"X-Request-ID": "of-a-socket"}) as socket:
        assert socket.response is not None
        assert socket.response.headers["X-Request-ID"] == "of-a-socket"
        await socket.send(b"binary")
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    await scrape_after(server, before, closes=1)
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    (answered,) = [line for line in lines if line.get("request") == "from-the-proxy"]
    assert (answered["event"], answered["route"]) == ("request_answered", "/api/sessions")
    assert answered["status"] == 200
    of_socket = [line for line in lines if line.get("connection") == "of-a-socket"]
    assert [line["event"] for line in of_socket] == ["socket_opened", "socket_closed"]
    assert (of_socket[1]["by"], of_socket[1]["code"]) == ("server", 1003)
    assert token not in server.log()
    assert "hunter2" not in server.log()
    assert all("127.0.0.1" not in json.dumps(line) for line in lines)


async def test_a_database_that_hangs_is_told_by_scrapes_that_do_not_wait(tmp_path: Path) -> None:
    with server_and_hang(tmp_path) as (server, hang):
        session = new_session(server)
        async with connected(server) as client:
            await client.start(session)
            await client.next("tick")
            hang.begin()
            try:
                await client.next("degraded")
                await asyncio.sleep(6)  # until a ping is not answered either
                began_s = time.monotonic()
                hanging = scrape(server)
                took_s = time.monotonic() - began_s
            finally:
                hang.end()
            await client.next("recovered", within_s=15)
            await asyncio.sleep(6)
            well = scrape(server)
    assert took_s < 1  # a ping is given up after two
    assert hanging.value("focusup_booking_degraded", kind="session") == 1
    assert hanging.value("focusup_booking_behind_seconds", kind="session") > 5
    assert hanging.total("focusup_database_up") == 0
    assert hanging.total("focusup_pending", kind="session") >= 1
    assert well.value("focusup_booking_degraded", kind="session") == 0
    assert well.value("focusup_booking_behind_seconds", kind="session") < 1
    assert well.total("focusup_database_up") == 1
