"""Bad input of every kind, to every REST route and in every socket message.

Each gets a 4xx problem or an `error` message; the server logs no traceback and lives on.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.server import Server
from tests.support.socket_client import SocketClient, connected

SESSIONS = "/api/sessions"
OPERATOR = {"$gt": ""}
HUGE = 10**400
DEEP = 100_000


@pytest.fixture(autouse=True)
def _unharmed(live_server: Server) -> Iterator[None]:
    yield
    with live_server.rest(None) as anyone:
        health = anyone.get("/api/health")
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert "Traceback" not in live_server.log()


def new_session(rest: httpx.Client) -> str:
    return str(rest.post(SESSIONS, json={}).json()["session"]["_id"])


def stored(rest: httpx.Client, session_id: str) -> dict[str, Any]:
    session: dict[str, Any] = rest.get(f"{SESSIONS}/{session_id}").json()["session"]
    return session


def problem(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    """The problem that an answer is."""
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert (
        {"type", "title", "status", "detail", "code"}
        <= set(found)
        <= {*("type", "title", "status", "detail", "code", "errors")}
    )
    assert found["status"] == answer.status_code
    assert found["code"] == found["code"].lower() != ""
    return found


# --- bodies, to every route that reads one ------------------------------------------------

WITH_A_BODY = {
    "signup": ("POST", "/api/auth/signup"),
    "login": ("POST", "/api/auth/login"),
    "refresh": ("POST", "/api/auth/refresh"),
    "logout": ("POST", "/api/auth/logout"),
    "create": ("POST", SESSIONS),
    "change": ("PUT", SESSIONS + "/{id}"),
    "end": ("PUT", SESSIONS + "/{id}/end"),
    "reassign": ("POST", SESSIONS + "/{id}/reassign"),
}
BODY_NEEDED = ("signup", "login", "refresh", "reassign")

BROKEN_BODIES: dict[str, tuple[bytes, int, str]] = {
    "blank": (b" ", 400, "invalid_json"),
    "no JSON": (b"targetMinutes=25", 400, "invalid_json"),
    "cut off": (b'{"status": "comp', 400, "invalid_json"),
    "two values": (b"{} {}", 400, "invalid_json"),
    "trailing comma": (b'{"title": "a",}', 400, "invalid_json"),
    "single quotes": (b"{'title': 'a'}", 400, "invalid_json"),
    "a comment": (b"{} // none", 400, "invalid_json"),
    "not UTF-8": (b'{"title": "\xff\xfe"}', 400, "invalid_json"),
    "UTF-16": ("{}".encode("utf-16"), 400, "invalid_json"),
    "a raw NUL": (b'{"title": "\x00"}', 400, "invalid_json"),
    "NUL bytes": (b"\x00" * 100, 400, "invalid_json"),
    "a lone surrogate as a name": (rb'{"\udc00": 1}', 422, "invalid_body"),
    "deep arrays": (b"[" * 60_000, 400, "invalid_json"),
    "deep objects": (b'{"tags":' * 8_000, 400, "invalid_json"),
    "deep in a field": (b'{"title":' + b"[" * 30_000 + b"]" * 30_000 + b"}", 400, "invalid_json"),
    "100,000 brackets": (b"[" * DEEP + b"]" * DEEP, 413, "body_too_large"),
    "1 MB of a string": (b'{"notes":"' + b"x" * 1_000_000 + b'"}', 413, "body_too_large"),
    "1 MB of blanks": (b" " * 1_000_000, 413, "body_too_large"),
    "a form in parts": (b"--x\r\nContent-Disposition: form-data\r\n\r\n", 400, "invalid_json"),
    "an array": (b"[]", 422, "invalid_body"),
    "a string": (b'"title"', 422, "invalid_body"),
    "a number": (b"1", 422, "invalid_body"),
    "NaN": (b"NaN", 422, "invalid_body"),
    "null": (b"null", 422, "invalid_body"),
    "an unknown field": (b'{"admin": true}', 422, "invalid_body"),
    "an operator": (b'{"$gt": ""}', 422, "invalid_body"),
    "an internal field": (b'{"stamp": "x", "owner": "me", "carryMs": 1}', 422, "invalid_body"),
    "a field of the server": (b'{"userId": "x", "focusScore": 100}', 422, "invalid_body"),
    "a long unknown name": (b'{"' + b"x" * 60_000 + b'": 1}', 422, "invalid_body"),
    "a prototype": (b'{"__proto__": {"tracked": true}}', 422, "invalid_body"),
    "the name in Python": (b'{"target_minutes": 5}', 422, "invalid_body"),
}


def send(rest: httpx.Client, route: str, id_: str, body: bytes) -> httpx.Response:
    method, path = WITH_A_BODY[route]
    headers = {"Content-Type": "application/json"}
    return rest.request(method, path.format(id=id_), content=body, headers=headers)


@pytest.mark.parametrize("kind", BROKEN_BODIES)
@pytest.mark.parametrize("route", WITH_A_BODY)
def test_a_broken_body(rest: httpx.Client, route: str, kind: str) -> None:
    body, status, code = BROKEN_BODIES[kind]
    session = new_session(rest)
    before = stored(rest, session)
    answer = send(rest, route, session, body)
    assert problem(answer, status)["code"] == code
    assert len(answer.content) < 8_000
    assert stored(rest, session) == before


@pytest.mark.parametrize("route", BODY_NEEDED)
def test_no_body_where_one_is_needed(rest: httpx.Client, route: str) -> None:
    assert problem(send(rest, route, "f" * 24, b""), 400)["code"] == "body_missing"


def test_a_large_body_of_unknown_length(rest: httpx.Client) -> None:
    chunks = (b"x" * 50_000 for _ in range(20))
    assert problem(rest.post(SESSIONS, content=chunks), 413)["code"] == "body_too_large"


@pytest.mark.parametrize(
    ("method", "path", "length", "status"),
    [
        ("PATCH", "/api/health", 2, 405),
        ("POST", "/api/nothing", 2, 404),
        ("POST", SESSIONS, 2, 401),
        ("POST", "/api/auth/login", 1_000_000, 413),
    ],
)
async def test_an_early_refusal_keeps_the_connection(
    live_server: Server, method: str, path: str, length: int, status: int
) -> None:
    host, _, port = live_server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n"
    for part in (head.encode(), *[b"x" * (length // 2)] * 2):
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.05)  # so that the server reads it alone
    assert (await asyncio.wait_for(answered(reader), 5))[0] == status
    writer.write(f"GET /api/health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert (await asyncio.wait_for(answered(reader), 5))[0] == 200
    writer.close()


async def answered(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next answer on a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"(?i)^content-length: (\d+)", head, re.MULTILINE)
    assert length, head
    return int(head.split()[1]), await reader.readexactly(int(length[1]))


# --- fields -------------------------------------------------------------------------------

NUMBERS_THAT_ARE_NONE = [OPERATOR, [], [1], "", "5", "NaN", True]
TEXTS_THAT_ARE_NONE = [OPERATOR, [], ["a"], 0, 1.5, HUGE, False, float("nan")]
NO_TARGETS = [
    *(*NUMBERS_THAT_ARE_NONE, None, 0, -1, -0.0, 1440.001, HUGE, -HUGE),
    *(float("nan"), float("inf"), float("-inf")),
]
NO_COUNTERS = [
    *(*NUMBERS_THAT_ARE_NONE, None, -1, 1.5, 1e300, 2**31, 2**63, HUGE, -HUGE),
    *(float("nan"), float("inf"), float("-inf")),
]
NO_STATUSES = [*TEXTS_THAT_ARE_NONE, "", "Completed", "completed ", "completed\0", "x" * 5000]
NO_PASSWORDS = [*TEXTS_THAT_ARE_NONE, None, "", "x" * 5_000]
NO_EMAILS = [
    *(*TEXTS_THAT_ARE_NONE, None, "", "ada", "@example.test", "ada@", "a b@example.test"),
    *("ada@example.test\0", "ada\n@example.test", "ada@example.test,b@example.test"),
    "a" * 300 + "@example.test",
]
NO_SHORT_TEXTS = [*TEXTS_THAT_ARE_NONE, "x" * 201]
NO_TAGS = [
    *(OPERATOR, None, "tag", 1, HUGE, [OPERATOR], [1], [None], [""], [["a"]]),
    *(["x" * 51], ["a"] * 21, {"0": "a"}),
]
METADATA_FIELDS: dict[str, list[Any]] = {
    "targetMinutes": NO_TARGETS,
    "contentId": NO_SHORT_TEXTS,
    "title": NO_SHORT_TEXTS,
    "tags": NO_TAGS,
    "notes": [*TEXTS_THAT_ARE_NONE, "x" * 5001],
}
BAD_FIELDS: dict[str, dict[str, list[Any]]] = {
    "signup": {
        "email": NO_EMAILS,
        "password": [*NO_PASSWORDS, "seven77"],
        "name": [*TEXTS_THAT_ARE_NONE, "", "x" * 101],
        "timeZone": [*TEXTS_THAT_ARE_NONE, None, "", "Mars/Olympus", "../../etc/passwd"],
    },
    "login": {"email": NO_EMAILS, "password": NO_PASSWORDS},
    "refresh": {"refreshToken": [*TEXTS_THAT_ARE_NONE, None, "", "x" * 513]},
    "logout": {"refreshToken": [*TEXTS_THAT_ARE_NONE, "", "x" * 513]},
    "create": METADATA_FIELDS,
    "change": {
        **METADATA_FIELDS,
        "elapsedSeconds": NO_COUNTERS,
        "activeSeconds": NO_COUNTERS,
        "idleSeconds": NO_COUNTERS,
        "tabSwitches": NO_COUNTERS,
        "status": [*NO_STATUSES, "completed", "abandoned", "cancelled"],
    },
    "end": {"status": [*NO_STATUSES, "active", "paused"]},
    "reassign": {
        "startedAt": [
            *TEXTS_THAT_ARE_NONE,
            None,
            "",
            "yesterday",
            "2026-01-31",
            "2026-01-31T09:30",
        ],
        "reason": [*TEXTS_THAT_ARE_NONE, None, "", "x" * 501],
    },
}
GOOD_BODIES: dict[str, dict[str, Any]] = {
    "signup": {"email": "nobody@example.test", "password": "long enough"},
    "login": {"email": "nobody@example.test", "password": "long enough"},
    "refresh": {"refreshToken": "a.b"},
    "reassign": {"startedAt": "2026-01-31T09:30:00Z", "reason": "I was there"},
}


@pytest.mark.parametrize(
    ("route", "field"), [(route, field) for route, fields in BAD_FIELDS.items() for field in fields]
)
def test_a_bad_field(rest: httpx.Client, route: str, field: str) -> None:
    session = new_session(rest)
    before = stored(rest, session)
    for value in BAD_FIELDS[route][field]:
        body = json.dumps({**GOOD_BODIES.get(route, {}), field: value}).encode()
        found = problem(send(rest, route, session, body), 422)
        assert found["code"] == "invalid_body", value
        assert {error["field"].partition(".")[0] for error in found["errors"]} == {field}, value
        assert "Olympus" not in json.dumps(found)
    assert stored(rest, session) == before
    assert len(rest.get(SESSIONS).json()["sessions"]) == 1


@pytest.mark.parametrize("route", BODY_NEEDED)
def test_a_missing_field(rest: httpx.Client, route: str) -> None:
    for field in GOOD_BODIES[route]:
        body = {name: value for name, value in GOOD_BODIES[route].items() if name != field}
        found = problem(send(rest, route, "f" * 24, json.dumps(body).encode()), 422)
        assert [error["field"] for error in found["errors"]] == [field]


@pytest.mark.parametrize(
    "token", ["x", "null", "a.b", "\0", "\u00e9", ".", "$gt", "A" * 22 + "." + "B" * 43]
)
def test_a_refresh_token_that_is_none(rest: httpx.Client, token: str) -> None:
    answer = rest.post("/api/auth/refresh", json={"refreshToken": token})
    assert problem(answer, 401)["code"] == "refresh_token_invalid"
    assert rest.post("/api/auth/logout", json={"refreshToken": token}).status_code == 204


# --- query strings ------------------------------------------------------------------------

BAD_QUERIES = [
    *("status=", "status=done", "status=ACTIVE", "status[$gt]=", "status[]=active"),
    *("status=active&status=paused", "%7B%22$gt%22:%22%22%7D", "$where=1", "unknown=1"),
    *("limit=", "limit=0", "limit=-1", "limit=101", "limit=1e2", "limit=NaN", "limit=1.5"),
    *("limit=ten", "limit=" + "9" * 400, "limit=0x10", "limit=%00", "limit[$gt]=1"),
    *("cursor=", "cursor=x", "cursor=" + "f" * 23, "cursor=" + "F" * 24, "cursor=" + "f" * 25),
    *("cursor=" + "%00" * 24, "cursor=" + "f" * 24 + "%0A", "cursor[$gt]="),
    *("from=", "from=now", "from=1700000000", "from=2026-13-01", "from=2026-01-01T00:00:00"),
    *("from=2026-02-30T00:00:00Z", "from=0000-01-01T00:00:00Z", "from=99999-01-01T00:00:00Z"),
    *("to=", "to=NaN", "to=Infinity", "to=9999-12-31T23:59:59-23:59", "to[$gt]="),
    *("to=0001-01-01T00:00:00%2B23:59", "tag=", "tag=" + "x" * 51, "tag[$gt]=", "tag=a&tag=b"),
    *("contentId=" + "x" * 201, "contentId[$ne]=x", "from_=2026-01-01T00:00:00Z", "content_id=x"),
]


@pytest.mark.parametrize("query", BAD_QUERIES, ids=lambda query: query[:40])
def test_a_bad_query(rest: httpx.Client, query: str) -> None:
    found = problem(rest.get(f"{SESSIONS}?{query}"), 422)
    assert found["code"] == "invalid_query"
    assert len(found["errors"]) == 1


@pytest.mark.parametrize("text", [*OPERATOR, '{"$gt":""}', "$title", ".*", "'", "\ud800"])
def test_odd_texts_in_a_filter_match_themselves_alone(rest: httpx.Client, text: str) -> None:
    rest.post(SESSIONS, json={"tags": ["other"], "contentId": "other"})
    encoded = quote(text.encode(errors="surrogatepass"))
    if text.isprintable():
        rest.post(SESSIONS, json={"tags": [text], "contentId": text})
        expected = [text]
    else:
        expected = []
    for name in ("tag", "contentId"):
        found = rest.get(f"{SESSIONS}?{name}={encoded}").json()["sessions"]
        assert [session["contentId"] for session in found] == expected


# --- addresses and methods ----------------------------------------------------------------

UNKNOWN_PATHS = [
    *(
        "/x",
        "/assets",
        "/api",
        "/api/",
        "/api/session",
        "/api/sessions/",
        "/api/auth",
        "/api/auth/signup/",
    ),
    *("/api/sessions/x/y", f"/api/sessions/{'f' * 24}/", "/API/sessions", "/api//sessions"),
    *("/api/sessions/../../etc/passwd", "/%00", "/%ff", "/api/sessions/%2e%2e/x", "/" + "x" * 5000),
    *("/docs/..%2f..%2fetc%2fpasswd", "/ws", "/.env", "/api/health/x", "/%F0%9F"),
]


@pytest.mark.parametrize("path", UNKNOWN_PATHS, ids=lambda path: path[:40])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_an_unknown_path(rest: httpx.Client, method: str, path: str) -> None:
    problem(rest.request(method, path), 404)


METHODS = {
    SESSIONS: {"GET", "POST"},
    f"{SESSIONS}/{'f' * 24}": {"GET", "PUT", "DELETE"},
    f"{SESSIONS}/{'f' * 24}/end": {"PUT"},
    f"{SESSIONS}/{'f' * 24}/timeline": {"GET"},
    f"{SESSIONS}/{'f' * 24}/reassign": {"POST"},
    "/api/auth/signup": {"POST"},
    "/api/auth/login": {"POST"},
    "/api/auth/refresh": {"POST"},
    "/api/auth/logout": {"POST"},
    "/api/auth/logout-everywhere": {"POST"},
    "/api/auth/me": {"GET"},
    "/api/health": {"GET"},
    "/api/health/live": {"GET"},
    "/api/health/ready": {"GET"},
    "/ws/sessions": {"GET"},
    "/openapi.json": {"GET"},
    "/docs": {"GET"},
}


@pytest.mark.parametrize("path", METHODS)
def test_a_wrong_method(rest: httpx.Client, path: str) -> None:
    implied = {"OPTIONS", *(["HEAD"] if "GET" in METHODS[path] else [])}
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"} - METHODS[path]:
        answer = rest.request(method, path, content=b"{")
        assert problem(answer, 405)["code"] == "method_not_allowed"
        allowed = {name.strip() for name in answer.headers["allow"].split(",")}
        assert allowed == METHODS[path] | implied


def test_a_plain_request_to_the_address_of_the_socket(rest: httpx.Client) -> None:
    answer = rest.get("/ws/sessions")
    assert problem(answer, 426)["code"] == "upgrade_required"
    assert answer.headers["upgrade"] == "websocket"


# --- socket messages ----------------------------------------------------------------------

UNKNOWN_ID = "f" * 24
MALFORMED: dict[str, tuple[str, str]] = {
    "empty frame": ("", "invalid_message"),
    "blank": (" ", "invalid_message"),
    "no JSON": ("start", "invalid_message"),
    "cut off": ('{"type":"ping"', "invalid_message"),
    "two messages": ('{"type":"ping"}{"type":"ping"}', "invalid_message"),
    "a NUL": ("\0", "invalid_message"),
    "NaN": ("NaN", "invalid_message"),
    "a number": ("1", "invalid_message"),
    "a string": ('"ping"', "invalid_message"),
    "null": ("null", "invalid_message"),
    "an array": ('[{"type":"ping"}]', "invalid_message"),
    "deep arrays": ("[" * 8_000 + "]" * 8_000, "invalid_message"),
    "deep objects": ('{"type":' * 2_000, "invalid_message"),
    "deep in a field": ('{"type":"ping","x":' + "[" * 15_000, "invalid_message"),
    "no type": ("{}", "invalid_message"),
    "unknown type": ('{"type":"explode"}', "unknown_type"),
    "type of the server": ('{"type":"tick"}', "unknown_type"),
    "type in capitals": ('{"type":"PING"}', "unknown_type"),
    "type with a NUL": (r'{"type":"ping\u0000"}', "unknown_type"),
    "long type": ('{"type":"' + "x" * 10_000 + '"}', "unknown_type"),
    "type is null": ('{"type":null}', "unknown_type"),
    "type is a number": ('{"type":1}', "unknown_type"),
    "type is an operator": ('{"type":{"$gt":""}}', "unknown_type"),
    "type is an array": ('{"type":["ping"]}', "unknown_type"),
}


@pytest.mark.parametrize("kind", MALFORMED)
async def test_a_malformed_message(live_server: Server, user: str, kind: str) -> None:
    text, code = MALFORMED[kind]
    async with connected(live_server, user) as client:
        await client.connection.send(text)
        await assert_refused(client, None, code)


async def assert_refused(client: SocketClient, id_: object, code: str) -> None:
    """An error that echoes the id came, and the socket lives on."""
    found = await client.next()
    assert set(found) == {"type", "id", "code", "message", "retryable"}
    assert (found["type"], found["id"], found["retryable"]) == ("error", id_, False)
    assert found["code"] == code
    assert 0 < len(found["message"]) < 400
    await client.ask("ping", "pong")


NO_SESSION_IDS = [None, 1, HUGE, True, OPERATOR, [], [UNKNOWN_ID], float("nan"), "", "x" * 65]
BAD_MESSAGE_FIELDS: dict[str, dict[str, list[Any]]] = {
    "start": {
        "sessionId": NO_SESSION_IDS,
        "updates": ["", "all", 1, OPERATOR, ["tick"]],
        "heartbeatSeconds": [
            *(0, -1, 0.5, 3601, HUGE, "10", True, OPERATOR, []),
            *(float("nan"), float("inf"), float("-inf")),
        ],
    },
    "stop": {"status": ["", "active", "paused", "done", 1, True, OPERATOR, ["completed"]]},
    "auth": {"token": [None, "", 1, HUGE, True, OPERATOR, [], "x" * 8193]},
}


@pytest.mark.parametrize(
    ("type_", "field"), [(type_, field) for type_, f in BAD_MESSAGE_FIELDS.items() for field in f]
)
async def test_a_bad_field_of_a_message(
    live_server: Server, rest: httpx.Client, user: str, type_: str, field: str
) -> None:
    good = {"start": {"sessionId": new_session(rest)}}.get(type_, {})
    async with connected(live_server, user) as client:
        for number, value in enumerate(BAD_MESSAGE_FIELDS[type_][field]):
            await client.send(type_, **{**good, field: value}, id=number)
            await assert_refused(client, number, "invalid_message")
        if type_ in ("start", "auth") and field in ("sessionId", "token"):
            await client.send(type_, id="missing")
            await assert_refused(client, "missing", "invalid_message")


TYPES = ("start", "activity", "tabSwitch", "pause", "resume", "stop", "auth", "ping")
NO_MESSAGE_IDS = ["x" * 65, 1.5, True, OPERATOR, [], 2**53 + 1, HUGE, -HUGE, float("nan")]


@pytest.mark.parametrize("type_", TYPES)
async def test_a_bad_id_of_a_message(live_server: Server, user: str, type_: str) -> None:
    fields = {"start": {"sessionId": UNKNOWN_ID}, "auth": {"token": "x"}}.get(type_, {})
    async with connected(live_server, user) as client:
        for id_ in NO_MESSAGE_IDS:
            await client.send(type_, **fields, id=id_)
            await assert_refused(client, None, "invalid_message")


@pytest.mark.parametrize("id_", ["", "x" * 64, "\0", 0, -(2**53), 2**53])
async def test_the_id_comes_back_in_errors(live_server: Server, user: str, id_: str | int) -> None:
    async with connected(live_server, user) as client:
        for message, code in (
            ({"type": "explode"}, "unknown_type"),
            ({"type": "start"}, "invalid_message"),
            ({"no": "type"}, "invalid_message"),
            ({"type": "stop"}, "not_started"),
            ({"type": "start", "sessionId": UNKNOWN_ID}, "session_not_found"),
            ({"type": "auth", "token": "nonsense"}, "token_invalid"),
        ):
            await client.connection.send(json.dumps({**message, "id": id_}))
            await assert_refused(client, id_, code)


@pytest.mark.parametrize(
    "session_id",
    [UNKNOWN_ID, "0" * 24, "x", "f" * 23, "g" * 24, "f" * 25, "\0" * 24, '{"$gt":""}', "\u00e9"],
)
async def test_an_unknown_session(live_server: Server, user: str, session_id: str) -> None:
    async with connected(live_server, user) as client:
        assert await client.error("start", sessionId=session_id) == "session_not_found"


@pytest.mark.parametrize("type_", TYPES)
async def test_unknown_fields_of_a_message_are_ignored(
    live_server: Server, rest: httpx.Client, user: str, type_: str
) -> None:
    session = new_session(rest)
    fields = {"start": {"sessionId": session}, "auth": {"token": live_server.token(user)}}
    extra = {"elapsedSeconds": 999, "userId": "x", "$set": {"status": "completed"}, "__proto__": 1}
    async with connected(live_server, user) as client:
        await client.start(session)
        await client.send(type_, **fields.get(type_, {}), **extra)
        await client.ask("ping", "pong")
        if type_ == "stop" and "stopped" not in {message["type"] for message in client.heard}:
            await client.next("stopped")  # a ping does not wait for it
        assert "error" not in {message["type"] for message in client.heard}
    found = stored(rest, session)
    assert (found["userId"], found["elapsedSeconds"] < 5) == (user, True)
    assert found["status"] == {"stop": "completed", "pause": "paused"}.get(type_, "active")


# --- socket frames and handshakes ---------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "as_text", "code"),
    [
        (b'{"type":"ping"}', False, 1003),
        (b"", False, 1003),
        (b"\xff\xfe", True, 1007),
        (b'{"type":"ping","x":"' + b"x" * 20_000 + b'"}', True, 1009),
        (b"x" * 1_000_000, False, 1009),
    ],
    ids=["binary", "empty binary", "not UTF-8", "20 KB", "1 MB of binary"],
)
async def test_a_frame_that_ends_the_connection(
    live_server: Server, rest: httpx.Client, user: str, frame: bytes, as_text: bool, code: int
) -> None:
    session = new_session(rest)
    async with connected(live_server, user) as client:
        await client.start(session)
        await client.connection.send(frame, text=as_text)
        assert await client.closed() == code
    assert stored(rest, session)["status"] == "active"


async def test_ten_malformed_messages_in_a_row_end_the_connection(
    live_server: Server, user: str
) -> None:
    async with connected(live_server, user) as client:
        for _ in range(2):  # a good one in between begins the count anew
            for _ in range(9):
                await client.connection.send("nonsense")
            await client.ask("ping", "pong")
        client.heard.clear()
        for _ in range(10):
            await client.connection.send("{}")
        assert await client.closed() == 4400
        assert [message["type"] for message in client.heard] == ["error"] * 10


BAD_TOKENS = ["", "x", "a.b.c", "null", "\0", "{}", '{"$gt":""}', "\u00e9", "x" * 6_000]


@pytest.mark.parametrize("token", BAD_TOKENS, ids=lambda token: ascii(token)[:20])
async def test_a_bad_token_in_the_handshake(live_server: Server, token: str) -> None:
    for name in ("token", "token[$gt]"):
        async with connect(f"{live_server.ws_url}?{name}={quote(token)}") as connection:
            await connection.wait_closed()
            assert connection.close_code == 4401


@pytest.mark.parametrize("path", ["/ws", "/ws/", "/ws/sessions//", "/ws/session", "/api/sessions"])
async def test_a_socket_at_an_unknown_path(live_server: Server, path: str) -> None:
    url = live_server.url.replace("http", "ws") + path + f"?token={live_server.token()}"
    with pytest.raises(InvalidStatus, match="HTTP 40"):
        await connect(url)
