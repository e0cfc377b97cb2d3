"""The timeline of a session over REST: all totals are in it, and edits change both alike."""

import asyncio
import math
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from scoring.focus import focus_score
from tests.support.live_server import LiveServer, running_server
from tests.support.socket_client import SocketClient, connected, new_session, stored
from tests.support.study import past_session

SECOND = timedelta(seconds=1)
IDLE_AFTER_S = 5
COUNTERS = ("activeSeconds", "idleSeconds", "pausedSeconds", "awaySeconds")

Found = dict[str, Any]


@pytest.fixture
def sessions(live_server: LiveServer) -> Iterator[Any]:
    """What is stored, past the server."""
    with MongoClient[dict[str, Any]](live_server.mongodb_uri, tz_aware=True) as client:
        yield client[live_server.database].sessions


def timeline_of(rest: httpx.Client, id_: str) -> Found:
    answer = rest.get(f"/api/sessions/{id_}/timeline")
    assert answer.status_code == 200, answer.text
    found: Found = answer.json()["timeline"]
    return found


def session_of(rest: httpx.Client, id_: str) -> Found:
    found: Found = rest.get(f"/api/sessions/{id_}").json()["session"]
    return found


def reassign(rest: httpx.Client, id_: str, run: Found, reason: str = "I read") -> httpx.Response:
    body = {"startedAt": run["startedAt"], "reason": reason}
    return rest.post(f"/api/sessions/{id_}/reassign", json=body)


def sums(runs: list[Found]) -> dict[str, int]:
    """What the runs come to."""
    found = {
        f"{kind}Seconds": sum(run["seconds"] for run in runs if run["kind"] == kind)
        for kind in ("active", "idle", "paused", "away")
    }
    found["elapsedSeconds"] = found["activeSeconds"] + found["idleSeconds"]
    found["tabSwitches"] = sum(run["tabSwitches"] or 0 for run in runs)
    return found


def score(runs: list[Found], target_minutes: float) -> Found:
    found = sums(runs)
    computed = focus_score(
        elapsed_seconds=found["elapsedSeconds"],
        active_seconds=found["activeSeconds"],
        idle_seconds=found["idleSeconds"],
        tab_switches=found["tabSwitches"],
        target_minutes=target_minutes,
    )
    return {
        "focusScore": computed.focus_score,
        "scoreBreakdown": {
            "completion": computed.completion,
            "activityRatio": computed.activity_ratio,
            "penalty": computed.penalty,
            "formulaVersion": computed.formula_version,
        },
    }


def assert_all_is_in_it(timeline: Found, session: Found) -> None:
    """Every total and the score of an ended session follow from its runs and its target."""
    runs = timeline["runs"]
    computed = {**sums(runs), **score(runs, timeline["targetMinutes"])}
    assert computed == {name: session[name] for name in computed}
    for name in ("status", "startedAt", "endedAt", "timeZone", "targetMinutes"):
        assert timeline[name] == session[name]
    started, ended = (datetime.fromisoformat(session[name]) for name in ("startedAt", "endedAt"))
    assert sum(run["seconds"] for run in runs) == math.floor((ended - started) / SECOND)
    bounds = [started, *(datetime.fromisoformat(run["startedAt"]) for run in runs), ended]
    assert bounds == sorted(bounds)
    for run, (begin, end) in zip(runs, pairwise(bounds[1:]), strict=True):
        # Half a second by rounding a pause, and one by cutting the whole session.
        assert abs((end - begin) / SECOND - run["seconds"]) <= 1.5
        assert (run["tabSwitches"] is None) == (run["kind"] in {"paused", "away"})


def kinds(timeline: Found) -> list[str]:
    """In order, but for what was left of a second in the end."""
    found = [run["kind"] for run in timeline["runs"]]
    return found[:-1] if timeline["runs"][-1]["kind"] == "away" else found


async def idle_is(client: SocketClient, idle: bool) -> None:
    async with asyncio.timeout(IDLE_AFTER_S + 4):
        while (await client.next("tick"))["idle"] is not idle:
            pass


async def lived(server: LiveServer, user: str, **fields: Any) -> str:
    """A session with everything in it."""
    id_ = new_session(server, user, idleMode=IDLE_AFTER_S, **fields)
    async with connected(server, user) as client:
        await client.start(id_)
        await client.send("tabSwitch")
        await idle_is(client, True)
        await client.send("tabSwitch")
        await client.send("tabSwitch")
        await client.next("tick")
        await client.send("activity")
        await idle_is(client, False)
        await client.ask("pause", "paused")
        await asyncio.sleep(1.7)
        await client.ask("resume", "resumed")
        await asyncio.sleep(1.4)
    await asyncio.sleep(2.3)
    async with connected(server, user) as client:
        await client.start(id_)
        await client.next("tick")
        await asyncio.sleep(0.5)
        await client.ask("stop", "stopped")
    return id_


