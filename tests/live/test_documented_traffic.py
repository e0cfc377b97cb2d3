"""Real traffic against both documents: every request and answer over REST by the OpenAPI
document, every frame of both sockets by the AsyncAPI document."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.live_server import LiveServer, running_server
from tests.support.outage import server_and_hang
from tests.support.page_client import viewing
from tests.support.recorded import Frames, Requests
from tests.support.socket_client import SocketClient, connected, new_session, tracked_for_a_moment

PASSWORD = "correct horse"
OF_EVERY_BODY = {400: b"{", 413: b'"' + b"x" * 65_536 + b'"', 422: b'{"none":1}'}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp("documented")) as server:
        yield server


# --- REST -------------------------------------------------------------------------------


def signed_in_again(client: httpx.Client, account: dict[str, str]) -> dict[str, str]:
    token = client.post("/api/auth/login", json=account).json()["token"]
    return {"Authorization": f"Bearer {token}"}


def accounts(requests: Requests) -> None:
    with requests.client(None) as client:
        account = {"email": "ada@example.com", "password": PASSWORD, "timeZone": "Europe/Berlin"}
        assert client.post("/api/auth/signup", json=account).status_code == 201
        assert client.post("/api/auth/signup", json=account).status_code == 409
        del account["timeZone"]
        signed_in = client.post("/api/auth/login", json=account).json()
        wrong = {**account, "password": "something else"}
        assert client.post("/api/auth/login", json=wrong).status_code == 401
        given = {"refreshToken": signed_in["refreshToken"]}
        fresh = client.post("/api/auth/refresh", json=given).json()
        assert client.post("/api/auth/refresh", json={"refreshToken": "x"}).status_code == 401
        bearer = {"Authorization": f"Bearer {fresh['token']}"}
        assert client.get("/api/auth/me", headers=bearer).status_code == 200
        assert client.get("/api/auth/me").status_code == 401
        assert client.get("/api/auth/me", headers={"Authorization": "Bearer x"}).status_code == 401
        assert client.post("/api/auth/logout").status_code == 401
        given = {"refreshToken": fresh["refreshToken"]}
        assert client.post("/api/auth/logout", json=given).status_code == 204
        assert client.post("/api/auth/logout-everywhere", headers=bearer).status_code == 401
        bearer = signed_in_again(client, account)
        assert client.post("/api/auth/logout-everywhere", headers=bearer).status_code == 204
        bearer = signed_in_again(client, account)
        new = {"currentPassword": PASSWORD, "newPassword": PASSWORD}
        for change, status in ((new, 204), ({**new, "currentPassword": "no"}, 403)):
            answer = client.put("/api/me/password", headers=bearer, json=change)
            assert answer.status_code == status
        common = {**new, "newPassword": "password"}
        assert client.put("/api/me/password", headers=bearer, json=common).status_code == 422
        refused = client.request("DELETE", "/api/me", headers=bearer, json={"password": "no"})
        assert refused.status_code == 403
        left = client.request("DELETE", "/api/me", headers=bearer, json={"password": PASSWORD})
        assert left.status_code == 204
        assert client.get("/api/auth/me", headers=bearer).status_code == 401


def sessions(requests: Requests) -> None:
    with requests.client("grace") as client:
        answer = client.post("/api/sessions", json={"title": "Chapter 3", "tags": ["algebra"]})
        path = f"/api/sessions/{answer.json()['session']['_id']}"
        nothing = "/api/sessions/" + "0" * 24
        tracked_for_a_moment(requests.server, path.rpartition("/")[2], "grace")
        time.sleep(1.1)  # to be away for a second
        for status in ("paused", "active"):
            assert client.put(path, json={"status": status}).status_code == 200
        inconsistent = {"elapsedSeconds": 1, "activeSeconds": 2, "idleSeconds": 3}
        assert client.put(path, json=inconsistent).status_code == 422
        run = {"startedAt": "2026-01-31T09:27:00Z", "reason": "on paper"}
        assert client.post(f"{path}/reassign", json=run).status_code == 409
        for _ in range(2):
            assert client.put(f"{path}/end").status_code == 200
        assert client.put(f"{path}/end", json={"status": "cancelled"}).status_code == 409
        assert client.put(path, json={"status": "active"}).status_code == 409
        timeline = client.get(f"{path}/timeline").json()["timeline"]
        assert client.post(f"{path}/reassign", json=run).status_code == 404
        (away, *_) = (each for each in timeline["runs"] if each["kind"] == "away")
        run["startedAt"] = away["startedAt"]
        assert client.post(f"{path}/reassign", json=run).status_code == 200
        assert client.post(f"{path}/reassign", json=run).status_code == 409
        assert client.put(path, json={"activeSeconds": 60, "idleSeconds": 0}).status_code == 200
        assert client.get(f"{path}/timeline").json()["timeline"]["edits"]
        assert client.get(path).json()["session"]["edited"]
        searched: dict[str, str | int] = {"q": "chapter", "tag": "algebra", "limit": 1}
        for query in ({}, searched, {"status": "paused"}):
            assert client.get("/api/sessions", params=query).status_code == 200
        assert client.get("/api/sessions", params={"limit": 0}).status_code == 422
        assert client.get(nothing).status_code == 404
        assert client.put(nothing, json={"title": "x"}).status_code == 404
        assert client.put(f"{nothing}/end").status_code == 404
        assert client.get(f"{nothing}/timeline").status_code == 404
        assert client.delete(nothing).status_code == 404
        assert client.get("/api/me/export").status_code == 200
        assert client.get("/api/me/export", params={"format": "csv"}).status_code == 200
        assert client.get("/api/me/export", params={"format": "xml"}).status_code == 422
        assert client.delete(path).status_code == 204


def learners(requests: Requests) -> None:
    with requests.client("grace") as client:
        goals = {"dailyMinutes": 30, "sessionsPerDay": 2}
        assert client.put("/api/goals", json=goals).status_code == 200
        assert client.get("/api/goals").status_code == 200
        zone = {"timeZone": "Europe/Berlin"}
        assert client.put("/api/me/settings", json=zone).status_code == 200
        assert client.get("/api/me/settings").status_code == 200
        assert client.get("/api/stats/me").status_code == 200
        for by in ("day", "week", "month", "hourOfWeek", "content", "tag"):
            assert client.get("/api/stats/me/series", params={"by": by}).status_code == 200
        assert client.get("/api/stats/me/series", params={"by": "x"}).status_code == 422
        assert client.get("/api/stats/me/calendar").status_code == 200
        assert client.get("/api/stats/me/calendar", params={"year": 1}).status_code == 422


def tracking(requests: Requests) -> str:
    """The visitor that has viewed something."""
    with requests.client("grace") as client:
        assert client.post("/api/track-visit", json={"sessionId": "v"}).status_code == 200
        assert client.post("/api/heartbeat").status_code == 200
        assert client.post("/api/track-event", json={"type": "login"}).status_code == 204
        view = {"view": "a", "sequence": 0, "page": "/a", "visibleSeconds": 0, "engagedSeconds": 0}
        elsewhere = {"Origin": "https://example.com"}
        refused = client.post("/api/track-engagement", json=view, headers=elsewhere)
        assert refused.status_code == 403
        key: str = client.post("/api/track-engagement", json=view).json()["visitor"]
        return key


def administration(requests: Requests, visitor: str) -> None:
    coefficients = "/api/admin/page-coefficients"
    visitor_id = visitor.partition(".")[0]
    readable = (
        *("/api/admin/metrics", "/api/admin/metrics/sessions", "/api/admin/users"),
        *("/api/admin/users/grace/sessions", coefficients, "/api/stats", "/api/stats/pages"),
    )
    with requests.client("root", role="admin") as client:
        coefficient = {"pattern": "/a*", "coefficient": 2}
        assert client.put(coefficients, json=coefficient).status_code == 200
        for path in (*readable, f"/api/stats/visitors/{visitor_id}"):
            assert client.get(path).status_code == 200
        assert client.get("/api/stats/pages", params={"by": "week"}).status_code == 422
        assert client.get("/api/stats/visitors/nobody").status_code == 404
        pattern = {"pattern": "/a*"}
        assert client.delete(coefficients, params=pattern).status_code == 204
        assert client.delete(coefficients, params=pattern).status_code == 404
    with requests.client("grace") as client:
        for path in readable:
            assert client.get(path).status_code == 403
    with requests.client(None) as client:
        asked = client.get(f"/api/stats/visitors/{visitor_id}", params={"visitor": visitor})
        assert asked.status_code == 200


def health(requests: Requests) -> None:
    with requests.client(None) as client:
        for path in ("/api/health", "/api/health/live", "/api/health/ready"):
            assert client.get(path).status_code == 200


def what_is_wrong_with_any(requests: Requests, visitor: str) -> None:
    """No token, and bodies that break each rule, to every operation."""
    of_paths = {"session_id": "0" * 24, "user": "grace", "visitor": visitor.partition(".")[0]}
    paths = requests.document["paths"].items()
    with requests.client(None) as nobody, requests.client("root", role="admin") as admin:
        for path, item in paths:
            for method, operation in item.items():
                address = path.format(**of_paths)
                if {"bearer": []} in operation.get("security", ()):
                    nobody.request(method, address)
                if "requestBody" in operation:
                    for status, body in OF_EVERY_BODY.items():
                        answer = admin.request(method, address, content=body)
                        assert answer.status_code == status, (method, path)


def test_requests_and_answers_are_as_documented(server: LiveServer) -> None:
    requests = Requests(server)
    accounts(requests)
    sessions(requests)
    learners(requests)
    visitor = tracking(requests)
    administration(requests, visitor)
    health(requests)
    what_is_wrong_with_any(requests, visitor)
    operations = {
        f"{method.upper()} {path}"
        for path, item in requests.document["paths"].items()
        for method in item
    }
    succeeded = {name for name, seen in requests.seen.items() if seen & {200, 201, 204}}
    assert succeeded == operations
    assert {code for seen in requests.seen.values() for code in seen} >= {
        *("email_taken", "invalid_credentials", "refresh_token_invalid", "password_wrong"),
        *("token_missing", "token_invalid", "admin_only", "origin_not_allowed"),
        *("session_not_found", "run_not_found", "visitor_not_found", "coefficient_not_found"),
        *("session_ended", "session_not_ended", "run_not_reassignable"),
        *("invalid_json", "invalid_body", "invalid_query", "body_too_large"),
        "counters_inconsistent",
    }


def test_a_request_that_is_not_documented_is_seen(server: LiveServer) -> None:
    requests = Requests(server)
    with requests.client(None) as client, pytest.raises(AssertionError, match="not documented"):
        client.get("/api/nothing")
    del requests.document["paths"]["/api/health"]["get"]["responses"]["200"]
    with requests.client(None) as client, pytest.raises(KeyError):
        client.get("/api/health")


# --- sockets ----------------------------------------------------------------------------


async def refusals(frames: Frames, client: SocketClient) -> None:
    """Texts that are no messages, and messages that break a rule."""
    for text in ("{", "[]", "{}", '{"type":"fly","id":1}', '{"type":"ping","id":[]}'):
        await client.connection.send(text)
        assert (await client.next("error"))["code"] in {"invalid_message", "unknown_type"}
    assert await client.error("auth", token="nonsense") == "token_invalid"


async def a_session(server: LiveServer, frames: Frames, user: str) -> None:
    """All that one connection can say and hear of its session."""
    session, other = new_session(server, user, targetMinutes=0.03), new_session(server, user)
    token = server.token(user, ttl_s=25)
    async with connected(server, user, token=token) as connection:
        client = frames.watch(connection)
        await client.next("expiring")
        for type_ in ("tabSwitch", "pause", "resume", "stop"):
            assert await client.error(type_) == "not_started"
        assert await client.error("start", sessionId="0" * 24) == "session_not_found"
        await client.ask("auth", "authenticated", token=server.token(user))
        await client.start(session, heartbeatSeconds=30)
        assert await client.error("start", sessionId=other) == "already_tracking"
        await client.send("activity")
        await client.send("tabSwitch")
        assert (await client.ask("ping", "pong"))["serverTime"]
        await client.next("tick")
        await client.next("targetReached")
        async with connected(server, user) as second:
            tab = frames.watch(second)
            await tab.start(session, updates="change")
            await client.ask("pause", "paused")
            await tab.next("paused")
            await tab.ask("resume", "resumed")
            await client.next("resumed")
            await refusals(frames, client)
            await client.ask("stop", "stopped")
            await tab.next("stopped")
            assert await tab.error("stop") == "session_ended"
        await client.next("goalReached")
        await client.send("auth", token=server.token("somebody else"))
        assert (await client.next("error"))["code"] == "wrong_subject"
        frames.closed(await client.closed())


async def idle_and_back(server: LiveServer, frames: Frames, user: str) -> None:
    session = new_session(server, user, idleMode=5)
    async with connected(server, user) as connection:
        client = frames.watch(connection)
        await client.start(session, updates="change")
        assert (await client.next("state"))["idle"]
        with server.rest(user) as rest:
            rest.delete(f"/api/sessions/{session}")
        frames.closed(await client.closed())


async def taken_over(server: LiveServer, frames: Frames, user: str, directory: Path) -> None:
    """By another server on the same database."""
    session = new_session(server, user)
    shared = {"MONGODB_URI": server.mongodb_uri, "MONGODB_DATABASE": server.database}
    with running_server(directory, **shared) as other:
        async with connected(server, user) as connection, connected(other, user) as second:
            client = frames.watch(connection)
            await client.start(session)
            await frames.watch(second).start(session)
            await client.next("superseded")
            frames.closed(await client.closed())


async def test_frames_of_sessions_are_as_documented(
    server: LiveServer, user: str, tmp_path: Path
) -> None:
    frames = Frames(server, "sessions")
    with server.rest(user) as rest:
        rest.put("/api/goals", json={"sessionsPerDay": 1}).raise_for_status()
    await a_session(server, frames, user)
    await idle_and_back(server, frames, user)
    await taken_over(server, frames, user, tmp_path)
    assert frames.seen == (frames.heard | frames.said) - {"degraded", "recovered"}
    assert frames.codes == {
        *("not_started", "session_not_found", "already_tracking", "session_ended"),
        *("invalid_message", "unknown_type", "token_invalid", "wrong_subject"),
    }


async def test_frames_of_page_views_are_as_documented(server: LiveServer, user: str) -> None:
    frames = Frames(server, "pageviews")
    async with viewing(server, token=server.token(user)) as client:
        frames.watch(client)
        for type_ in ("visible", "hidden", "leave"):
            assert await client.error(type_) == "not_started"
        await client.view("/a", params={"article": 7}, title="A", updates="tick")
        await client.send("activity")
        await client.next("tick")
        await client.send("hidden")
        await client.send("visible")
        await client.ask("auth", "authenticated", token=server.token(user))
        await client.ask("ping", "pong")
        await refusals(frames, client)
        await client.ask("leave", "left")
    assert frames.seen == (frames.heard | frames.said) - {"degraded", "recovered"}
    assert frames.codes == {"not_started", "invalid_message", "unknown_type", "token_invalid"}


async def test_frames_of_an_outage_are_as_documented(tmp_path: Path) -> None:
    with server_and_hang(tmp_path) as (server, hang):
        of_sessions, of_views = Frames(server, "sessions"), Frames(server, "pageviews")
        session = new_session(server)
        async with connected(server) as client, viewing(server) as page:
            of_sessions.watch(client)
            of_views.watch(page)
            await client.start(session)
            await page.view("/a")
            requests = Requests(server)
            hang.begin()
            try:
                await client.next("degraded", within_s=9)
                await page.next("degraded", within_s=9)
                with requests.client("ada") as rest:
                    answer = await asyncio.to_thread(rest.post, "/api/heartbeat")
                assert answer.json()["code"] == "database_unavailable"
            finally:
                hang.end()
            await client.next("recovered", within_s=15)
            await page.next("recovered", within_s=15)
        assert {"degraded", "recovered"} <= of_sessions.seen & of_views.seen


async def test_a_frame_that_is_not_documented_is_seen(server: LiveServer, user: str) -> None:
    frames = Frames(server, "sessions")
    pong = frames.document["components"]["schemas"]["Pong"]
    pong["properties"]["serverTime"] = {"type": "integer"}
    async with connected(server, user) as connection:
        with pytest.raises(Exception, match="is not of type"):
            await frames.watch(connection).ask("ping", "pong")
