"""Taking everything along: whole, bounded in memory, and safe to open in a spreadsheet."""

import asyncio
import csv
import io
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest

from focusup.asgi.request_handling import TAKEN_WITHIN_S
from tests.live.test_leaving import Person, a_server
from tests.support.live_server import LiveServer
from tests.support.many_sessions import fill
from tests.support.page_client import NAME, page_server
from tests.support.peer_watch import MEGABYTE, memory_mb, neighbours

EXPORT = "/api/me/export"
GROWTH_MB = 8.0
LATEST_TICK_S = 1.5


def mongo_of(server: LiveServer) -> pymongo.MongoClient[dict[str, Any]]:
    return pymongo.MongoClient(server.mongodb_uri)


@pytest.fixture
def filled(live_server: LiveServer) -> Callable[[int], str]:
    """Makes a user with so many sessions."""

    def make(count: int) -> str:
        user = uuid.uuid4().hex
        with mongo_of(live_server) as mongo:
            fill(mongo[live_server.database], user, count)
        return user

    return make


def export(server: LiveServer, user: str) -> dict[str, Any]:
    with server.rest(user) as rest:
        answer = rest.get(EXPORT)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


async def test_an_export_has_everything(tmp_path: Path) -> None:
    with a_server(tmp_path) as (server, db):
        ada, bob = Person(server, "Adelheid"), Person(server, "Bartholomew")
        for person in (ada, bob):
            await person.live(db)
        with ada.rest() as rest:
            answer = rest.get(EXPORT)
            sessions = rest.get("/api/sessions").json()["sessions"]
            me = rest.get("/api/auth/me").json()["user"]
        whole, text = answer.json(), answer.text
        disposition = answer.headers["content-disposition"]
        assert disposition.startswith("attachment; filename=")
        assert disposition.endswith('.json"')
        assert answer.headers["content-type"] == "application/json"
        assert whole["account"] == me
        assert whole["settings"] == {
            "timeZone": "Europe/Berlin",
            "weekStartsOn": "monday",
            "dayStartsAt": "00:00",
        }
        assert [goals["dailyMinutes"] for goals in whole["goals"]] == [30]
        assert whole["firstSeenAt"] is not None
        assert whole["lastSeenAt"] is not None
        assert whole["signedOutEverywhereAt"] is not None
        assert len(whole["logins"]) == 1
        assert [
            {k: v for k, v in s.items() if k not in ("timeline", "edits")}
            for s in whole["sessions"]
        ] == [
            {**session, "awaySeconds": now["awaySeconds"]}
            for session, now in zip(sessions, whole["sessions"], strict=True)
        ]
        tracked = whole["sessions"][0]
        assert [run["kind"] for run in tracked["timeline"]] == ["active", "away"]
        assert tracked["timeline"][0]["seconds"] == tracked["activeSeconds"] >= 1
        assert [event["actionName"] for event in whole["events"]] == ["read"]
        assert len(whole["visitors"]) == 1
        assert {view["page"] for view in whole["pageViews"]} == {"/before", "/after", "/home"}
        assert len(whole["pageViews"]) == 3
        assert {each["userAgent"] for each in whole["browserSessions"]} == {ada.agent}
        for hidden in (
            "passwordHash",
            "secretHash",
            "argon2",
            "stamp",
            "ip_hash",
            bob.id,
            bob.name,
        ):
            assert hidden not in text


def test_somebody_without_anything_has_an_export(live_server: LiveServer) -> None:
    user = uuid.uuid4().hex
    whole = export(live_server, user)
    assert whole["account"]["id"] == user
    assert [whole[name] for name in ("sessions", "events", "pageViews", "goals")] == [[]] * 4
    with live_server.rest(user) as rest:
        assert rest.get(EXPORT, params={"format": "csv"}).text.count("\r\n") == 1
        head = rest.head(EXPORT)
        assert (head.status_code, head.content) == (200, b"")
        assert rest.get(EXPORT, params={"format": "xml"}).status_code == 422


