"""The key set of another issuer: fetched when it has to be, and never more."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from focusup.app import create_app
from focusup.security import jwks_client
from focusup.security.external_issuer import foreign_issuer
from focusup.security.jwks_client import AGAIN_AFTER_S, FETCH_WITHIN_S, MAX_BYTES, RemoteKeys
from focusup.security.signing_key import SecretError
from focusup.settings import Settings
from models.tokens.jwks import KeySet, read_key_set
from tests.support.database_programs import until
from tests.support.issuers import KeyServer, jwk, key_server, pem, send, token_of
from tests.support.live_server import LiveServer, running_server
from tests.support.page_client import Views, page_server, viewing
from tests.support.socket_client import connected

LIMIT_S = 0.5
"""Far below what is promised, and far below what hangs here takes."""


@pytest.fixture
def issuer() -> Iterator[KeyServer]:
    with key_server() as found:
        found.keys = [jwk("ES256", "first")]
        yield found


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def keys_at(issuer: KeyServer) -> tuple[RemoteKeys, Clock]:
    clock = Clock()
    return RemoteKeys(issuer.url, monotonic_s=clock), clock


async def knows(keys: RemoteKeys, name: str) -> bool:
    await keys.learn(name, "ES256")
    return keys.find(name, "ES256") is not None


async def test_a_known_key_costs_no_fetch(issuer: KeyServer) -> None:
    keys, clock = keys_at(issuer)
    for _ in range(5):
        assert await knows(keys, "first")
        clock.now_s += AGAIN_AFTER_S
    assert len(issuer.asked) == 1


async def test_an_unknown_key_is_looked_for_and_found_once_it_is_there(issuer: KeyServer) -> None:
    keys, clock = keys_at(issuer)
    assert await knows(keys, "first")
    issuer.keys.append(jwk("ES256", "second"))
    clock.now_s += AGAIN_AFTER_S
    assert await knows(keys, "second")
    assert await knows(keys, "first")
    assert len(issuer.asked) == 2


async def test_made_up_ids_cause_one_fetch_in_ten_seconds(issuer: KeyServer) -> None:
    keys, clock = keys_at(issuer)
    for _ in range(3):
        asked = len(issuer.asked)
        found = await asyncio.gather(*(knows(keys, f"made up {n}") for n in range(200)))
        assert not any(found)
        assert len(issuer.asked) == asked + 1
        clock.now_s += AGAIN_AFTER_S - 0.1
        assert not await knows(keys, "made up")
        assert len(issuer.asked) == asked + 1
        clock.now_s += 0.1


async def test_a_key_that_was_withdrawn_is_forgotten(
    issuer: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, clock = keys_at(issuer)
    assert await knows(keys, "first")
    issuer.keys = [jwk("ES256", "second")]
    clock.now_s += AGAIN_AFTER_S
    running = asyncio.create_task(keys.run())
    async with asyncio.timeout(FETCH_WITHIN_S):
        while keys.find("second", "ES256") is None:  # noqa: ASYNC110 - a thread does it
            await asyncio.sleep(0.01)
    running.cancel()
    assert keys.find("first", "ES256") is None


def refuse(request: BaseHTTPRequestHandler) -> None:
    send(request, 503)


def not_json(request: BaseHTTPRequestHandler) -> None:
    send(request, 200, b"<html>sign in</html>")


def hang_up(request: BaseHTTPRequestHandler) -> None:
    request.connection.close()


def hang(request: BaseHTTPRequestHandler) -> None:
    request.connection.settimeout(3 * FETCH_WITHIN_S)
    request.rfile.read(1)  # until the other side gives up


def drip(request: BaseHTTPRequestHandler) -> None:
    """Something always comes, and never all of it."""
    with contextlib.suppress(OSError):  # the other side has given up
        for _ in range(round(3 * FETCH_WITHIN_S / 0.1)):
            request.wfile.write(b"HTTP/1.1 200 OK\r\nX-"[:1])
            request.wfile.flush()
            time.sleep(0.1)


def endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    for _ in range(4 * MAX_BYTES // 1024):
        request.wfile.write(b" " * 1024)


@pytest.mark.parametrize("fails", [refuse, not_json, hang_up, hang, drip, endless])
async def test_an_outage_refuses_nobody_whose_key_is_known(
    issuer: KeyServer,
    monkeypatch: pytest.MonkeyPatch,
    fails: Callable[[BaseHTTPRequestHandler], None],
) -> None:
    keys, clock = keys_at(issuer)
    assert await knows(keys, "first")
    monkeypatch.setattr(jwks_client, "FETCH_WITHIN_S", LIMIT_S)
    issuer.answer = fails
    clock.now_s += AGAIN_AFTER_S
    began_s = time.monotonic()
    assert not await knows(keys, "second")
    assert time.monotonic() - began_s < FETCH_WITHIN_S
    await until(lambda: keys._fetching is None)
    assert len(issuer.asked) == 2
    assert await knows(keys, "first")
    monkeypatch.setattr(jwks_client, "FETCH_WITHIN_S", FETCH_WITHIN_S)
    issuer.answer = issuer.serve_keys
    issuer.keys.append(jwk("ES256", "second"))
    clock.now_s += AGAIN_AFTER_S
    assert await knows(keys, "second")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(issuer: KeyServer, status: int) -> None:
    with key_server() as elsewhere:
        elsewhere.keys = [jwk("ES256", "theirs")]

        def redirect(request: BaseHTTPRequestHandler) -> None:
            send(request, status, Location=elsewhere.url)

        issuer.answer = redirect
        keys, _ = keys_at(issuer)
        assert not await knows(keys, "theirs")
        assert (len(issuer.asked), elsewhere.asked) == (1, [])


async def test_no_more_is_read_than_is_sane(issuer: KeyServer) -> None:
    issuer.keys = [jwk("ES256", "first", x5c=["A" * MAX_BYTES])]
    keys, _ = keys_at(issuer)
    assert not await knows(keys, "first")


async def test_the_event_loop_goes_on_while_keys_are_fetched(
    issuer: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is answered, and no key read, before the loop has taken many more steps."""
    gates = {"answering": threading.Event(), "reading": threading.Event()}
    opened: list[str] = []

    def pass_through(name: str) -> None:
        reached.append(name)
        if gates[name].wait(FETCH_WITHIN_S):
            opened.append(name)

    def answer(request: BaseHTTPRequestHandler) -> None:
        pass_through("answering")
        issuer.serve_keys(request)

    def read(text: bytes) -> KeySet:
        pass_through("reading")
        return read_key_set(text)

    reached: list[str] = []
    issuer.answer = answer
    monkeypatch.setattr(jwks_client, "read_key_set", read)
    keys, _ = keys_at(issuer)
    fetching = asyncio.create_task(knows(keys, "first"))
    for name, gate in gates.items():
        await until(lambda name=name: name in reached)  # type: ignore[misc]
        for _ in range(100):
            await asyncio.sleep(0)
        gate.set()
    assert await fetching
    assert opened == ["answering", "reading"]