def test_all_totals_and_the_score_follow_from_it(
    live_server: LiveServer, user: str, rest: httpx.Client
) -> None:
    id_ = asyncio.run(lived(live_server, user, targetMinutes=0.1, timeZone="Europe/Madrid"))
    timeline, session = timeline_of(rest, id_), session_of(rest, id_)
    assert_all_is_in_it(timeline, session)
    assert kinds(timeline) == ["active", "idle", "active", "paused", "active", "away", "active"]
    assert [run["tabSwitches"] for run in timeline["runs"]][:4] == [1, 2, 0, None]
    assert (timeline["sessionId"], timeline["timeZone"]) == (id_, "Europe/Madrid")
    assert timeline["edits"] == []
    assert session["pausedSeconds"] in (1, 2)
    assert session["awaySeconds"] >= 2
    assert session["focusScore"] > 0

    former: list[tuple[Found, Found]] = []
    moved = {"idle": timeline["runs"][1], "away": timeline["runs"][5]}
    for kind, run in moved.items():
        former.append((timeline, session))
        answer = reassign(rest, id_, run, f"{kind}, but I was there")
        assert answer.status_code == 200, answer.text
        timeline, session = timeline_of(rest, id_), session_of(rest, id_)
        assert answer.json() == {"session": session}
        assert_all_is_in_it(timeline, session)
        assert session["edited"] is True
        (now_active,) = (r for r in timeline["runs"] if r["startedAt"] == run["startedAt"])
        assert now_active["kind"] == "active"
        gained = session["activeSeconds"] - former[-1][1]["activeSeconds"]
        assert gained == now_active["seconds"]
        assert 0 <= run["seconds"] - gained <= (kind == "away")
        assert reassign(rest, id_, run).json()["code"] == "run_not_reassignable"
    first, last = former[0][1], session
    assert last["pausedSeconds"] == first["pausedSeconds"]
    assert last["idleSeconds"] == 0
    away = moved["away"]["seconds"]
    assert last["elapsedSeconds"] - first["elapsedSeconds"] in (away - 1, away)
    assert rest.get("/api/stats/me").json()["stats"]["focusedSeconds"] == last["activeSeconds"]

    former.append((timeline, session))
    rest.put(f"/api/sessions/{id_}", json={"targetMinutes": 10}).raise_for_status()
    timeline, session = timeline_of(rest, id_), session_of(rest, id_)
    assert_all_is_in_it(timeline, session)
    assert [edit["what"] for edit in timeline["edits"]] == ["reassigned", "reassigned", "target"]
    assert [edit["reason"] for edit in timeline["edits"]] == [
        "idle, but I was there",
        "away, but I was there",
        None,
    ]
    for edit, (told, counted) in zip(timeline["edits"], former, strict=True):
        before = edit["before"]
        assert before.pop("runs") == told["runs"]
        assert before == {name: counted[name] for name in before}


async def test_all_totals_follow_from_it_after_a_kill(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        id_ = new_session(server)
        async with connected(server) as client:
            await client.start(id_)
            await client.send("tabSwitch")
            await asyncio.sleep(1.5)
            await client.ask("pause", "paused")
            await asyncio.sleep(0.8)
            await client.ask("resume", "resumed")
            await asyncio.sleep(2.9)
            await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        with server.rest() as rest:
            timeline, session = timeline_of(rest, id_), stored(server, id_)
            told = sums(timeline["runs"])
            assert {name: told[name] for name in COUNTERS[:3]} == {
                name: session[name] for name in COUNTERS[:3]
            }
            async with connected(server) as client:
                await client.start(id_)
                await client.next("tick")
                await client.ask("stop", "stopped")
            timeline, session = timeline_of(rest, id_), session_of(rest, id_)
            assert_all_is_in_it(timeline, session)
            assert kinds(timeline) == ["active", "paused", "active", "away", "active"]
            away = next(run for run in timeline["runs"] if run["kind"] == "away")
            assert reassign(rest, id_, away).status_code == 200
            edited = timeline_of(rest, id_)
            assert_all_is_in_it(edited, session_of(rest, id_))
            assert edited["edits"][0]["before"]["runs"] == timeline["runs"]


async def test_while_it_is_tracked_it_is_never_behind(
    live_server: LiveServer, user: str, rest: httpx.Client
) -> None:
    id_ = new_session(live_server, user)
    assert timeline_of(rest, id_)["runs"] == []
    async with connected(live_server, user) as client:
        await client.start(id_)
        for _ in range(3):
            tick = await client.next("tick")
            timeline = timeline_of(rest, id_)
            (run,) = timeline["runs"]
            assert run["seconds"] >= tick["elapsedSeconds"]
            assert (run["kind"], run["startedAt"]) == ("active", timeline["startedAt"])
        assert (timeline["status"], timeline["endedAt"]) == ("active", None)
        assert reassign(rest, id_, run).json()["code"] == "session_not_ended"
        await client.ask("pause", "paused")
        await asyncio.sleep(1.2)
        last = timeline_of(rest, id_)["runs"][-1]
        assert (last["kind"], last["tabSwitches"]) == ("paused", None)
        assert last["seconds"] >= 1
    assert reassign(rest, id_, run).json()["code"] == "session_not_ended"


def test_statistics_of_months_that_are_over_follow(
    rest: httpx.Client, user: str, sessions: Any
) -> None:
    past = past_session(user, datetime.now(UTC) - timedelta(days=70), active=1000, idle=300)
    sessions.insert_one(past)
    id_ = str(past["_id"])

    def focused() -> int:
        return int(rest.get("/api/stats/me").json()["stats"]["focusedSeconds"])

    assert (focused(), focused()) == (1000, 1000)  # read, and remembered
    assert reassign(rest, id_, timeline_of(rest, id_)["runs"][1]).status_code == 200
    assert focused() == 1300
    assert_all_is_in_it(timeline_of(rest, id_), session_of(rest, id_))


def test_edits_at_the_same_time_are_all_kept(rest: httpx.Client, user: str, sessions: Any) -> None:
    now = datetime.now(UTC)
    past = past_session(user, now - timedelta(hours=5), active=600, idle=400, parts=8)
    sessions.insert_one(past)
    id_ = str(past["_id"])
    idle = [run for run in timeline_of(rest, id_)["runs"] if run["kind"] == "idle"]
    assert len(idle) == 8
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda run: reassign(rest, id_, run), idle * 2))
    assert sorted(answer.status_code for answer in answers) == [200] * 8 + [409] * 8
    timeline, session = timeline_of(rest, id_), session_of(rest, id_)
    assert_all_is_in_it(timeline, session)
    assert (session["activeSeconds"], session["idleSeconds"]) == (1000, 0)
    befores = [edit["before"] for edit in timeline["edits"]]
    assert [before["activeSeconds"] for before in befores] == [600 + 50 * n for n in range(8)]
    for before in befores:
        assert {name: before[name] for name in COUNTERS} == {
            name: sums(before["runs"])[name] for name in COUNTERS
        }


