"""Leaving: nothing still knows a person who has left, and nobody else has lost anything."""

import asyncio
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient

from models.page_statistics.rollup_job import ClosedPeriods
from models.privacy.deletions import SETTLED_AFTER, Deletions
from models.sessions.queries import new_id
from models.sessions.session import NewSession, ended_fields, new_document
from models.tokens.access_tokens import Identity
from tests.support.live_server import LiveServer
from tests.support.page_client import NAME, page_server, viewing
from tests.support.peer_watch import neighbours
from tests.support.server import SECRET
from tests.support.socket_client import connected
from tests.support.views import a_view

Db = Any
ME = "/api/me"
PASSWORD = "correct horse battery"
ALONE, SHARED, NOTHING = "removed", "made nameless", "knows nobody"
COLLECTIONS = {
    "users": ALONE,
    "logins": ALONE,
    "sessions": ALONE,
    "attendance": ALONE,
    "notices": ALONE,
    "study_periods": ALONE,
    "goals_reached": ALONE,
    "learners": ALONE,
    "known_users": ALONE,
    "user_presence": ALONE,
    "revocations": ALONE,
    "idempotency_keys": ALONE,
    "departures": SHARED,
    "activity_events": SHARED,
    "visitors": SHARED,
    "browser_sessions": SHARED,
    "page_views": SHARED,
    "visitor_sessions": NOTHING,
    "visitor_tallies": NOTHING,
    "pages": NOTHING,
    "page_coefficients": NOTHING,
    "page_rollups": NOTHING,
    "running_counts": NOTHING,
    "attempts": NOTHING,
    "meta": NOTHING,
    "servers": NOTHING,
}
"""What becomes of each: one that is new has to be thought of in `models.privacy.erasure`."""
WITHIN_S = 10.0
LATEST_TICK_S = 1.5


class Person:
    """Somebody with an account and something in every collection."""

    def __init__(self, server: LiveServer, name: str) -> None:
        self.server, self.name = server, name
        self.email = f"{name.lower()}-{uuid.uuid4().hex[:8]}@example.com"
        signup = {"email": self.email, "password": PASSWORD, "name": self.name}
        with server.rest(None) as rest:
            signed_in = rest.post("/api/auth/signup", json=signup).json()
        self.id: str = signed_in["user"]["id"]
        self.token: str = signed_in["accessToken"]
        self.refresh_token: str = signed_in["refreshToken"]
        self.session_ids: list[str] = []
        self.agent = f"agent of {self.name}"
        self.needles = [self.id, self.email, self.name, self.agent]
        for kind in ("notes", "title", "view", "param"):
            self.needles.append(f"{kind} of {self.name}")

    def rest(self) -> httpx.Client:
        client = self.server.rest(None)
        client.headers["Authorization"] = f"Bearer {self.token}"
        return client

    def session(self) -> str:
        fields = {"title": f"title of {self.name}", "notes": f"notes of {self.name}"}
        with self.rest() as rest:
            made = rest.post("/api/sessions", json=fields).json()["session"]
        self._has(made["_id"])
        return str(made["_id"])

    def _has(self, session_id: str) -> None:
        self.session_ids.append(session_id)
        self.needles.append(session_id)

    async def live(self, db: Db) -> None:
        """Leave a trace everywhere."""
        self._sign_out_and_in()
        with self.rest() as rest:
            done = [
                rest.put("/api/goals", json={"dailyMinutes": 30, "sessionsPerDay": 1}),
                rest.put("/api/me/settings", json={"timeZone": "Europe/Berlin"}),
                rest.post("/api/heartbeat"),
                rest.post(
                    "/api/track-event",
                    json={"type": "action", "actionName": "read"},
                    headers={"Idempotency-Key": uuid.uuid4().hex},
                ),
                rest.post("/api/track-visit", json={"sessionId": uuid.uuid4().hex}),
            ]
            assert all(answer.status_code in (200, 204) for answer in done), done
            completed = self.session()
            async with connected(self.server, token=self.token) as client:
                await client.start(completed)
                await client.next("tick")  # a session without a second meets no goal
                await client.ask("stop", "stopped")
                await client.next("goalReached")
            tracked = self.session()
            async with connected(self.server, token=self.token) as client:
                await client.start(tracked)
                await client.next("tick")
            self._lived_long_ago(db)
            assert rest.get("/api/stats/me").json()["stats"]["sessions"]["completed"] == 2
        fields = {"title": f"view of {self.name}", "params": {"who": f"param of {self.name}"}}
        options = {"user_agent_header": self.agent}
        async with viewing(self.server, **options) as client:
            shown = await client.view("/before", **fields)
        key = shown["visitor"]
        async with viewing(self.server, visitor=key, token=self.token, **options) as client:
            await client.view("/after", **fields)
            await client.ask("leave", "left")
        notice = {"to": "nobody", "sessionId": ObjectId(tracked), "what": "look", "value": None}
        db["notices"].insert_one({**notice, "at": datetime.now(UTC)})

    def _sign_out_and_in(self) -> None:
        with self.rest() as rest:
            assert rest.post("/api/auth/logout-everywhere").status_code == 204
            credentials = {"email": self.email, "password": PASSWORD}
            signed_in = rest.post("/api/auth/login", json=credentials).json()
        self.token, self.refresh_token = signed_in["accessToken"], signed_in["refreshToken"]

    def _lived_long_ago(self, db: Db) -> None:
        at = datetime.now(UTC) - timedelta(days=70)
        body = NewSession(title=f"title of {self.name}", notes=f"notes of {self.name}")
        document = new_document(self.id, body, stamp="test.1", now=at)
        document |= ended_fields(document, "completed", at)
        document["_id"] = new_id(at)
        db["sessions"].insert_one(document)
        self._has(str(document["_id"]))
        db["page_views"].insert_one(a_view(at, user=self.id, title=f"view of {self.name}"))


