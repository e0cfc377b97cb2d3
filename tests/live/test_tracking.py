"""Visits, heartbeats, events and what admins see of them, over HTTP against a real server."""

import asyncio
import signal
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from tests.support.live_server import LiveServer, running_server
from tests.support.outage import server_and_hang, signal_database
from tests.support.requirements import embedded_only

ADDRESS, BROWSER = "203.0.113.77", "A-Browser-Nobody-Else-Has/9.7"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    settings = {"TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8", "HEARTBEAT_INTERVAL_SECONDS": "45"}
    with running_server(tmp_path_factory.mktemp("tracking"), **settings) as server:
        yield server


@pytest.fixture
def anyone(server: LiveServer) -> Iterator[httpx.Client]:
    with server.rest(None) as client:
        yield client


@pytest.fixture
def admin(server: LiveServer) -> Iterator[httpx.Client]:
    with server.rest("root", role="admin") as client:
        yield client


@pytest.fixture
def db(server: LiveServer) -> Iterator[Any]:
    with MongoClient[dict[str, Any]](server.mongodb_uri, tz_aware=True) as client:
        yield client[server.database]


def metrics(admin: httpx.Client) -> dict[str, Any]:
    answer = admin.get("/api/admin/metrics")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def new_id() -> str:
    return uuid.uuid4().hex


# --- reporting -----------------------------------------------------------------------------


def test_a_visit_is_stored_before_it_is_answered(
    anyone: httpx.Client, admin: httpx.Client, db: Any
) -> None:
    before, id_ = metrics(admin), new_id()
    for _ in range(3):
        answer = anyone.post("/api/track-visit", json={"sessionId": id_})
        assert (answer.status_code, answer.json()) == (200, {"nextInSeconds": 300})
        assert db.visitor_sessions.count_documents({"_id": id_}) == 1
    after = metrics(admin)
    names = ("totalVisits", "totalVisitors", "visitorsNow", "visitorsToday", "activeVisits")
    assert [after[name] - before[name] for name in names] == [1] * 5


def test_a_heartbeat_needs_a_token_and_makes_one_row(
    server: LiveServer, anyone: httpx.Client, admin: httpx.Client, db: Any
) -> None:
    refused = anyone.post("/api/heartbeat")
    assert refused.status_code == 401
    assert refused.headers["Content-Type"] == "application/problem+json"
    before, user = metrics(admin)["activeUsersNow"], new_id()
    with server.rest(user) as client:
        for _ in range(2):
            answer = client.post("/api/heartbeat")
            assert (answer.status_code, answer.json()) == (200, {"nextInSeconds": 45})
    assert metrics(admin)["activeUsersNow"] == before + 1
    assert db.user_presence.count_documents({"_id": user}) == 1


@pytest.mark.parametrize("type_", ["login", "signup", "app_open", "action"])
def test_events_are_counted_by_type(admin: httpx.Client, db: Any, type_: str) -> None:
    before = metrics(admin)
    name = f"Aktion ✓ {new_id()}"
    answer = admin.post("/api/track-event", json={"type": type_, "actionName": name})
    assert (answer.status_code, answer.content) == (204, b"")
    row = db.activity_events.find_one({"action_name": name})
    assert (row["event_type"], row["user_id"]) == (type_, "root")
    assert abs((datetime.now(UTC) - row["created_at"]).total_seconds()) < 5
    after = metrics(admin)
    field = {"login": "logins", "signup": "signups", "app_open": "appOpens", "action": "actions"}
    for part in ("activityByDay", "dailyActivity"):
        if field[type_] in after[part][-1]:
            assert after[part][-1][field[type_]] == before[part][-1][field[type_]] + 1
    grown = after["monthlyLogins"][-1]["logins"] - before["monthlyLogins"][-1]["logins"]
    assert grown == (type_ == "login")


