"""The nginx that is shipped, before two processes that tell what reaches them.

What must hold: a client decides nothing of what FocusUp believes of it, a token reaches no
log, a POST is sent once, and limits fit together with FocusUp's own.
"""

import asyncio
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from realtime.sockets.transport import PING_EVERY_S
from routes.http.bodies import MAX_BODY_BYTES
from tests.support.database_programs import until
from tests.support.live_server import LiveServer
from tests.support.nginx import SHIPPED, Front, command, configured, nginx

SECRET = "a-token-that-nobody-may-read"
CONFIGURATION = (SHIPPED / "nginx.conf").read_text()


class Upstream(LiveServer):
    """A process that keeps the requests it gets, and may break off instead of answering."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.got: list[BaseHTTPRequestHandler] = []
        self.breaks_off = False
        self.headers: dict[str, str] = {}
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                upstream.got.append(self)
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if upstream.breaks_off:
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("Content-Length", "0")
                for name, value in upstream.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_POST = answer  # noqa: N815 - the names that the library calls

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator["Upstream"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


@dataclass
class Before:
    """An nginx, and those behind it."""

    front: Front
    upstreams: list[Upstream]

    @property
    def got(self) -> list[BaseHTTPRequestHandler]:
        return [each for upstream in self.upstreams for each in upstream.got]


@pytest.fixture
def before(tmp_path: Path) -> Iterator[Before]:
    with ExitStack() as stack:
        upstreams = [stack.enter_context(Upstream(tmp_path).running()) for _ in range(2)]
        front = stack.enter_context(nginx(tmp_path, *upstreams))
        for upstream in upstreams:
            upstream.got.clear()
        yield Before(front, upstreams)


def seconds(directive: str) -> float:
    (found,) = set(re.findall(rf"\b{directive} (\d+)s;", CONFIGURATION))
    return float(found)


def test_nginx_itself_finds_nothing_to_say(tmp_path: Path) -> None:
    upstreams = [Upstream(tmp_path) for _ in range(2)]
    front = configured(tmp_path, *upstreams)
    tested = subprocess.run(
        command(front, "-t"), capture_output=True, text=True, check=False, timeout=30
    )
    assert tested.returncode == 0, tested.stderr
    # How many files may be open is up to the machine.
    said = [line for line in tested.stderr.splitlines() if "open file resource limit" not in line]
    assert [line.rpartition(" ")[2] for line in said] == ["ok", "successful"], said


def test_its_times_and_sizes_fit_ours() -> None:
    assert seconds("proxy_read_timeout") >= 3 * PING_EVERY_S
    assert seconds("proxy_send_timeout") >= 3 * PING_EVERY_S
    assert f"client_max_body_size {MAX_BODY_BYTES // 1024}k;" in CONFIGURATION


def test_plain_http_is_sent_to_tls_with_method_path_and_question(before: Before) -> None:
    plain = f"http://127.0.0.1:{before.front.plain_port}/api/x?y=1"
    answer = httpx.post(plain, headers={"Host": "focus.example.com"})
    assert answer.status_code == 308
    assert answer.headers["Location"] == "https://focus.example.com/api/x?y=1"
    assert before.got == []


def test_what_a_client_claims_of_itself_goes_no_further(before: Before) -> None:
    claims = {
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil.example",
        "X-Real-IP": "203.0.113.7",
        "Forwarded": "for=203.0.113.7",
        "X-Request-ID": "chosen-by-a-stranger",
    }
    with before.front.rest() as rest:
        answer = rest.get("/api/x", headers={**claims, "Host": "focus.example.com"})
    assert answer.headers["Strict-Transport-Security"]
    (got,) = before.got
    assert got.headers.get_all("X-Forwarded-For") == ["127.0.0.1"]
    assert got.headers.get_all("X-Forwarded-Proto") == ["https"]
    assert not {"X-Forwarded-Host", "X-Real-IP", "Forwarded"} & set(got.headers)
    assert re.fullmatch("[0-9a-f]{32}", got.headers["X-Request-ID"])
    assert got.headers["Host"] == "focus.example.com"
    assert got.headers["Authorization"]
    assert got.headers["Connection"] == "close"


UPGRADES = ["h2c", "H2C", "h2c, websocket", "websocket, h2c", "TLS/1.0", "websocketx"]


@pytest.mark.parametrize("path", ["/api/health", "/ws/sessions", "/ws/../api/health", "/metrics"])
@pytest.mark.parametrize("upgrade", UPGRADES)
def test_no_change_of_protocol_but_to_websocket_goes_on(
    before: Before, path: str, upgrade: str
) -> None:
    asks = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": upgrade,
        "HTTP2-Settings": "AAMAAABkAAQAAP__",
    }
    with before.front.rest(None) as rest:
        rest.get(path, headers=asks)
    for got in before.got:
        assert got.headers["Upgrade"] is None
        assert got.headers["HTTP2-Settings"] is None
        assert got.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("path", "goes_on"), [("/ws/sessions", True), ("/api/health", False), ("/", False)]
)
def test_websocket_goes_on_to_sockets_alone(before: Before, path: str, *, goes_on: bool) -> None:
    with before.front.rest(None) as rest:
        rest.get(path, headers={"Connection": "Upgrade", "Upgrade": "WebSocket"})
    (got,) = before.got
    assert got.headers["Upgrade"] == ("websocket" if goes_on else None)
    assert got.headers["Connection"] == ("upgrade" if goes_on else "close")
    assert got.headers.get_all("X-Forwarded-For") == ["127.0.0.1"]


def test_another_host_gets_no_answer(before: Before) -> None:
    with before.front.rest(None) as rest, pytest.raises(httpx.RemoteProtocolError):
        rest.get("/api/health", headers={"Host": "evil.example"})
    assert before.got == []


def test_strict_transport_security_is_said_once(before: Before) -> None:
    for upstream in before.upstreams:
        upstream.headers = {"Strict-Transport-Security": "max-age=1"}
    with before.front.rest(None) as rest:
        for path in ("/api/x", "/metrics", "/ws/sessions"):
            said = rest.get(path).headers.get_list("Strict-Transport-Security")
            assert said == ["max-age=31536000"], path


def test_one_address_asks_so_often_and_then_waits() -> None:
    for zone, location in (("requests", "/ {"), ("handshakes", "/ws/ {")):
        within = CONFIGURATION.partition(f"location {location}")[2].partition("}")[0]
        found = re.search(rf"limit_req zone={zone} burst=(\d+) delay=(\d+);", within)
        assert found
        assert int(found[1]) > int(found[2]) >= 500, "a school is one address"
    assert "limit_req_status 429;" in CONFIGURATION


def test_a_body_may_be_as_large_as_ours(before: Before) -> None:
    with before.front.rest() as rest:
        fits, too_large = (
            rest.post("/api/x", content=b"x" * size)
            for size in (MAX_BODY_BYTES, MAX_BODY_BYTES + 1)
        )
    assert (fits.status_code, too_large.status_code) == (200, 413)
    assert len(before.got) == 1


def test_the_figures_of_a_process_are_not_for_those_outside(before: Before) -> None:
    with before.front.rest() as rest:
        assert rest.get("/metrics").status_code == 404
    assert before.got == []


@pytest.mark.parametrize(("method", "sent"), [("POST", 1), ("GET", 2)])
def test_a_post_that_was_passed_on_is_never_repeated(
    before: Before, method: str, sent: int
) -> None:
    for upstream in before.upstreams:
        upstream.breaks_off = True
    with before.front.rest() as rest:
        assert rest.request(method, "/api/sessions").status_code == 502
    assert [each.command for each in before.got] == [method] * sent


@pytest.mark.parametrize("path", ["/ws/sessions", "/ws/pageviews", "/api/x"])
def test_no_token_of_a_question_is_in_any_log(before: Before, path: str) -> None:
    referrer = {"Referer": f"https://focus.example.com/?token={SECRET}"}
    with before.front.rest(None) as rest:
        assert rest.get(f"{path}?token={SECRET}", headers=referrer).status_code == 200
    with httpx.Client() as plain:
        plain.get(f"http://127.0.0.1:{before.front.plain_port}{path}?token={SECRET}")
    written = re.compile(rf'"GET {path}" (?:200|308) ')
    # A line is written once its answer has been sent.
    asyncio.run(until(lambda: len(written.findall(before.front.logged())) == 2))
    assert SECRET not in before.front.logged()


@pytest.mark.parametrize("path", ["/ws/sessions", "/ws/pageviews"])
def test_nor_where_nobody_answers(before: Before, path: str) -> None:
    for upstream in before.upstreams:
        upstream.breaks_off = True
    with before.front.rest(None) as rest:
        assert rest.get(f"{path}?token={SECRET}").status_code == 502
    asyncio.run(until(lambda: f'"GET {path}" 502 ' in before.front.logged()))
    assert SECRET not in before.front.logged()
