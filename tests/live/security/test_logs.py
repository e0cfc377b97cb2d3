"""Secrets and tokens are in no log and in no answer, whoever writes it and whatever fails."""

import asyncio
import contextlib
import io
import json
import logging
import time
import timeit
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog

from focusup.logs import configure_logs, redact
from tests.support.database_programs import until
from tests.support.issuers import by_hand, hmac_by, token_of
from tests.support.live_server import LiveServer, running_server
from tests.support.page_client import viewing
from tests.support.server import SECRET
from tests.support.socket_client import connected

PASSWORD = "correct horse battery"
CLAIMS = {"sub": "ada", "exp": 1}
JWTS = [
    token_of("EdDSA"),
    by_hand({"alg": "HS256"}, CLAIMS, hmac_by(b"x")),
    by_hand(b'{ "alg": "HS256" }', CLAIMS, hmac_by(b"x")),
    by_hand(b'{\n "alg": "HS256" }', CLAIMS, hmac_by(b"x")),
    by_hand({"alg": "none"}, CLAIMS, lambda _: b""),
]
REFRESH = f"{'aB3-' * 5}_9.{'Zz_8' * 10}xyz"
VISITOR = f"{'0a' * 16}.{'f9' * 16}"


def shown(token: str) -> list[str]:
    """The parts of a token that may be nowhere."""
    return [part for part in token.split(".")[1:] if part]


