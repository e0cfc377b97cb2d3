"""What a learner gets: statistics, goals, zones and idle modes, from a real server."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from pymongo import MongoClient

from tests.support.app_server import AppServer, running_app
from tests.support.database_programs import until
from tests.support.embedded import shared_uri
from tests.support.server import Server
from tests.support.socket_client import connected
from tests.support.study import past_session

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_app(tmp_path_factory.mktemp("learners"), shared_uri()) as server:
        yield server


@pytest.fixture
def db(server: Server) -> Iterator[Any]:
    with MongoClient[dict[str, Any]](server.mongodb_uri, tz_aware=True) as client:
        yield client[server.database]


def new_session(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post("/api/sessions", json=fields)
    assert answer.status_code == 201, answer.text
    session: dict[str, Any] = answer.json()["session"]
    return session


def stats_of(client: httpx.Client) -> dict[str, Any]:
    answer = client.get("/api/stats/me")
    assert answer.status_code == 200, answer.text
    stats: dict[str, Any] = answer.json()["stats"]
    return stats


def series_of(client: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = client.get("/api/stats/me/series", params=query)
    assert answer.status_code == 200, answer.text
    series: dict[str, Any] = answer.json()["series"]
    return series


# --- statistics -----------------------------------------------------------------------------


def test_without_sessions_there_are_zeros(server: Server) -> None:
    with server.rest("nobody yet") as client:
        stats = stats_of(client)
        numbers = ("focusedSeconds", "currentStreak", "longestStreak", "endedSessions")
        assert [stats[name] for name in numbers] == [0] * 4
        assert stats["completionRate"] is stats["meanFocusScore"] is None
        assert len(series_of(client)["points"]) == 30
        assert len(client.get("/api/stats/me/calendar?year=2028").json()["calendar"]["days"]) == 366


async def test_stopped_brings_the_statistics_and_they_are_those_of_rest(server: Server) -> None:
    user = "stopping"
    with server.rest(user) as client:
        session = new_session(client, targetMinutes=1, contentId="algebra", tags=["exam"])
        async with connected(server, user) as tab, connected(server, user) as other:
            await tab.start(session["_id"])
            await other.start(session["_id"])
            await tab.next("tick")
            await tab.next("tick")
            stopped = await tab.ask("stop", "stopped")
            told = await other.next("stopped")
        stats = stats_of(client)
    assert stopped["stats"] == told["stats"] == stats
    ended = stopped["session"]
    assert stats["sessions"]["completed"] == stats["completedSessions"] == 1
    assert (stats["currentStreak"], stats["longestStreak"]) == (0, 0)  # not a minute
    assert stats["focusedSeconds"] == ended["activeSeconds"] >= 2
    assert stats["lastFocusScore"] == stats["bestFocusScore"] == stopped["focusScore"]
    assert stats["today"]["focusedSeconds"] == stats["week"]["focusedSeconds"]
    with server.rest(user) as client:
        for by in ("content", "tag"):
            (share,) = series_of(client, by=by)["shares"]
            assert share["focusedSeconds"] == ended["activeSeconds"]
            assert share["name"] == {"content": "algebra", "tag": "exam"}[by]


async def test_a_running_session_is_in_the_statistics(server: Server) -> None:
    with server.rest("running") as client:
        session = new_session(client)
        async with connected(server, "running") as tab:
            await tab.start(session["_id"])
            await tab.next("tick")
            await until(lambda: stats_of(client)["today"]["focusedSeconds"] >= 2)
            assert stats_of(client)["sessions"]["active"] == 1


def test_every_series_comes_to_the_same_total(server: Server, db: Any) -> None:
    now = datetime.now(UTC)
    contents = [None, "algebra", "history"]
    db.sessions.insert_many(
        past_session(
            "series",
            now - number * timedelta(hours=31) - timedelta(hours=2),
            active=600 + number,
            idle=number,
            zone="America/New_York" if number % 2 else "Asia/Tokyo",
            content=contents[number % 3],
        )
        for number in range(60)
    )
    with server.rest("series") as client:
        since, to = (now - 90 * DAY).date(), (now + 2 * DAY).date()
        found = {
            by: series_of(client, **{"by": by, "from": str(since), "to": str(to)})
            for by in ("day", "week", "month", "hourOfWeek", "content", "tag")
        }
        stats = stats_of(client)
    total = sum(600 + number for number in range(60))
    assert stats["focusedSeconds"] == total
    assert {each["total"]["focusedSeconds"] for each in found.values()} == {total}
    for by in ("day", "week", "month"):
        assert sum(point["focusedSeconds"] for point in found[by]["points"]) == total
        assert sum(point["endedSessions"] for point in found[by]["points"]) == 60
    assert len(found["day"]["points"]) == (to - since).days
    weeks = {point["date"]: point["focusedSeconds"] for point in found["week"]["points"]}
    for point in found["day"]["points"]:
        day = date.fromisoformat(point["date"])
        weeks[str(day - day.weekday() * DAY)] -= point["focusedSeconds"]
    assert set(weeks.values()) == {0}
    assert len(found["hourOfWeek"]["hours"]) == 168
    assert sum(hour["focusedSeconds"] for hour in found["hourOfWeek"]["hours"]) == total
    assert sum(share["focusedSeconds"] for share in found["content"]["shares"]) == total
    assert found["tag"]["shares"] == []


def test_an_edit_and_a_deletion_show_at_once(server: Server, db: Any) -> None:
    long_ago = datetime.now(UTC) - 100 * DAY
    documents = [past_session("editor", long_ago + n * timedelta(hours=1)) for n in range(3)]
    db.sessions.insert_many(documents)
    with server.rest("editor") as client:
        assert stats_of(client)["focusedSeconds"] == 3600
        asyncio.run(until(lambda: db.study_periods.count_documents({"userId": "editor"}) >= 1))
        path = f"/api/sessions/{documents[0]['_id']}"
        client.put(path, json={"activeSeconds": 200, "idleSeconds": 0}).raise_for_status()
        assert stats_of(client)["focusedSeconds"] == 2600
        client.delete(f"/api/sessions/{documents[1]['_id']}").raise_for_status()
        stats = stats_of(client)
        assert (stats["focusedSeconds"], stats["endedSessions"]) == (1400, 2)


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-01-01", "to": "2026-01-01"},
        {"from": "2026-01-02", "to": "2026-01-01"},
        {"from": "2025-01-01", "to": "2026-12-31"},
        {"from": "yesterday"},
        {"by": "year"},
        {"from": "2026-01-01T00:00:00Z"},
    ],
)
def test_a_bad_range_is_refused(server: Server, query: dict[str, str]) -> None:
    with server.rest("ranges") as client:
        answer = client.get("/api/stats/me/series", params=query)
    assert answer.status_code == 422, answer.text


# --- goals and zones ------------------------------------------------------------------------


def test_goals_are_set_shown_and_taken_back(server: Server) -> None:
    nothing = {"dailyMinutes": None, "weeklyMinutes": None, "sessionsPerDay": None}
    with server.rest("goals") as client:
        assert client.get("/api/goals").json()["goals"] == nothing
        answer = client.put("/api/goals", json={"dailyMinutes": 30, "sessionsPerDay": 2})
        assert answer.json()["goals"] == {**nothing, "dailyMinutes": 30, "sessionsPerDay": 2}
        today = stats_of(client)["today"]
        assert today["minutes"] == {"done": 0, "goal": 30, "reached": False}
        less = client.put("/api/goals", json={"sessionsPerDay": None}).json()["goals"]
        assert less == {**nothing, "dailyMinutes": 30}
        assert client.put("/api/goals", json={}).json()["goals"] == less
        answer = client.put("/api/goals")
        assert (answer.status_code, answer.json()["code"]) == (400, "body_missing")
        assert client.get("/api/goals").json()["goals"] == less
        assert client.put("/api/goals", json=nothing).json()["goals"] == nothing
        for bad in ({"dailyMinutes": 0}, {"dailyMinutes": 1441}, {"dailyMinutes": "30"}, {"x": 1}):
            assert client.put("/api/goals", json=bad).status_code == 422


async def test_a_goal_is_told_once_to_all_tabs(server: Server, db: Any) -> None:
    user = "reaching"
    db.sessions.insert_one(past_session(user, datetime.now(UTC) - timedelta(seconds=60), active=59))
    with server.rest(user) as client:
        client.put("/api/goals", json={"dailyMinutes": 1}).raise_for_status()
        session = new_session(client)
        async with connected(server, user) as tab, connected(server, user) as other:
            await tab.start(session["_id"])
            reached = await tab.next("goalReached", within_s=12)
            assert (reached["goal"], reached["value"], reached["done"]) == ("dailyMinutes", 1, 1)
            assert reached["date"] == stats_of(client)["today"]["date"]
            assert (await other.next("goalReached"))["goal"] == "dailyMinutes"
            await tab.send("stop")
            await tab.next("stopped")
            again = new_session(client)
            await tab.start(again["_id"])
            heard = await tab.silence(3)
        assert "goalReached" not in {message["type"] for message in heard}


async def test_sessions_per_day_are_reached_with_the_last_one(server: Server) -> None:
    with server.rest("counting") as client:
        client.put("/api/goals", json={"sessionsPerDay": 1}).raise_for_status()
        session = new_session(client)
        async with connected(server, "counting") as tab:
            await tab.start(session["_id"])
            await tab.next("tick")
            await tab.ask("stop", "stopped")
            assert (await tab.next("goalReached"))["goal"] == "sessionsPerDay"


async def test_a_goal_that_is_set_while_a_session_runs(server: Server, db: Any) -> None:
    user = "late goal"
    db.sessions.insert_one(past_session(user, datetime.now(UTC) - timedelta(hours=0.1), active=90))
    with server.rest(user) as client:
        session = new_session(client)
        async with connected(server, user) as tab:
            await tab.start(session["_id"])
            await tab.next("tick")
            client.put("/api/goals", json={"weeklyMinutes": 1}).raise_for_status()
            assert (await tab.next("goalReached"))["goal"] == "weeklyMinutes"


def test_a_zone_is_that_of_the_settings_unless_the_session_says_so(server: Server) -> None:
    with server.rest("traveller") as client:
        assert new_session(client)["timeZone"] == "UTC"
        client.put("/api/me/settings", json={"timeZone": "Asia/Tokyo"}).raise_for_status()
        settings = {"timeZone": "Asia/Tokyo", "weekStartsOn": "monday", "dayStartsAt": "00:00"}
        assert client.get("/api/me/settings").json() == {"settings": settings}
        answer = client.put("/api/me/settings")
        assert (answer.status_code, answer.json()["code"]) == (400, "body_missing")
        for change in ({"weekStartsOn": "sunday"}, {"dayStartsAt": "04:00"}, {}):
            settings |= change
            assert client.put("/api/me/settings", json=change).json() == {"settings": settings}
        here = new_session(client)
        assert here["timeZone"] == "Asia/Tokyo"
        assert new_session(client, timeZone="Europe/Berlin")["timeZone"] == "Europe/Berlin"
        client.put("/api/me/settings", json={"timeZone": "Europe/Berlin"}).raise_for_status()
        assert (
            client.get(f"/api/sessions/{here['_id']}").json()["session"]["timeZone"] == "Asia/Tokyo"
        )
        today = datetime.now(ZoneInfo("Europe/Berlin")).date().isoformat()
        assert stats_of(client)["today"]["date"] == today
        for odd in ({"weekStartsOn": "friday"}, {"dayStartsAt": "24:00"}, {"dayStartsAt": "4:00"}):
            assert client.put("/api/me/settings", json=odd).status_code == 422
        for bad in ("Mars/Olympus", "../etc/passwd", "", 7, "europe/berlin"):
            body = {"timeZone": bad}
            assert client.put("/api/me/settings", json=body).status_code == 422
            assert client.post("/api/sessions", json=body).status_code == 422


def test_a_zone_and_an_idle_mode_cannot_be_changed_later(server: Server) -> None:
    with server.rest("fixed") as client:
        path = f"/api/sessions/{new_session(client)['_id']}"
        for body in ({"timeZone": "UTC"}, {"idleMode": "video"}):
            assert client.put(path, json=body).status_code == 422


# --- idle modes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "threshold_s"),
    [("interactive", 15), ("reading", 60), ("video", 180), (5, 5), (600, 600), (7.5, 7.5)],
)
async def test_an_idle_mode_is_kept_and_told(
    server: Server, mode: str | float, threshold_s: float
) -> None:
    with server.rest("modes") as client:
        session = new_session(client, idleMode=mode)
        assert session["idleMode"] == mode
        async with connected(server, "modes") as tab:
            started = await tab.start(session["_id"])
            assert started["idleThresholdSeconds"] == threshold_s
            assert started["session"]["idleMode"] == mode


@pytest.mark.parametrize("mode", [4, 601, "nap", True, "15"])
def test_another_idle_mode_is_refused(server: Server, mode: object) -> None:
    with server.rest("modes") as client:
        assert client.post("/api/sessions", json={"idleMode": mode}).status_code == 422


async def test_a_silence_of_five_seconds_is_idle_where_that_was_chosen(
    app_server: AppServer,
) -> None:
    with app_server.rest("short silence") as client:
        session = new_session(client, idleMode=5)
        async with connected(app_server, "short silence") as tab:
            await tab.start(session["_id"])
            await asyncio.to_thread(app_server.advance, 8)
            ended = (await tab.ask("stop", "stopped"))["session"]
    assert (ended["activeSeconds"], ended["idleSeconds"]) == (5, 3)


def test_the_zone_of_the_account_is_the_one_of_the_settings(server: Server) -> None:
    with server.rest(None) as client:
        body = {"email": "zone@example.com", "password": "correct horse", "timeZone": "Asia/Tokyo"}
        signed = client.post("/api/auth/signup", json=body).json()
        client.headers["Authorization"] = f"Bearer {signed['accessToken']}"
        assert client.get("/api/me/settings").json()["settings"]["timeZone"] == "Asia/Tokyo"
        assert new_session(client)["timeZone"] == "Asia/Tokyo"
        client.put("/api/me/settings", json={"timeZone": "Europe/Berlin"}).raise_for_status()
        assert client.get("/api/auth/me").json()["user"]["timeZone"] == "Europe/Berlin"