@contextmanager
def a_server(directory: Path) -> Iterator[tuple[LiveServer, Db]]:
    with page_server(directory) as (server, _, database):
        mongo: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(database.uri)
        with mongo:
            yield server, mongo[NAME]


async def close_days(server: LiveServer) -> None:
    """As the server does it at times."""
    client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(server.mongodb_uri, tz_aware=True)
    periods = ClosedPeriods(client[NAME], is_alive=lambda _: False, pause_s=0)
    await periods.close_due(lambda: datetime.now(UTC))
    client.close()


def found(value: Any, needles: Iterable[str]) -> set[str]:
    """Which of them are anywhere in a value: keys, texts, bytes, ids."""
    if isinstance(value, dict):
        return set().union(*(found(each, needles) for item in value.items() for each in item))
    if isinstance(value, list):
        return set().union(*(found(each, needles) for each in value))
    if isinstance(value, bytes):
        ids = [needle for needle in needles if ObjectId.is_valid(needle)]
        inside = {needle for needle in ids if ObjectId(needle).binary in value}
        return inside | {needle for needle in needles if needle.encode() in value}
    return {needle for needle in needles if needle in str(value)}


def knowing(db: Db, needles: Iterable[str]) -> dict[str, set[str]]:
    """The collections that know any of them, and what they know."""
    known = {
        name: found(list(db[name].find()), needles)
        for name in db.list_collection_names()
        if not name.startswith("system.")
    }
    return {name: those for name, those in known.items() if those}


def documents_of(db: Db, person: Person) -> dict[str, list[str]]:
    """All that know this person."""
    return {
        name: sorted(repr(row) for row in db[name].find() if found(row, person.needles))
        for name in COLLECTIONS
    }


def leave(person: Person, **body: str) -> httpx.Response:
    with person.rest() as rest:
        return rest.request("DELETE", ME, json=body)


def settled(db: Db) -> None:
    """Let the moment come at which those who have left are forgotten, and wait for it."""
    past = datetime.now(UTC) - SETTLED_AFTER
    db["departures"].update_many({}, {"$set": {"leftAt": past}})
    deadline = time.monotonic() + WITHIN_S
    while any(row["userId"] for row in db["departures"].find()):
        assert time.monotonic() < deadline, "they are still known"
        time.sleep(0.1)