async def test_a_name_server_that_hangs_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither who asked first, nor those who ask when the time is over; nor is it asked again
    before it has answered."""
    asked: list[str] = []
    answers = threading.Event()

    def getaddrinfo(host: str | bytes, *_: object, **hints: object) -> list[object]:
        asked.append(host.decode() if isinstance(host, bytes) else host)
        answers.wait(4 * FETCH_WITHIN_S)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(jwks_client, "FETCH_WITHIN_S", LIMIT_S)
    clock = Clock()
    keys = RemoteKeys("https://login.example.com/jwks", monotonic_s=clock)
    began_s = time.monotonic()
    found = await asyncio.gather(*(knows(keys, f"made up {n}") for n in range(20)))
    assert not any(found)
    assert LIMIT_S / 2 < time.monotonic() - began_s < FETCH_WITHIN_S
    clock.now_s += AGAIN_AFTER_S
    began_s = time.monotonic()
    assert not await knows(keys, "second")
    assert time.monotonic() - began_s < LIMIT_S
    assert asked == ["login.example.com"]
    # The end of the process waits for no thread but those that are no daemons.
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "jwks")
    assert [thread.name for thread in threading.enumerate()].count("jwks") == 1
    answers.set()
    await until(lambda: keys._fetching is None)


async def test_plain_http_never_goes_through_a_proxy(
    issuer: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with key_server() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/jwks.json"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        keys, _ = keys_at(issuer)
        assert await knows(keys, "first")
        assert proxy.asked == []


# --- settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example.com/.well-known/jwks.json",
        "http://localhost:8080/jwks",
        "http://127.0.0.1/jwks",
        "http://127.8.8.8:1/jwks",
        "http://[::1]:8080/jwks",
    ],
)
def test_addresses_that_may_be_fetched(url: str) -> None:
    assert Settings(_env_file=None, jwks_url=url).jwks_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example.com/jwks",
        "http://localhost.example.com/jwks",
        "http://127.0.0.1.example.com/jwks",
        "http://10.0.0.1/jwks",
        "http://[::2]/jwks",
        "http://[::1/jwks",
        "http:///jwks",
        "https:///jwks",
        "ftp://127.0.0.1/jwks",
        "file:///etc/passwd",
        "/etc/passwd",
        "login.example.com",
        "https://ada:secret@login.example.com/jwks",
        "http://127.0.0.1@login.example.com/jwks",
    ],
)
def test_addresses_that_may_not_be_fetched(url: str) -> None:
    with pytest.raises(ValidationError, match="https://"):
        Settings(_env_file=None, jwks_url=url)


def test_one_source_of_keys_and_no_issuer_without_one() -> None:
    with pytest.raises(ValidationError, match="one of the two"):
        Settings(_env_file=None, jwt_public_key=pem("ES256"), jwks_url="https://a.example/")
    for name in ("jwt_issuer", "jwt_audience"):
        alone: dict[str, Any] = {name: "x"}
        with pytest.raises(ValidationError, match="JWKS_URL"):
            Settings(_env_file=None, **alone)


def test_a_public_key_is_given_as_text_or_as_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text(pem("ES256"))
    for given in (pem("ES256"), pem("ES256").replace("\n", "\\n"), str(path)):
        found = foreign_issuer(Settings(_env_file=None, jwt_public_key=given))
        assert found is not None
        assert found.keys.find(None, "ES256") is not None
    assert foreign_issuer(Settings(_env_file=None)) is None


def test_a_key_that_cannot_be_used_stops_the_start_and_is_not_repeated(tmp_path: Path) -> None:
    private = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"
    (tmp_path / "latin").write_bytes(b"\xff")
    for given in (private, pem("RS256", "short"), str(tmp_path / "latin"), "c2VjcmV0", "x" * 5000):
        settings = Settings(_env_file=None, jwt_public_key=given)
        with pytest.raises(SecretError, match="JWT_PUBLIC_KEY") as caught:
            create_app(settings, SimpleNamespace(db=None), "s" * 32)
        assert given not in str(caught.value)
        assert "c2VjcmV0" not in str(caught.value)


# --- a whole server -------------------------------------------------------------------------


def me(server: LiveServer, token: str) -> httpx.Response:
    with server.rest(None) as rest:
        return rest.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"})


async def test_a_login_of_another_issuer_works_everywhere(
    issuer: KeyServer, tmp_path: Path
) -> None:
    """By REST and on sockets; a key that is new is found by whoever brings it first."""
    settings = {"JWKS_URL": issuer.url, "JWT_ISSUER": "https://a.example", "JWT_AUDIENCE": "us"}
    about: dict[str, Any] = {"iss": "https://a.example", "aud": "us"}
    with running_server(tmp_path, MONGODB_URI="memory", **settings) as server:
        first = token_of("ES256", "first", **about)
        assert me(server, first).json()["user"]["id"] == "ada"
        assert me(server, token_of("ES256", "first", iss="x", aud="us")).status_code == 401
        assert me(server, token_of("ES256", "first", iss=about["iss"])).status_code == 401
        boss = token_of("ES256", "first", role="admin", **about)
        with server.rest(None) as rest:
            bearer = {"Authorization": f"Bearer {boss}"}
            assert rest.get("/api/admin/metrics", headers=bearer).status_code == 403
            made = rest.post("/api/sessions", json={}, headers=bearer).json()["session"]["_id"]
        with server.rest("boss", role="admin") as rest:
            assert rest.get("/api/admin/metrics").status_code == 200

        # From now on an unknown key may be looked for again.
        await asyncio.sleep(AGAIN_AFTER_S)
        issuer.keys.append(jwk("ES256", "second"))
        second = token_of("ES256", "second", **about)
        async with connected(server, token=first) as client:
            await client.start(made)
            renewed = await client.ask("auth", "authenticated", token=second)
            assert renewed["expiresAt"].endswith("Z")
            bad = token_of("ES256", "third", **about)
            assert await client.error("auth", token=bad) == "token_invalid"
            await client.ask("stop", "stopped")
        async with connected(server, token=second) as client:
            await client.ask("ping", "pong")
        async with viewing(server, token=second) as client:
            await client.view("/")
        asked = len(issuer.asked)
        for number in range(20):
            assert me(server, token_of("ES256", "first", header={"kid": f"{number}"})).status_code
        assert len(issuer.asked) <= asked + 1


HANGING_NAME_SERVER = """
import socket, time

