"""Who may read `/metrics`; the ids of requests; figures by route."""

from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import httpx
import pytest
import structlog
from quart import Quart, Response, abort, request
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from werkzeug.datastructures import Headers

from focusup.asgi import request_handling
from focusup.asgi.request_handling import App
from models.base.errors import Forbidden, StorageUnavailable, Unauthorized
from routes.http.problems import install_problems
from routes.http.request_metrics import OTHER, RequestMetrics, id_for
from routes.monitoring.endpoint import Metrics
from tests.support.serving import served

TOKEN = "a token for the tests"


async def asks(metrics: Metrics, peer: str, presented: str | None = None, **headers: str) -> None:
    app = Quart("test")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    # Quart keeps the peer's address there, before whatever the client has sent.
    named["Remote-Addr"] = peer
    named.setdefault("Host", "localhost")
    async with app.test_request_context("/metrics", headers=named):
        metrics.admit(request, presented)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_without_a_token_this_machine_may_read(peer: str) -> None:
    await asks(Metrics([], token=None), peer)


@pytest.mark.parametrize("peer", ["203.0.113.7", "10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1", ""])
async def test_without_a_token_nobody_else_may(peer: str) -> None:
    with pytest.raises(Forbidden):
        await asks(Metrics([], token=None), peer)
    with pytest.raises(Forbidden):
        await asks(Metrics([], token=None), peer, TOKEN)


@pytest.mark.parametrize(
    "header", ["Forwarded", "Via", "X_Forwarded_For", "X_Forwarded_Host", "X_Real_IP"]
)
async def test_a_proxy_of_this_machine_is_anybody(header: str) -> None:
    with pytest.raises(Forbidden):
        await asks(Metrics([], token=None), "127.0.0.1", **{header: "127.0.0.1"})


async def test_behind_a_proxy_the_token_alone_opens() -> None:
    with pytest.raises(Forbidden):
        await asks(Metrics([], token=None, is_proxied=True), "127.0.0.1")
    await asks(Metrics([], token=TOKEN, is_proxied=True), "127.0.0.1", TOKEN)


async def test_a_proxy_that_adds_no_header_speaks_the_old_version() -> None:
    app = Quart("test")
    named = {"Remote-Addr": "127.0.0.1", "Host": "127.0.0.1:5000"}
    async with app.test_request_context("/metrics", headers=named, http_version="1.0"):
        with pytest.raises(Forbidden):
            Metrics([], token=None).admit(request, None)


@pytest.mark.parametrize(
    ("host", "may"), [("localhost:5000", True), ("127.0.0.1:8080", False), ("[::1]:8080", False)]
)
async def test_a_proxy_that_keeps_the_host_names_its_own_port(host: str, *, may: bool) -> None:
    app = Quart("test")
    scope: Any = {"server": ("127.0.0.1", 5000)}
    named = {"Remote-Addr": "127.0.0.1", "Host": host}
    async with app.test_request_context("/metrics", headers=named, scope_base=scope):
        with nullcontext() if may else pytest.raises(Forbidden):
            Metrics([], token=None).admit(request, None)


LOCAL = ["localhost", "localhost:5000", "LocalHost:80", "127.0.0.1:5000", "[::1]:5000", "[::1]"]


@pytest.mark.parametrize("host", LOCAL)
async def test_without_a_token_it_is_asked_by_a_name_of_this_machine(host: str) -> None:
    await asks(Metrics([], token=None), "127.0.0.1", Host=host)


@pytest.mark.parametrize(
    "host",
    ["example.com", "example.com:5000", "localhost.example.com", "127.0.0.1.example.com",
     "10.0.0.1:5000", ""],
)  # fmt: skip
async def test_a_page_whose_name_leads_here_reads_nothing(host: str) -> None:
    with pytest.raises(Forbidden):
        await asks(Metrics([], token=None), "127.0.0.1", Host=host)
    await asks(Metrics([], token=TOKEN), "127.0.0.1", TOKEN, Host=host)


@pytest.mark.parametrize("peer", ["203.0.113.7", "127.0.0.1"])
async def test_with_a_token_it_is_the_token_that_counts(peer: str) -> None:
    metrics = Metrics([], token=TOKEN)
    await asks(metrics, peer, TOKEN, X_Forwarded_For="203.0.113.8")
    for wrong in (None, "", "another", TOKEN + " ", "t\u00f6ken"):
        with pytest.raises(Unauthorized):
            await asks(metrics, peer, wrong)


def test_each_app_has_figures_of_its_own() -> None:
    one, other = App("one").figures, App("other").figures
    one.record("GET", "/a", 200, 3)
    assert not other.outcomes
    texts = [Metrics([], token=None).text() for _ in range(2)]
    assert all(b"python_info" in text for text in texts)