@pytest.mark.parametrize("authorization", [None, "Bearer nonsense", "Basic eDp5"])
def test_an_event_without_a_valid_token_is_nobodys(
    anyone: httpx.Client, db: Any, authorization: str | None
) -> None:
    name = new_id()
    headers = {} if authorization is None else {"Authorization": authorization}
    body = {"type": "action", "actionName": name}
    assert anyone.post("/api/track-event", json=body, headers=headers).status_code == 204
    assert db.activity_events.find_one({"action_name": name})["user_id"] is None


def test_signing_up_and_in_here_books_no_event(anyone: httpx.Client, db: Any) -> None:
    before = db.activity_events.count_documents({})
    body = {"email": f"{new_id()}@example.com", "password": "correct horse"}
    for how in ("signup", "login"):
        assert anyone.post(f"/api/auth/{how}", json=body).is_success
    assert db.activity_events.count_documents({}) == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/track-visit", {}),
        ("/api/track-visit", {"sessionId": ""}),
        ("/api/track-visit", {"sessionId": "x" * 129}),
        ("/api/track-visit", {"sessionId": "a\u0000b"}),
        ("/api/track-visit", {"sessionId": {"$ne": 1}}),
        ("/api/track-visit", {"sessionId": "x", "userId": "y"}),
        ("/api/track-event", {}),
        ("/api/track-event", {"type": "logout"}),
        ("/api/track-event", {"type": "action", "actionName": "x" * 129}),
        ("/api/track-event", {"type": "login", "createdAt": "2020-01-01T00:00:00Z"}),
    ],
)
def test_what_breaks_the_rules_is_refused(
    anyone: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    answer = anyone.post(path, json=body)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_body"


async def test_many_at_once_are_all_stored(server: LiveServer, db: Any) -> None:
    ids = [new_id() for _ in range(200)]

    async with httpx.AsyncClient(base_url=server.url, timeout=20, verify=False) as client:

        async def visit_all(ids: list[str]) -> set[int]:
            answers = [await client.post("/api/track-visit", json={"sessionId": i}) for i in ids]
            return {answer.status_code for answer in answers}

        shares = [ids[n::20] for n in range(20)] * 2
        statuses = await asyncio.gather(*(visit_all(share) for share in shares))
    assert set().union(*statuses) == {200}
    assert db.visitor_sessions.count_documents({"_id": {"$in": ids}}) == 200


# --- privacy -------------------------------------------------------------------------------


def test_addresses_and_browsers_are_nowhere_but_as_hashes(
    server: LiveServer, anyone: httpx.Client, db: Any
) -> None:
    def visit(forwarded: str, browser: str = BROWSER) -> tuple[str, str]:
        id_ = new_id()
        headers = {"X-Forwarded-For": forwarded, "User-Agent": browser}
        answer = anyone.post("/api/track-visit", json={"sessionId": id_}, headers=headers)
        assert answer.status_code == 200
        row = db.visitor_sessions.find_one({"_id": id_})
        return row["ip_hash"], row["ua_hash"]

    mine = visit(ADDRESS)
    assert visit(f"198.51.100.9, {ADDRESS}, 10.1.1.1") == mine  # spoofed, and a second proxy
    assert visit("203.0.113.78")[0] != mine[0]
    assert visit(ADDRESS, "Other/1")[1] != mine[1]
    anyone.post("/api/track-visit", content=b"{", headers={"X-Forwarded-For": ADDRESS})
    stored = "".join(str(row) for name in db.list_collection_names() for row in db[name].find())
    for secret in (ADDRESS, BROWSER, "127.0.0.1"):
        assert secret not in stored
    for secret in (ADDRESS, BROWSER):
        assert secret not in server.log()


# --- admins ----------------------------------------------------------------------------------


def test_admins_alone_get_in(server: LiveServer, anyone: httpx.Client) -> None:
    paths = anyone.get("/openapi.json").json()["paths"]
    routes = [
        (method, path.replace("{user}", "ada"))
        for path, item in paths.items()
        if path.startswith("/api/admin")
        for method in item
    ]
    assert len(routes) >= 4
    for method, path in routes:
        refused = anyone.request(method, path)
        assert (refused.status_code, refused.json()["code"]) == (401, "token_missing")
        assert "WWW-Authenticate" in refused.headers
        for role in (None, "user", "Admin", "admin "):
            with server.rest("ada", role=role) as client:
                answer = client.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (403, "admin_only")
            assert answer.headers["Content-Type"] == "application/problem+json"
        if method == "get":
            with server.rest("somebody", role="admin") as client:
                assert client.get(path).status_code == 200


def test_users_and_their_sessions(server: LiveServer, admin: httpx.Client) -> None:
    with server.rest(new_id()) as client:  # somebody for the next page
        client.post("/api/heartbeat").raise_for_status()
    user = f"auth0|{new_id()}/x"
    with server.rest(user) as client:
        sessions = [
            client.post("/api/sessions", json={"contentId": user}).json()["session"]
            for _ in range(3)
        ]
        for status, session in zip(("completed", "cancelled"), sessions, strict=False):
            body = {"elapsedSeconds": 1500, "activeSeconds": 1500, "idleSeconds": 0}
            assert client.put(f"/api/sessions/{session['_id']}", json=body).is_success
            path = f"/api/sessions/{session['_id']}/end"
            assert client.put(path, json={"status": status}).is_success
    page = admin.get("/api/admin/users", params={"limit": 1}).json()
    (found,) = page["users"]
    assert found.pop("firstSeenAt")
    assert found == {
        "id": user,
        "email": None,
        "name": None,
        "role": None,
        "sessions": 3,
        "completedSessions": 1,
        "focusedSeconds": 3000,
        "elapsedSeconds": 3000,
        "meanFocusScore": 100.0,
    }
    following = admin.get("/api/admin/users", params={"cursor": page["nextCursor"]}).json()
    assert user not in [each["id"] for each in following["users"]]
    path = f"/api/admin/users/{user}/sessions"
    first = admin.get(path, params={"limit": 2}).json()
    rest = admin.get(path, params={"limit": 2, "cursor": first["nextCursor"]}).json()
    ids = [session["_id"] for session in first["sessions"] + rest["sessions"]]
    assert ids == [session["_id"] for session in reversed(sessions)]
    assert admin.get("/api/admin/users/nobody/sessions").json() == {
        "sessions": [],
        "nextCursor": None,
    }
    focus = admin.get("/api/admin/metrics/sessions").json()
    assert {"contentId": user, "sessions": 2, "focusedHours": 0.83} in focus["topContent"]
    assert focus["byDay"][-1]["ended"] >= 2


# --- the database is gone --------------------------------------------------------------------


def test_while_the_database_hangs_nothing_is_acknowledged_that_is_not_stored(
    tmp_path: Path,
) -> None:
    with server_and_hang(tmp_path) as (server, hang), server.rest("ada") as client:
        assert client.post("/api/track-visit", json={"sessionId": "before"}).status_code == 200
        hang.begin()
        try:
            for path, body in (
                ("/api/track-visit", {"sessionId": "meanwhile"}),
                ("/api/heartbeat", None),
                ("/api/track-event", {"type": "action"}),
            ):
                answer = client.post(path, json=body)
                assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
                assert answer.headers["Retry-After"]
        finally:
            hang.end()
        for id_ in ("before", "meanwhile", "after"):
            assert client.post("/api/track-visit", json={"sessionId": id_}).status_code == 200
        with MongoClient[dict[str, Any]](server.mongodb_uri) as mongo:
            rows = mongo[server.database].visitor_sessions.find()
            assert {row["_id"] for row in rows} == {"before", "meanwhile", "after"}


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    embedded_only("kills its process")
    with running_server(tmp_path) as server:
        ids = [new_id() for _ in range(50)]
        with server.rest("ada") as client:
            for id_ in ids:
                client.post("/api/track-visit", json={"sessionId": id_}).raise_for_status()
            client.post("/api/heartbeat").raise_for_status()
        signal_database(server, signal.SIGKILL)
        server.kill()
        server.start()
        with server.rest("root", role="admin") as client:
            found = metrics(client)
        assert (found["totalVisits"], found["activeUsersNow"]) == (50, 1)