async def test_nothing_still_knows_who_has_left(tmp_path: Path) -> None:
    with a_server(tmp_path) as (server, db):
        ada, bob = Person(server, "Adelheid"), Person(server, "Bartholomew")
        for person in (ada, bob):
            await person.live(db)
        with server.rest("boss", role="admin") as rest:
            rest.put("/api/admin/page-coefficients", json={"pattern": "/*", "coefficient": 2})
            rest.get("/api/admin/metrics")
            await close_days(server)
        stats = closed_stats(server)
        before = knowing(db, ada.needles)
        assert set(before) == {n for n, what in COLLECTIONS.items() if what != NOTHING} - {
            "departures"
        }
        theirs = documents_of(db, bob)

        assert leave(ada, password=PASSWORD).status_code == 204
        assert set(knowing(db, ada.needles)) <= {"departures"}
        settled(db)
        assert knowing(db, ada.needles) == {}
        assert set(db.list_collection_names()) == set(COLLECTIONS), "think of the new ones"
        assert documents_of(db, bob) == theirs
        assert closed_stats(server) == stats
        names = {row["page"] for row in db["page_views"].find()}
        assert {"/before", "/after"} <= names
        assert db["activity_events"].count_documents({}) == 2


def closed_stats(server: LiveServer) -> dict[str, Any]:
    """Of days that were closed long ago."""
    today = datetime.now(UTC).date()
    first, end = today - timedelta(days=75), today - timedelta(days=65)
    with server.rest("boss", role="admin") as rest:
        answer = rest.get("/api/stats", params={"from": str(first), "to": str(end)})
        stats: dict[str, Any] = answer.json()["stats"]
    assert stats["users"] == 2
    return {name: value for name, value in stats.items() if name != "asOf"}


async def test_sockets_are_closed_and_tokens_end(tmp_path: Path) -> None:
    with a_server(tmp_path) as (server, db):
        ada = Person(server, "Adelheid")
        running, paused = ada.session(), ada.session()
        async with (
            connected(server, token=ada.token) as counting,
            connected(server, token=ada.token) as pausing,
            connected(server, token=ada.token) as idle,
            viewing(server, token=ada.token) as reader,
        ):
            await counting.start(running)
            await pausing.start(paused)
            await pausing.ask("pause", "paused")
            view = await reader.view("/here", title="view of Adelheid")
            await counting.next("tick")
            answer = await asyncio.to_thread(leave, ada, password=PASSWORD)
            assert answer.status_code == 204
            for client in (counting, pausing, idle, reader):
                assert await client.closed() == 4404
        with ada.rest() as rest:
            for refused in (
                rest.get("/api/sessions"),
                rest.post("/api/sessions", json={}),
                rest.post("/api/heartbeat"),
                rest.put("/api/goals", json={"dailyMinutes": 30}),
                rest.get("/api/auth/me"),
                rest.get(f"{ME}/export"),
            ):
                assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")
            body = {"refreshToken": ada.refresh_token}
            assert rest.post("/api/auth/refresh", json=body).status_code == 401
            event = {"type": "action", "actionName": "late"}
            assert rest.post("/api/track-event", json=event).status_code == 204
        async with connected(server, token=ada.token) as client:
            assert await client.closed() == 4401
        async with viewing(server, token=ada.token) as client:
            await client.view("/late")
            await client.ask("leave", "left")
        assert leave(ada).status_code == 204
        assert leave(ada, password="another").status_code == 204
        settled(db)
        assert knowing(db, ada.needles) == {}
        stored = db["page_views"].find_one({"_id": ObjectId(view["viewId"])})
        assert (stored["page"], stored["status"], stored["userId"]) == ("/here", "ended", None)
        credentials = {"email": ada.email, "password": PASSWORD}
        with server.rest(None) as rest:
            assert rest.post("/api/auth/login", json=credentials).status_code == 401
            again = rest.post("/api/auth/signup", json=credentials)
            assert again.status_code == 201
            assert again.json()["user"]["id"] != ada.id


@pytest.mark.parametrize("body", [{}, {"password": "wrong"}])
def test_the_password_is_needed(live_server: LiveServer, body: dict[str, str]) -> None:
    ada = Person(live_server, "Adelheid")
    session = ada.session()
    answer = leave(ada, **body)
    assert (answer.status_code, answer.json()["code"]) == (403, "password_wrong")
    assert answer.headers["content-type"] == "application/problem+json"
    with ada.rest() as rest:
        assert rest.get(f"/api/sessions/{session}").status_code == 200
        assert rest.get("/api/auth/me").json()["user"]["email"] == ada.email


