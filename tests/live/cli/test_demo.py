"""`focusup demo`: beside a server that runs, and without one."""

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pymongo
import pytest
from click.testing import CliRunner, Result
from motor.motor_asyncio import AsyncIOMotorClient

from focusup.cli import main
from focusup.demo.profile import ZONE
from models.page_statistics.rollup_job import ClosedPeriods
from models.privacy.deletions import SETTLED_AFTER
from tests.support.live_server import LiveServer

EMAIL = "demo@focusup.test"
WITHIN_S = 15.0
LONGEST_S = 20.0
"""A few seconds, on a machine that is not busy."""


pytestmark = pytest.mark.usefixtures("bare_environment")


def demo(*arguments: str) -> Result:
    return CliRunner().invoke(main, ("demo", *arguments), catch_exceptions=False)


def made(*arguments: str) -> str:
    """Its password."""
    began_s = time.monotonic()
    result = demo(*arguments)
    assert result.exit_code == 0, result.output
    assert time.monotonic() - began_s < LONGEST_S
    assert "look at: http://127.0.0.1:5000/me\n" in result.stdout
    (password,) = re.findall(r"^password: (\S+)$", result.stdout, re.MULTILINE)
    return str(password)


def sign_in(server: LiveServer, password: str) -> httpx.Client:
    body = {"email": EMAIL, "password": password}
    answer = httpx.post(f"{server.url}/api/auth/login", json=body, timeout=20)
    assert answer.status_code == 200, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['accessToken']}"}
    return httpx.Client(base_url=server.url, headers=headers, timeout=20)


def get(rest: httpx.Client, path: str) -> Any:
    answer = rest.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def close_days(server: LiveServer) -> None:
    """As the server does it at times."""
    client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(server.mongodb_uri, tz_aware=True)
    periods = ClosedPeriods(client[server.database], is_alive=lambda _: False, pause_s=0)
    await periods.close_due(lambda: datetime.now(UTC))
    client.close()


def views(server: LiveServer, expected: int) -> None:
    """The statistics of page views come to this within seconds."""
    deadline = time.monotonic() + WITHIN_S
    with server.rest("boss", role="admin") as rest:
        while (found := get(rest, "/api/stats/pages")["total"]["views"]) != expected:
            assert time.monotonic() < deadline, found
            time.sleep(0.2)


def test_a_learner_has_something_to_look_at(server: LiveServer) -> None:
    with sign_in(server, made()) as rest:
        assert rest.get("/me").status_code == 200
        stats = get(rest, "/api/stats/me")["stats"]
        assert 300 <= stats["endedSessions"] <= 600
        assert stats["currentStreak"] >= 22
        assert stats["goals"]["dailyMinutes"] == 45
        today = datetime.now(ZoneInfo(ZONE)).date()
        days = [
            day
            for year in (today.year - 1, today.year)
            for day in get(rest, f"/api/stats/me/calendar?year={year}")["calendar"]["days"]
        ]
        assert 150 < sum(day["focusedSeconds"] > 0 for day in days) < 330
        span = f"from={today - timedelta(days=365)}&to={today + timedelta(days=1)}"
        hours = get(rest, f"/api/stats/me/series?by=hourOfWeek&{span}")["series"]
        assert hours["total"]["focusedSeconds"] == stats["focusedSeconds"]
        contents = get(rest, f"/api/stats/me/series?by=content&{span}")["series"]
        assert len(contents["shares"]) == 5
        found = get(rest, "/api/sessions?q=PROBLEM&limit=100")["sessions"]
        assert found
        assert all("problem" in str(each["title"]).lower() for each in found)
        for session in get(rest, "/api/sessions?limit=100")["sessions"]:
            timeline = get(rest, f"/api/sessions/{session['_id']}/timeline")["timeline"]
            for kind in ("active", "idle", "paused", "away"):
                told = sum(run["seconds"] for run in timeline["runs"] if run["kind"] == kind)
                assert told == session[f"{kind}Seconds"], (kind, session)