@pytest.mark.parametrize("token", JWTS)
@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "?token={}",
        "?a=b&token={}&c=d",
        "x bearer.{}, y",
        "Authorization: Bearer {}",
        "('{}')",
        "Bearer%20{}",
        "a\\n{}\\n",
        "eyeyeyeyeyey_{}",
        "eyeyeyeyeyey.x.{}",
    ],
)
def test_a_token_is_taken_out_wherever_it_stands(token: str, text: str) -> None:
    for found in (redact(text.format(token)), redact(["x", {"y": text.format(token)}])):
        assert "[redacted]" in str(found)
        assert not any(part in str(found) for part in shown(token))


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"refreshToken {REFRESH}", REFRESH),
        (f"?visitor={VISITOR}&x=1", VISITOR),
        ("?token=opaque", "opaque"),
        ("?token=opaque' HTTP/1.1", "opaque"),
        ("Authorization: Bearer opaque", "opaque"),
        ("mongodb://ada:hunter2@db.example.com/x", "hunter2"),
        ("https://key:hunter2@login.example.com/jwks", "hunter2"),
    ],
)
def test_other_secrets_are_too(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert secret not in json.dumps(redact({"a": (text,)}))


@pytest.mark.parametrize(
    "text",
    [
        "GET /api/sessions?limit=5 200",
        "the key is eventually.consistent",
        "eyes.open",
        "https://example.com/@me",
        "sessionId=5f1",
    ],
)
def test_the_rest_of_a_log_stays_readable(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "piece",
    ["ey", "eyJ-", "eyeyeyeyeyey.", "eyeyeyeyeyey.x.", "x", "://", "token=", ".", "aA.bB-."],
)
@pytest.mark.parametrize("end", ["", ".", ".x", ".abcdef"])
def test_the_time_grows_with_the_text_and_no_faster(piece: str, end: str) -> None:
    """Any client can ask for a long path, and have it logged.

    The ratio is 8 where the time is linear, and 64 where it is quadratic. It is measured anew where
    other work on the machine may have slowed down the longer text alone.
    """

    def fastest_s(count: int) -> float:
        text = piece * count + end
        # The time of this thread alone, whatever else the machine does.
        return min(timeit.repeat(lambda: redact(text), time.thread_time, number=1, repeat=3))

    assert any(fastest_s(64_000) < 32 * fastest_s(8_000) for _ in range(5))


class Odd:
    def __repr__(self) -> str:
        return f"<request ?token={JWTS[0]}>"


@contextlib.contextmanager
def logs(*, terminal: bool) -> Iterator[None]:
    before, raises = logging.getLogger().handlers[:], logging.raiseExceptions
    configure_logs("info", terminal=terminal)
    try:
        yield
    finally:
        logging.getLogger().handlers[:] = before
        logging.raiseExceptions = raises
        structlog.reset_defaults()


def raise_with(text: str) -> None:
    raise RuntimeError(text)


def fail_everywhere(address: str) -> None:
    ours = structlog.get_logger("ours")
    ours.warning("asked", request=Odd(), path=address.encode(), headers=[("Authorization", Odd())])
    for name in ("hypercorn.error", "quart.app", "asyncio", "anything.else"):
        logger = logging.getLogger(name)
        logger.error("Error in %s", address)
        logger.error("Error in %r", Odd(), stack_info=True)
        try:
            try:
                raise_with(f"cause {address}")
            except RuntimeError as error:
                raise ValueError(f"GET {address}", Odd()) from error
        except ValueError:
            logger.exception("failed at %s", address)
            ours.exception("failed", where=address)
    asyncio.get_running_loop().default_exception_handler(
        {"message": address, "exception": RuntimeError(address), "future": Odd()}
    )


@pytest.mark.parametrize("terminal", [True, False])
async def test_tracebacks_and_foreign_loggers_are_redacted(
    terminal: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hypercorn's, Quart's and asyncio's too; on a terminal and in JSON."""
    with logs(terminal=terminal):
        fail_everywhere(f"/ws/sessions?token={JWTS[0]}")
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert text.count("[redacted]") >= 20
    assert not any(part in text for part in shown(JWTS[0]))
    if not terminal:
        assert all(json.loads(line)["event"] for line in text.splitlines())


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError("no space left on device")


async def test_what_cannot_be_written_is_not_shown_either(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python would print the bare arguments of the call."""
    with logs(terminal=False):
        (handler,) = logging.getLogger().handlers
        assert isinstance(handler, logging.StreamHandler)
        monkeypatch.setattr(handler, "stream", Full())
        fail_everywhere(f"/ws/sessions?token={JWTS[0]}")
    assert capsys.readouterr().err == ""


# --- a whole server ----------------------------------------------------------------------------


async def sent_raw(server: LiveServer, *lines: str) -> str:
    """What is answered within a second to what may be no HTTP at all."""
    where = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write("\r\n".join((*lines, "", "")).encode("latin-1"))
    answer = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            while part := await reader.read(65_536):
                answer += part
    writer.close()
    return answer.decode("latin-1")


def signed_in(server: LiveServer) -> dict[str, Any]:
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}
    with server.rest(None) as rest:
        found: dict[str, Any] = rest.post("/api/auth/signup", json=body).json()
        rest.post("/api/auth/login", json=body | {"password": PASSWORD + " wrong"})
    return found


def secrets_of(ada: dict[str, Any]) -> list[str]:
    access = ada["token"].split(".")
    return [access[1], access[2], ada["refreshToken"].split(".")[1], PASSWORD, SECRET]


def asked_badly(server: LiveServer, ada: dict[str, Any]) -> str:
    """All that the server answers to tokens in the wrong places."""
    token, refresh = ada["token"], ada["refreshToken"]
    with server.rest(None) as rest:
        answers = [
            rest.get(f"/api/sessions?token={token}"),
            rest.get(f"/api/nothing?token={token}"),
            rest.get(f"/ws/sessions?token={token}"),
            rest.get("/api/auth/me", headers={"Authorization": f"Bearer {token}x"}),
            rest.get("/api/auth/me", headers={"Authorization": f"Basic {token}"}),
            rest.get("/api/admin/metrics", headers={"Authorization": f"Bearer {token}"}),
            rest.post("/api/auth/refresh", json={"refreshToken": [refresh]}),
            rest.post("/api/auth/refresh", json={"refreshToken": refresh + "x"}),
            rest.post("/api/auth/login", json={"email": token, "password": PASSWORD}),
            rest.post("/api/auth/login", content=f'{{"password": "{PASSWORD}"'.encode()),
            rest.post("/api/auth/logout", json={"refreshToken": refresh + "x"}),
            rest.get("/api/health"),
            rest.get("/openapi.json"),
        ]
    assert {answer.status_code for answer in answers} >= {400, 401, 403, 404, 422, 426}
    return "".join(str(answer.headers) + answer.text for answer in answers)


async def test_no_secret_in_the_log_of_a_server(tmp_path: Path) -> None:
    with running_server(tmp_path, MONGODB_URI="memory", LOG_LEVEL="debug") as server:
        ada = await asyncio.to_thread(signed_in, server)
        token = ada["token"]
        async with connected(server, token=token) as client:
            await client.ask("ping", "pong")
            assert await client.error("auth", token=token + "x") == "token_invalid"
            assert token not in json.dumps(client.heard)
        async with viewing(server, token=token) as page:
            await page.view("/", params={"a": "b"})
        heard = await asyncio.to_thread(asked_badly, server, ada)
        for line in (
            f"GET /ws/sessions?token={token} HTTP/9.9",
            f"GET /ws/sessions?token={token}",
            f"GET /ws/sessions?token={token}\xff\x00 HTTP/1.1",
            f"BREW /{token} HTTP/1.1",
        ):
            heard += await sent_raw(server, line, "Host: x", "Upgrade: websocket")
        ok = ("Host: x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 1")
        heard += await sent_raw(server, f"GET /ws/sessions?token={token} HTTP/1.1", *ok)
    for secret in secrets_of(ada):
        assert secret not in server.log()
        assert secret not in heard


BREAKS = """
import models.accounts.service, routes.api.sockets

async def me(self, identity):
    from quart import request
    raise RuntimeError(f"broken at {request.url} by {dict(request.headers)}")

def offered_identity(socket):
    raise RuntimeError(f"broken at {socket.url} by {dict(socket.headers)}")

models.accounts.service.AccountService.me = me
routes.api.sockets.offered_identity = offered_identity
"""


async def test_no_token_in_the_tracebacks_of_a_server(tmp_path: Path) -> None:
    """One whose handlers fail, and tell in their errors all that they were asked."""
    (tmp_path / "sitecustomize.py").write_text(BREAKS)
    server = LiveServer(tmp_path, MONGODB_URI="memory", PYTHONPATH=str(tmp_path))
    server.start()
    try:
        ada = await asyncio.to_thread(signed_in, server)
        with server.rest(None) as rest:
            bearer = {"Authorization": f"Bearer {ada['token']}"}
            address = f"/api/auth/me?token={ada['token']}"
            answer = await asyncio.to_thread(rest.get, address, headers=bearer)
        assert answer.status_code == 500
        async with connected(server, token=ada["token"], additional_headers=bearer):
            await until(lambda: server.log().count("broken at") >= 2)
    finally:
        server.stop()
    log = server.log()
    assert log.count("Traceback") >= 2
    for secret in secrets_of(ada):
        assert secret not in log
        assert secret not in answer.text