def test_who_has_no_account_needs_no_password_and_may_come_back(tmp_path: Path) -> None:
    with a_server(tmp_path) as (server, db):
        user = uuid.uuid4().hex
        with server.rest(user) as rest:
            old = rest.headers["Authorization"]
            assert rest.post("/api/sessions", json={}).status_code == 201
            assert rest.request("DELETE", ME).status_code == 204
        settled(db)
        assert knowing(db, [user]) == {}
        # As it was; the server reads it again, and a token is issued at a whole second.
        db["departures"].update_many({}, {"$set": {"leftAt": datetime.now(UTC)}})
        time.sleep(2.5)
        with server.rest(user) as rest:
            made = rest.post("/api/sessions", json={}).json()["session"]["_id"]
            assert db["known_users"].find_one({"_id": user}) is not None
            late = rest.request("DELETE", ME, headers={"Authorization": old})
            assert late.status_code == 204
            assert rest.get(f"/api/sessions/{made}").status_code == 200
            refused = rest.get("/api/sessions", headers={"Authorization": old})
            assert refused.status_code == 401


def test_a_removal_that_was_cut_off_is_finished(tmp_path: Path) -> None:
    with a_server(tmp_path) as (server, db):
        ada = Person(server, "Adelheid")
        ada.session()
        server.kill()
        now = datetime.now(UTC)
        identity = Identity(ada.id, now + timedelta(hours=1))

        async def begin() -> None:
            client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(server.mongodb_uri)
            departures = Deletions(client[NAME], SECRET, 3600)
            await departures.begin(identity, now - SETTLED_AFTER, had_account=True)
            client.close()

        asyncio.run(begin())
        assert knowing(db, [ada.id])
        server.start()
        with ada.rest() as rest:
            assert rest.get("/api/sessions").status_code == 401
        settled(db)
        assert knowing(db, ada.needles) == {}
        row = db["departures"].find_one()
        assert row["expiresAt"] is not None


async def test_another_server_hears_of_it(tmp_path: Path) -> None:
    with a_server(tmp_path) as (server, db):
        other = LiveServer(
            tmp_path / "other", MONGODB_URI=server.mongodb_uri, MONGODB_DATABASE=NAME
        )
        other.log_path.parent.mkdir()
        other.start()
        try:
            ada = Person(server, "Adelheid")
            session = ada.session()
            async with (
                connected(other, token=ada.token) as tracking,
                connected(other, token=ada.token) as idle,
                viewing(other, token=ada.token) as reader,
            ):
                await tracking.start(session)
                await tracking.ask("pause", "paused")
                await reader.view("/here", title="view of Adelheid")
                answer = await asyncio.to_thread(leave, ada, password=PASSWORD)
                assert answer.status_code == 204
                for client in (tracking, idle, reader):
                    assert await client.closed() == 4404
            settled(db)
            assert knowing(db, ada.needles) == {}
            with other.rest(None) as rest:
                headers = {"Authorization": f"Bearer {ada.token}"}
                assert rest.get("/api/sessions", headers=headers).status_code == 401
        finally:
            other.stop()


@pytest.mark.timeout(300)
async def test_others_are_counted_while_somebody_with_much_leaves(tmp_path: Path) -> None:
    with a_server(tmp_path) as (server, db):
        user = uuid.uuid4().hex
        begin = datetime.now(UTC) - timedelta(days=1000)
        instants = [begin + number * timedelta(hours=1) for number in range(20_000)]
        for at in range(0, len(instants), 2000):
            part = instants[at : at + 2000]
            db["sessions"].insert_many(
                [
                    {
                        **new_document(user, NewSession(), stamp="test.1", now=instant),
                        "_id": new_id(instant),
                    }
                    for instant in part
                ]
            )
            db["page_views"].insert_many([a_view(instant, user=user) for instant in part])
        async with neighbours(server, "eve", count=5) as listening:
            await asyncio.sleep(2.5)
            with server.rest(user) as rest:
                answers = []
                while 204 not in answers:
                    answer = await asyncio.to_thread(rest.request, "DELETE", ME)
                    answers.append(answer.status_code)
                    assert answer.status_code == 204 or answer.json()["code"] == "leaving"
            await asyncio.sleep(1.5)
            assert max(listening.gaps_s) < LATEST_TICK_S, max(listening.gaps_s)
        print(len(answers), "requests; slowest tick", max(listening.gaps_s))
        assert knowing(db, [user]).keys() <= {"departures"}