def test_beside_a_server_it_comes_and_goes(server: LiveServer) -> None:
    with (
        pymongo.MongoClient[dict[str, Any]](server.mongodb_uri) as mongo,
        server.rest("boss", role="admin") as boss,
    ):
        db = mongo[server.database]
        boss.post("/api/track-visit", json={"sessionId": "a real one"})
        boss.post("/api/track-event", json={"type": "login"})
        boss.put("/api/goals", json={"dailyMinutes": 5})
        before = get(boss, "/api/admin/metrics")
        views(server, 0)
        rest = sign_in(server, made())
        shown = get(boss, "/api/admin/metrics")
        assert shown["totalVisits"] > 100
        assert shown["visitorsNow"] >= 5
        assert sum(day["logins"] for day in shown["activityByDay"]) > 5
        views(server, db.page_views.count_documents({}))
        asyncio.run(close_days(server))
        views(server, db.page_views.count_documents({}))
        user = db.users.find_one({"email": EMAIL})
        assert user is not None
        sessions = {str(each["_id"]) for each in db.sessions.find({"userId": str(user["_id"])})}

        assert demo("remove").exit_code == 0
        assert get(boss, "/api/admin/metrics") == before
        views(server, 0)
        deadline = time.monotonic() + WITHIN_S
        while rest.get("/api/stats/me").status_code != 401:
            assert time.monotonic() < deadline, "still signed in"
            time.sleep(0.1)
        rest.close()
        db.departures.update_many({}, {"$set": {"leftAt": datetime.now(UTC) - SETTLED_AFTER}})
        while db.departures.find_one({"userId": {"$ne": None}}):
            assert time.monotonic() < deadline, "still known"
            time.sleep(0.1)
        asyncio.run(close_days(server))
        texts = {name: repr(list(db[name].find())) for name in db.list_collection_names()}
        for needle in (str(user["_id"]), EMAIL, "demo", "Demo", *sessions):
            assert [name for name, text in texts.items() if needle in text] == []
        assert db.learners.find_one({"_id": "boss"})


def test_without_a_server(server: LiveServer) -> None:
    server.stop()
    password = made("add", "--seed", "3")
    server.start()
    with sign_in(server, password) as rest:
        assert get(rest, "/api/stats/me")["stats"]["endedSessions"] >= 300
    server.stop()
    assert demo("remove").exit_code == 0
    server.start()
    with pymongo.MongoClient[dict[str, Any]](server.mongodb_uri) as mongo:
        db = mongo[server.database]
        assert [db[name].count_documents({}) for name in ("users", "sessions", "page_views")] == [
            0,
            0,
            0,
        ]


def test_the_year_ends_when_it_should(server: LiveServer) -> None:
    with sign_in(server, made("--until", "2025-06-30")) as rest:
        newest = get(rest, "/api/sessions?limit=1")["sessions"][0]
        assert newest["endedAt"][:10] in ("2025-06-29", "2025-06-30")


def test_somebody_elses_account_is_refused(server: LiveServer) -> None:
    body = {"email": "ada@example.com", "password": "correct horse"}
    assert httpx.post(f"{server.url}/api/auth/signup", json=body, timeout=20).is_success
    for command in ("add", "remove"):
        result = demo(command, "--email", "ada@example.com")
        assert result.exit_code == 1
        assert "is no demonstration" in result.stderr
    assert httpx.post(f"{server.url}/api/auth/login", json=body, timeout=20).is_success
    result = demo("remove")
    assert (result.exit_code, "no demonstration" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--email", "ada"), "must be an e-mail address"),
        (("add", "--until", "2999-01-01"), "must not be in the future"),
        (("add", "--until", "soon"), "does not match"),
        (("frobnicate",), "unexpected extra argument"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], said: str) -> None:
    result = demo(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_help_tells_both_commands() -> None:
    said = demo("--help").stdout
    assert "add" in said
    assert "remove" in said