def test_all_runs_of_a_session_come_along(
    live_server: LiveServer, filled: Callable[[int], str]
) -> None:
    whole = export(live_server, filled(2))
    first = whole["sessions"][-1]
    assert [run["kind"] for run in first["timeline"]] == ["active", "idle"] * 5
    assert sum(run["seconds"] for run in first["timeline"]) == first["elapsedSeconds"] == 600
    assert sum(run["tabSwitches"] for run in first["timeline"]) == first["tabSwitches"] == 5
    assert first["timeline"][0]["startedAt"] == first["startedAt"]


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", '=HYPERLINK("x")', "＝1"],  # noqa: RUF001
)
def test_no_cell_is_a_formula(live_server: LiveServer, text: str) -> None:
    user = uuid.uuid4().hex
    fields = {"title": text, "notes": text, "contentId": text, "tags": [text]}
    with live_server.rest(user) as rest:
        made = rest.post("/api/sessions", json=fields).json()["session"]
        answer = rest.get(EXPORT, params={"format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    (row,) = csv.DictReader(io.StringIO(answer.text, newline=""))
    for name in ("title", "notes", "contentId"):
        assert row[name] == "'" + made[name], name
    (tag,) = made["tags"]
    # A tag with a quote is quoted, and so no formula either.
    assert row["tags"] in ("'" + tag, '"' + tag.replace('"', '""') + '"')


def test_csv_says_what_json_says(live_server: LiveServer) -> None:
    user = uuid.uuid4().hex
    awkward = 'a "quoted", semi;colon\r\nsecond\nline é 📚'
    with live_server.rest(user) as rest:
        for number in range(3):
            fields = {"title": f"{number}", "notes": awkward, "tags": ["x", "y,z"]}
            made = rest.post("/api/sessions", json=fields).json()["session"]
            counters = {"activeSeconds": 60 * number, "tabSwitches": number}
            rest.put(f"/api/sessions/{made['_id']}", json=counters)
            rest.put(f"/api/sessions/{made['_id']}/end")
        rows = list(
            csv.DictReader(io.StringIO(rest.get(EXPORT, params={"format": "csv"}).text, newline=""))
        )
        sessions = rest.get(EXPORT).json()["sessions"]
    assert [row["id"] for row in rows] == [each["_id"] for each in sessions]
    for row, session in zip(rows, sessions, strict=True):
        assert row["notes"] == awkward
        assert row["tags"] == 'x, "y,z"'
        assert (row["edited"], row["idleSeconds"]) == ("true", "0")
        for name in ("activeSeconds", "focusScore", "targetMinutes"):
            assert float(row[name]) == session[name]
        for name in ("createdAt", "endedAt", "status", "timeZone"):
            assert row[name] == session[name]


async def test_others_are_counted_and_memory_does_not_grow(
    live_server: LiveServer, filled: Callable[[int], str]
) -> None:
    await watched_export(live_server, filled(5_000), 5_000)


async def watched_export(server: LiveServer, user: str, count: int) -> dict[str, float]:
    """Export while others are counted; what it took."""
    other = uuid.uuid4().hex
    export(server, other)
    before_mb = most_mb = memory_mb(server)
    began_s = time.monotonic()
    lines = size = 0
    async with (
        neighbours(server, other, count=3) as listening,
        httpx.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        await asyncio.sleep(1.2)
        headers = {"Authorization": f"Bearer {server.token(user)}"}
        async with client.stream("GET", EXPORT, headers=headers) as answer:
            assert "content-length" not in answer.headers
            first_s = None
            async for piece in answer.aiter_bytes():
                first_s = first_s or time.monotonic() - began_s
                size += len(piece)
                lines += piece.count(b'"timeline":')
                most_mb = max(most_mb, memory_mb(server))
        await asyncio.sleep(1.2)
        slowest_s = max(listening.gaps_s)
    assert lines == count
    assert most_mb - before_mb < GROWTH_MB
    assert slowest_s < LATEST_TICK_S
    return {
        "seconds": time.monotonic() - began_s - 2.4,
        "megabytes": size / MEGABYTE,
        "grew_mb": most_mb - before_mb,
        "slowest_tick_s": slowest_s,
    }


def test_it_ends_with_its_client(live_server: LiveServer, filled: Callable[[int], str]) -> None:
    user = filled(5_000)
    host, port = live_server.url.removeprefix("http://").split(":")
    request = (
        f"GET {EXPORT} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {live_server.token(user)}"
        "\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as client:
        client.sendall(request.encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        with live_server.rest(user) as rest:
            busy = rest.get(EXPORT)
            assert (busy.status_code, busy.json()["code"]) == (503, "too_busy")
    deadline = time.monotonic() + 5
    with live_server.rest(user) as rest:
        while rest.get(EXPORT).status_code != 200:
            assert time.monotonic() < deadline, "it goes on without its client"
            time.sleep(0.05)


@pytest.mark.timeout(TAKEN_WITHIN_S + 60)
def test_a_client_that_takes_nothing_is_cut_off(
    live_server: LiveServer, filled: Callable[[int], str]
) -> None:
    user = filled(20_000)
    host, port = live_server.url.removeprefix("http://").split(":")
    request = (
        f"GET {EXPORT} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {live_server.token(user)}"
        "\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as client, live_server.rest(user) as rest:
        client.sendall(request.encode())
        time.sleep(TAKEN_WITHIN_S - 10)
        assert rest.get(EXPORT).status_code == 503
        time.sleep(15)
        assert rest.head(EXPORT).status_code == 200


def test_an_export_that_breaks_off_is_seen_to_be_incomplete(tmp_path: Path) -> None:
    with page_server(tmp_path) as (server, _, database):
        user = uuid.uuid4().hex
        with pymongo.MongoClient[dict[str, Any]](database.uri) as mongo:
            fill(mongo[NAME], user, 5_000)
        with server.rest(user) as rest, rest.stream("GET", EXPORT) as answer:
            pieces = answer.iter_bytes()
            next(pieces)
            database.kill()
            with pytest.raises(httpx.RemoteProtocolError):
                list(pieces)
        assert "answer_cut_off" in server.log()
        database.start()
