"""Every query that the application sends reads little more than what it returns.

The application itself is used on 100,000 rows a collection while the driver tells what it
asks for; each filter is then explained by the database.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pymongo
import pytest
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient

from models.accounts import users
from models.sessions import started_sessions
from models.sessions.session import NewSession, new_document
from tests.support.app_server import AppServer, running_app
from tests.support.commands_seen import Query, Seen, commands_seen
from tests.support.mongod import replica_set_or_skip
from tests.support.page_client import viewing
from tests.support.socket_client import connected
from tests.support.views import a_view

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("explain")]

ROWS = 100_000
USERS = 200
DAYS = 100
DATABASE = "explained"
ME = "user7"
VISITOR = f"{7:032x}"
OTHERWISE = {
    ("users", "{role: ?}"): "`focusup admin list` alone, which a person runs now and then",
}
"""Queries that read more, and why that is right."""

Database = pymongo.database.Database[dict[str, Any]]


def fill(db: Database) -> None:
    """Store rows of every large collection, evenly over users and days.

    The other rows are made of the sessions by the database itself, which is ten times as fast.
    """
    db["sessions"].insert_many(sessions(datetime.now(UTC)), ordered=False)
    for collection, row in OF_SESSIONS.items():
        db["sessions"].aggregate([{"$replaceWith": row}, {"$out": collection}])


def sessions(now: datetime) -> Iterator[dict[str, Any]]:
    """Yield ended sessions; what has no name of theirs is for the rows that are made of them."""
    one = new_document("", NewSession(), stamp="filled.1", now=now)
    one |= {"status": "completed", "elapsedSeconds": 60, "activeSeconds": 60, "focusScore": 4}
    for n in range(ROWS):
        at = now - timedelta(days=DAYS) * n / ROWS
        yield {
            **one,
            "_id": ObjectId(ObjectId.from_datetime(at).binary[:4] + n.to_bytes(8, "big")),
            "userId": f"user{n % USERS}",
            **dict.fromkeys(("createdAt", "startedAt", "endedAt", "updatedAt"), at),
            "n": str(n),
            "itself": f"{n:032x}",
            "visitor": f"{n % USERS:032x}",
            "page": f"/{n % 50}",
        }


AT, USER, TEXT_ID = "$createdAt", "$userId", {"$toString": "$_id"}
OF_SESSIONS: dict[str, dict[str, Any]] = {
    "page_views": {
        **{
            name: {"$literal": value}
            for name, value in a_view(datetime(2026, 1, 1, tzinfo=UTC)).items()
        },
        "_id": "$_id",
        "userId": USER,
        "visitorId": "$visitor",
        "browserSessionId": "$_id",
        "page": "$page",
        "startedAt": AT,
        "endedAt": AT,
    },
    "browser_sessions": {
        "_id": "$_id",
        "visitorId": "$visitor",
        "userId": USER,
        "userAgent": "a browser",
        "startedAt": AT,
    },
    "visitors": {
        "_id": "$itself",
        "userId": USER,
        "firstSeenAt": AT,
        "lastSeenAt": AT,
        "lastViewId": "$_id",
        "browserSessionId": "$_id",
    },
    "visitor_sessions": {
        "_id": TEXT_ID,
        "first_seen_at": AT,
        "last_seen_at": AT,
        "day_seen_at": AT,
    },
    "user_presence": {"_id": TEXT_ID, "last_seen_at": AT},
    "activity_events": {
        "_id": "$_id",
        "user_id": USER,
        "event_type": "action",
        "action_name": "a",
        "created_at": AT,
    },
    "known_users": {"_id": TEXT_ID, "first_seen_at": AT},
    "users": {"_id": "$_id", "email": {"$concat": ["$n", "@example.com"]}, "role": "user"},
    "logins": {
        "_id": TEXT_ID,
        "userId": "$_id",
        "expiresAt": {"$dateAdd": {"startDate": "$$NOW", "unit": "day", "amount": 9}},
    },
    "started_sessions": {"_id": "$_id"},
}


def use_rest(server: AppServer) -> None:
    """Ask for everything that REST offers, as a learner, as an admin and as a page."""
    now = datetime.now(UTC)
    week = {"from": f"{now - timedelta(days=7):%Y-%m-%d}", "to": f"{now:%Y-%m-%d}"}
    with server.rest(ME) as me, server.rest("root", role="admin") as admin:
        me.timeout = admin.timeout = httpx.Timeout(90)

        def get(client: httpx.Client, path: str, **query: Any) -> Any:
            answer = client.get(f"/api{path}", params=query)
            assert answer.status_code == 200, (path, answer.text)
            return answer

        first = get(me, "/sessions", limit=5).json()
        get(me, "/sessions", cursor=first["nextCursor"])
        get(me, "/sessions", status="completed", q="nothing", tag="none", contentId="none")
        get(me, "/sessions", **{"from": f"{now - timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}"})
        known = first["sessions"][0]["_id"]
        get(me, f"/sessions/{known}")
        get(me, f"/sessions/{known}/timeline")
        for path in ("/stats/me", "/stats/me/calendar", "/stats/me/series", "/goals"):
            get(me, path)
        get(me, "/me/settings")
        get(me, "/me/export")
        get(admin, "/stats", **week)
        get(admin, "/stats/pages", **week)
        get(admin, "/stats/pages", by="hour", **week)
        get(admin, f"/stats/visitors/{VISITOR}")
        get(admin, "/admin/metrics")
        get(admin, "/admin/metrics/sessions")
        users_ = get(admin, "/admin/users").json()
        get(admin, "/admin/users", cursor=users_["nextCursor"])
        get(admin, f"/admin/users/{ME}/sessions")
        get(admin, "/admin/page-coefficients")

        def send(client: httpx.Client, method: str, path: str, body: Any = None) -> Any:
            answer = client.request(method, f"/api{path}", json=body)
            assert answer.is_success, (path, answer.text)
            return answer.json() if answer.content else {}

        new = send(me, "POST", "/sessions", {"title": "new"})["session"]["_id"]
        send(me, "PUT", f"/sessions/{new}", {"title": "newer", "status": "paused"})
        send(me, "PUT", f"/sessions/{new}/end", {})
        send(me, "DELETE", f"/sessions/{new}")
        send(me, "PUT", "/goals", {"dailyMinutes": 30})
        send(me, "PUT", "/me/settings", {"timeZone": "Europe/Berlin"})
        get(me, "/stats/me")
        send(me, "POST", "/track-visit", {"sessionId": "a-visit"})
        send(me, "POST", "/heartbeat")
        send(me, "POST", "/track-event", {"type": "action", "actionName": "a"})
        coefficients = {"pattern": "/a/*", "coefficient": 2}
        admin.put("/api/admin/page-coefficients", json=coefficients)
        admin.delete("/api/admin/page-coefficients", params={"pattern": "/a/*"})
        account = {"email": "new@example.com", "password": "correct horse battery"}
        signed = send(me, "POST", "/auth/signup", account)
        signed = send(me, "POST", "/auth/refresh", {"refreshToken": signed["refreshToken"]})
        signed = send(me, "POST", "/auth/login", account)
        me.headers["Authorization"] = f"Bearer {signed['token']}"
        get(me, "/auth/me")
        changed = {"currentPassword": account["password"], "newPassword": "another horse battery"}
        me.put("/api/me/password", json=changed)
        me.post("/api/auth/logout", json={"refreshToken": signed["refreshToken"]})
        me.post("/api/auth/logout-everywhere")
    with server.rest("user8") as leaver:
        # 503: a slow machine goes on with it after the answer.
        assert leaver.delete("/api/me").status_code in (204, 503)


async def use_sockets(server: AppServer) -> None:
    """Track a session and view a page, each for more than a second."""
    with server.rest(ME) as me:
        session = me.post("/api/sessions", json={}).json()["session"]["_id"]
    async with connected(server, ME) as client, viewing(server) as page:
        await client.start(session)
        await page.view("/a")
        await client.next("tick")
        await client.ask("pause", "paused")
        await client.ask("stop", "stopped")
        await page.view("/b")
        await page.ask("leave", "left")


async def use_commands(uri: str) -> None:
    """Call what only jobs and commands call."""
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(uri, tz_aware=True)
    db = client[DATABASE]
    await users.list_admins(db)
    first = (await started_sessions.noted(db, None, 1))[0]
    await started_sessions.noted(db, first, 100)
    client.close()


def examined(db: Database, query: Query) -> tuple[int, int]:
    """Return how many documents the database reads for a query, and how many it returns."""
    find: dict[str, Any] = {"find": query.collection, "filter": query.wanted}
    if query.sort:
        find["sort"] = query.sort
    if query.limit:
        find["limit"] = abs(query.limit)
    stats = db.command("explain", find, verbosity="executionStats")["executionStats"]
    return stats["totalDocsExamined"], stats["nReturned"]


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Seen]]:
    """The filled database, and all that the application has asked of it."""
    directory = tmp_path_factory.mktemp("explained")
    with replica_set_or_skip(nodes=1) as replicas, replicas.client() as client:
        fill(client[DATABASE])
        with (
            commands_seen(DATABASE) as seen,
            running_app(directory, replicas.uri, database=DATABASE) as server,
        ):
            use_rest(server)
            asyncio.run(use_sockets(server))
            asyncio.run(use_commands(replicas.uri))
            yield client[DATABASE], seen


def test_every_query_reads_little_more_than_it_returns(
    explained: tuple[Database, Seen], figures: Any
) -> None:
    db, seen = explained
    wasteful = {}
    for shape, queries in sorted(seen.queries.items()):
        for query in (queries[0], queries[-1]):
            read, returned = examined(db, query)
            if read > 2 * returned + 1:
                wasteful[shape] = (read, returned, query.command)
    figures(shapes=len(seen.queries))
    unexpected = {shape: found for shape, found in wasteful.items() if shape not in OTHERWISE}
    assert not unexpected, unexpected
    assert wasteful.keys() == OTHERWISE.keys(), "not wasteful any more: leave it out of the table"


def test_the_application_was_used(explained: tuple[Database, Seen]) -> None:
    """What was seen covers the collections, so that nothing is right for not being asked."""
    _, seen = explained
    asked = {collection for collection, _ in seen.queries}
    assert asked >= {
        "sessions",
        "page_views",
        "browser_sessions",
        "visitors",
        "visitor_sessions",
        "user_presence",
        "activity_events",
        "known_users",
        "users",
        "logins",
    }