ask = socket.getaddrinfo

def getaddrinfo(host, *given, **more):
    if host in ("login.example.com", b"login.example.com"):
        time.sleep(60)
    return ask(host, *given, **more)

socket.getaddrinfo = getaddrinfo
"""


async def test_a_server_bears_a_name_server_that_hangs(tmp_path: Path) -> None:
    """Tokens of unknown keys are refused, by REST and on sockets, and it stops as ever."""
    (tmp_path / "sitecustomize.py").write_text(HANGING_NAME_SERVER)
    settings = {"JWKS_URL": "https://login.example.com/jwks", "PYTHONPATH": str(tmp_path)}
    with running_server(tmp_path, MONGODB_URI="memory", **settings) as server:
        answer = await asyncio.to_thread(me, server, token_of("ES256", "first"))
        assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
        async with connected(server, token=token_of("ES256", "first")) as client:
            assert await client.closed() == 4401
        assert "jwks" not in server.log()
        assert await asyncio.to_thread(server.stop) == 0


async def test_sockets_and_requests_wait_for_the_key_of_their_token(
    issuer: KeyServer, tmp_path: Path
) -> None:
    def slow(request: BaseHTTPRequestHandler) -> None:
        time.sleep(3)
        issuer.serve_keys(request)

    issuer.answer = slow
    token = token_of("ES256", "first")

    async def view(server: LiveServer, views: Views) -> str:
        async with viewing(server, token=token) as client:
            shown = await client.view("/")
            await client.ask("leave", "left")
            return str(views.view(shown["viewId"])["userId"])

    async def ping(server: LiveServer) -> None:
        async with connected(server, token=token) as client:
            await client.ask("ping", "pong")

    with page_server(tmp_path, JWKS_URL=issuer.url) as (server, views, _):
        answer, user, _ = await asyncio.gather(
            asyncio.to_thread(me, server, token), view(server, views), ping(server)
        )
        assert (answer.status_code, user, len(issuer.asked)) == (200, "ada", 1)


def test_an_account_cannot_be_named_by_another_issuer(tmp_path: Path) -> None:
    with running_server(tmp_path, MONGODB_URI="memory", JWT_PUBLIC_KEY=pem("RS256")) as server:
        with server.rest(None) as rest:
            body = {"email": "ada@example.com", "password": "correct horse battery"}
            ours = rest.post("/api/auth/signup", json=body).json()
            account = ours["user"]["id"]
            bearer = {"Authorization": f"Bearer {ours['token']}"}
            made = rest.post("/api/sessions", json={}, headers=bearer).json()["session"]["_id"]
        for name in (account, account.upper()):
            for claim in ("sub", "id", "userId"):
                token = token_of("RS256", **{"sub": None, claim: name})
                user = me(server, token).json()["user"]
                assert (user["id"], user["email"]) == (f"foreign:{name}", None)
                with server.rest(None) as rest:
                    bearer = {"Authorization": f"Bearer {token}"}
                    assert rest.get(f"/api/sessions/{made}", headers=bearer).status_code == 404
                    assert rest.get("/api/sessions", headers=bearer).json()["sessions"] == []
        for name in (account, account.upper()):
            with server.rest(None) as rest:
                bearer = {"Authorization": f"Bearer {token_of('RS256', sub=name)}"}
                assert rest.request("DELETE", "/api/me", headers=bearer).status_code == 204
        assert me(server, ours["token"]).json()["user"]["email"] == "ada@example.com"
        with server.rest(None) as rest:
            bearer = {"Authorization": f"Bearer {ours['token']}"}
            assert rest.get(f"/api/sessions/{made}", headers=bearer).status_code == 200