@pytest.mark.parametrize("given", ["0123456789abcdef", "A-b_" * 16, "12345678"])
def test_an_id_that_is_well_formed_is_kept(given: str) -> None:
    assert id_for(Headers({"x-request-id": given})) == given


@pytest.mark.parametrize(
    "given",
    ["", "short", "x" * 65, "with a space", "eyJhbGciOi.eyJzdWIi.c2lnbmF0", "line1234\u2028",
     "%0a%0a%0a%0a", "ünverständlich", "12345678 "],
)  # fmt: skip
def test_any_other_is_replaced(given: str) -> None:
    made = id_for(Headers({"x-request-id": given}))
    assert made not in ("", given)
    assert id_for(Headers({"x-request-id": made})) == made
    assert id_for(Headers()) != id_for(Headers())


@pytest.fixture
def app() -> App:
    app = App("test")
    install_problems(app)

    @app.route("/things/<thing_id>", methods=["GET", "POST"])
    async def thing(thing_id: str) -> Response:
        structlog.get_logger("test").info("seen")
        if thing_id == "absent":
            abort(404)
        if thing_id == "broken":
            raise RuntimeError("a bug")
        return Response("here")

    return app


async def test_requests_are_counted_by_template_and_status(app: App) -> None:
    client = app.test_client()
    for path in ("1", "2", "absent", "broken"):
        await client.get(f"/things/{path}?secret=1")
    await client.post("/things/1")
    await client.delete("/things/1")
    await client.get("/etc/passwd")
    # The type of `open` has no default for `json`; `open` itself has.
    await client.open("/made/up", method="BREW")  # type: ignore[call-arg]
    route = "/things/<thing_id>"
    assert app.figures.outcomes == {
        ("GET", route, 200): 2,
        ("GET", route, 404): 1,
        ("GET", route, 500): 1,
        ("POST", route, 200): 1,
        ("DELETE", "none", 405): 1,
        ("GET", "none", 404): 1,
        (OTHER, "none", 404): 1,
    }
    assert {key: sum(h.counts) for key, h in app.figures.times.items()} == {
        ("GET", route): 4,
        ("POST", route): 1,
        ("DELETE", "none"): 1,
        ("GET", "none"): 1,
        (OTHER, "none"): 1,
    }


async def test_failures_are_logged_by_template_too(app: App) -> None:
    """A path can hold the id of a user."""

    @app.route("/users/<user_id>/sessions")
    async def gone(user_id: str) -> Response:
        raise StorageUnavailable

    @app.websocket("/users/<user_id>/socket")
    async def broken(user_id: str) -> None:
        raise RuntimeError("a bug")

    @app.route("/users/<user_id>/export")
    async def breaks_off(user_id: str) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"begun"
            raise StorageUnavailable

        return Response(parts())

    request_handling.install(app)
    with capture_logs() as lines:
        async with served(app) as url, httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/users/ada/sessions")).status_code == 503
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/users/ada/export")
            with pytest.raises(InvalidStatus):
                await connect(f"{url.replace('http', 'ws')}/users/ada/socket")
    assert "ada" not in repr([line for line in lines if line["event"] != "request_answered"])
    routes = {line["event"]: line.get("route") for line in lines}
    assert routes["database_unavailable"] == "/users/<user_id>/sessions"
    assert routes["answer_cut_off"] == "/users/<user_id>/export"
    assert routes["request_failed"] == "/users/<user_id>/socket"


async def test_all_lines_of_a_request_carry_its_id_and_none_its_query(app: App) -> None:
    client = app.test_client()
    ids = ["caller-1", "caller-broken"]
    with capture_logs(processors=[merge_contextvars]) as lines:
        for path, id_ in zip(("1", "broken"), ids, strict=True):
            response = await client.get(
                f"/things/{path}?note=hunter2", headers={"X-Request-ID": id_}
            )
            assert response.headers["X-Request-ID"] == id_
    assert "hunter2" not in repr(lines)
    assert [(line["event"], line["request"]) for line in lines] == [
        ("seen", ids[0]),
        ("request_answered", ids[0]),
        ("seen", ids[1]),
        ("request_failed", ids[1]),
        ("request_answered", ids[1]),
    ]
    assert (lines[1]["method"], lines[1]["route"]) == ("GET", "/things/<thing_id>")
    assert (lines[1]["status"], lines[1]["log_level"]) == (200, "debug")
    assert 0 < lines[1]["ms"] < 10_000


def test_figures_of_a_route_are_one_histogram() -> None:
    figures = RequestMetrics()
    for took_us in (4_000, 90_000, 20_000_000):
        figures.record("GET", "/a", 200, took_us)
    histogram = figures.times["GET", "/a"]
    assert (histogram.counts[0], histogram.counts[-1], sum(histogram.counts)) == (1, 1, 3)