def test_a_document_of_an_earlier_version(rest: httpx.Client, user: str, sessions: Any) -> None:
    past = past_session(user, datetime.now(UTC) - timedelta(hours=5), active=600, idle=400)
    for name in ("timeline", "idleMode", "timeZone"):
        del past[name]
    sessions.insert_one(past)
    id_ = str(past["_id"])
    before = timeline_of(rest, id_)
    assert [(run["kind"], run["seconds"]) for run in before["runs"]] == [
        ("active", 600),
        ("idle", 400),
    ]
    assert reassign(rest, id_, before["runs"][1]).status_code == 200
    after = timeline_of(rest, id_)
    assert_all_is_in_it(after, session_of(rest, id_))
    assert after["edits"][0]["before"]["runs"] == before["runs"]


def ended(rest: httpx.Client) -> str:
    id_ = str(rest.post("/api/sessions", json={}).json()["session"]["_id"])
    rest.put(f"/api/sessions/{id_}/end").raise_for_status()
    return id_


def test_edits_end_at_fifty(rest: httpx.Client) -> None:
    id_ = ended(rest)
    for number in range(50):
        body = {"activeSeconds": number, "tabSwitches": 1}
        rest.put(f"/api/sessions/{id_}", json=body).raise_for_status()
        rest.put(f"/api/sessions/{id_}", json=body).raise_for_status()  # as it is: no edit
    for body in ({"activeSeconds": 50}, {"targetMinutes": 50}):
        answer = rest.put(f"/api/sessions/{id_}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "too_many_edits")
    rest.put(f"/api/sessions/{id_}", json={"title": "t", "activeSeconds": 49}).raise_for_status()
    timeline, session = timeline_of(rest, id_), session_of(rest, id_)
    assert (session["activeSeconds"], session["title"], session["targetMinutes"]) == (49, "t", 25)
    assert [edit["before"]["activeSeconds"] for edit in timeline["edits"]] == [0, *range(49)]
    assert {edit["what"] for edit in timeline["edits"]} == {"counters"}
    (listed,) = rest.get("/api/sessions").json()["sessions"]
    assert listed == session


def test_somebody_elses_is_not_found(live_server: LiveServer, rest: httpx.Client) -> None:
    id_ = ended(rest)
    run = {"startedAt": "2026-01-01T00:00:00Z"}
    assert reassign(rest, id_, run).json()["code"] == "run_not_found"
    with live_server.rest(uuid.uuid4().hex) as other:
        for answer in (reassign(other, id_, run), other.get(f"/api/sessions/{id_}/timeline")):
            assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x" * 501}, {"startedAt": 1}])
def test_a_body_that_breaks_the_rules(rest: httpx.Client, body: Found) -> None:
    given = {"startedAt": "2026-01-01T00:00:00Z", **body}
    answer = rest.post(f"/api/sessions/{ended(rest)}/reassign", json=given)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")
