"""What every answer tells a browser about itself, whatever route, error or file it is."""

from collections.abc import Iterator

import httpx
import pytest
from quart import Quart, Response

from focusup.web.pages import PAGES
from routes.http.client_address import TrustedProxies
from routes.http.security_headers import HSTS, install_security_headers
from tests.support.documents import whole_app
from tests.support.live_server import LiveServer, running_server
from tests.support.paths import ROOT

FOR_NOBODY = "default-src 'none'; frame-ancestors 'none'"
HSTS_HEADER = "Strict-Transport-Security"
WITH_A_POLICY = {*PAGES, "/docs", "/docs/socket", "/docs/socket.css", "/asyncapi.json"}
CACHED = {*PAGES, "/focusup.js", "/docs/swagger-ui.css"}
ANSWERS = {
    "200": ("GET", "/api/health", b""),
    "a page": ("GET", "/", b""),
    "another page": ("GET", "/admin", b""),
    "a module": ("GET", "/focusup.js", b""),
    "the API's page": ("GET", "/docs", b""),
    "a file of it": ("GET", "/docs/swagger-ui.css", b""),
    "the sockets' page": ("GET", "/docs/socket", b""),
    "OpenAPI": ("GET", "/openapi.json", b""),
    "metrics": ("GET", "/metrics", b""),
    "201": ("POST", "/api/sessions", b"{}"),
    "204": ("POST", "/api/track-event", b'{"type":"login"}'),
    "preflight": ("OPTIONS", "/api/sessions", b""),
    "400": ("POST", "/api/sessions", b"{"),
    "401": ("POST", "/api/auth/login", b'{"email":"a@example.com","password":"x"}'),
    "403": ("GET", "/api/admin/users", b""),
    "404": ("GET", "/nothing", b""),
    "405": ("DELETE", "/api/health", b""),
    "413": ("POST", "/api/sessions", b"x" * 70_000),
    "422": ("POST", "/api/sessions", b"[]"),
    "426": ("GET", "/ws/sessions", b""),
    "an export": ("GET", "/api/me/export", b""),
    "HEAD": ("HEAD", "/api/health", b""),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_answer_has_the_security_headers(rest: httpx.Client, kind: str) -> None:
    method, path, body = ANSWERS[kind]
    answer = rest.request(method, path, content=body)
    if kind.isdigit():
        assert answer.status_code == int(kind)
    headers = answer.headers
    for name in ("Content-Security-Policy", "X-Content-Type-Options", "Cache-Control"):
        assert len(headers.get_list(name)) == 1, (name, headers.get_list(name))
    assert headers["X-Content-Type-Options"] == "nosniff"
    own = path in WITH_A_POLICY
    assert (headers["Content-Security-Policy"] == FOR_NOBODY) is not own
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == ("same-origin" if path in PAGES else "no-referrer")
    assert (headers["Cache-Control"] == "no-store") is (path not in CACHED)
    assert HSTS_HEADER not in headers  # over http it would mean nothing
    assert "Server" not in headers


def test_no_route_of_data_may_be_kept() -> None:
    """Nothing but a file for browsers says `Cache-Control` itself."""
    root = ROOT
    saying = {
        str(path.relative_to(root))
        for floor in ("routes", "focusup")
        for path in (root / floor).rglob("*.py")
        if "cache-control" in path.read_text().lower() or "cache_timeout" in path.read_text()
    }
    assert saying == {
        "focusup/web/pages.py",
        "routes/docs/swagger_ui.py",
        "routes/http/security_headers.py",
    }


async def test_an_error_of_ours_has_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    app = whole_app(monkeypatch)

    @app.get("/broken")
    async def broken() -> Response:
        raise RuntimeError("a bug")

    answer = await app.test_client().get("/broken")
    assert answer.status_code == 500
    assert answer.headers["Content-Security-Policy"] == FOR_NOBODY
    assert answer.headers["Cache-Control"] == "no-store"


# --- HSTS ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Behind a proxy on this machine."""
    directory = tmp_path_factory.mktemp("behind")
    with running_server(directory, TRUSTED_PROXIES="127.0.0.0/8") as server:
        yield server


@pytest.mark.parametrize(
    ("proto", "is_said"),
    [("https", True), ("http, https", True), ("https, http", False), ("http", False), ("", False)],
)
def test_hsts_is_said_where_the_trusted_proxy_has_https(
    behind: LiveServer, proto: str, is_said: bool
) -> None:
    headers = {"X-Forwarded-Proto": proto}
    with behind.rest(None) as anyone:
        for path in ("/", "/api/health", "/nothing"):
            answer = anyone.get(path, headers=headers)
            assert answer.headers.get(HSTS_HEADER) == (HSTS if is_said else None)


def test_hsts_is_not_said_because_a_stranger_claims_https(rest: httpx.Client) -> None:
    answer = rest.get("/api/health", headers={"X-Forwarded-Proto": "https"})
    assert HSTS_HEADER not in answer.headers


async def test_hsts_is_said_where_https_ends_here() -> None:
    app = Quart("test", static_folder=None)
    install_security_headers(app, TrustedProxies())
    client = app.test_client()
    over_https = await client.get("/", scheme="https")
    assert over_https.headers[HSTS_HEADER] == HSTS
    assert HSTS_HEADER not in (await client.get("/")).headers
