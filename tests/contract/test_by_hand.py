"""Seconds set by hand: they count on a date, beside what was tracked, and for no hour."""

import asyncio
import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest

from realtime.engine.clock import ManualClock
from tests.contract.test_accuracy import passes, stop
from tests.support.app_server import AppServer, running_app
from tests.support.embedded import shared_uri
from tests.support.socket_client import connected

NOW = datetime(2026, 5, 4, 21, 37, tzinfo=UTC)
"""It is 23:37 in Berlin."""
BERLIN, TODAY = "Europe/Berlin", "2026-05-04"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    clock = ManualClock(wall_start=NOW)
    with running_app(tmp_path_factory.mktemp("by_hand"), shared_uri(), clock=clock) as server:
        yield server


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


@pytest.fixture
def rest(server: AppServer, user: str) -> Iterator[httpx.Client]:
    with server.rest(user) as client:
        yield client


def ok(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def new(rest: httpx.Client, **fields: Any) -> str:
    return str(ok(rest.post("/api/sessions", json=fields))["session"]["_id"])


def put(rest: httpx.Client, id_: str, **fields: Any) -> dict[str, Any]:
    return dict(ok(rest.put(f"/api/sessions/{id_}", json=fields))["session"])


def end(rest: httpx.Client, id_: str) -> dict[str, Any]:
    return dict(ok(rest.put(f"/api/sessions/{id_}/end"))["session"])


def by_hand(rest: httpx.Client, seconds: int, **fields: Any) -> str:
    id_ = new(rest, **fields)
    put(rest, id_, activeSeconds=seconds)
    end(rest, id_)
    return id_


def stats(rest: httpx.Client) -> dict[str, Any]:
    return dict(ok(rest.get("/api/stats/me"))["stats"])


def series(rest: httpx.Client, by: str) -> dict[str, Any]:
    """Of all days from April to June."""
    query = {"by": by, "from": "2026-04-01", "to": "2026-07-01"}
    return dict(ok(rest.get("/api/stats/me/series", params=query))["series"])


def days(rest: httpx.Client) -> dict[str, int]:
    """Focused seconds by date, where there are any."""
    points = series(rest, "day")["points"]
    return {each["date"]: each["focusedSeconds"] for each in points if each["focusedSeconds"]}


def tags(rest: httpx.Client) -> dict[str, int]:
    return {each["name"]: each["focusedSeconds"] for each in series(rest, "tag")["shares"]}


def timeline(rest: httpx.Client, id_: str) -> dict[str, Any]:
    return dict(ok(rest.get(f"/api/sessions/{id_}/timeline"))["timeline"])


def runs(rest: httpx.Client, id_: str) -> list[tuple[str, int]]:
    return [(each["kind"], each["seconds"]) for each in timeline(rest, id_)["runs"]]


def reassign(rest: httpx.Client, id_: str, started_at: str) -> dict[str, Any]:
    body = {"startedAt": started_at, "reason": "I read"}
    return dict(ok(rest.post(f"/api/sessions/{id_}/reassign", json=body))["session"])


async def put_once_free(server: AppServer, rest: httpx.Client, id_: str, **fields: Any) -> None:
    """Set fields as soon as the connection that was closed tracks it no more."""
    for _ in range(100):
        answer = await asyncio.to_thread(rest.put, f"/api/sessions/{id_}", json=fields)
        if answer.status_code != 409:
            ok(answer)
            return
        await passes(server, 0.25)
    raise AssertionError("it is still tracked")


async def track(server: AppServer, user: str, id_: str, seconds: float) -> dict[str, Any]:
    """Track it for so long, and stop it."""
    async with connected(server, user) as client:
        await client.start(id_)
        await passes(server, seconds)
        return await stop(client)


def test_two_hours_by_hand_are_two_hours(rest: httpx.Client) -> None:
    by_hand(rest, 3600, tags=["t0"])
    by_hand(rest, 3600, tags=["t1"])
    assert stats(rest)["focusedSeconds"] == stats(rest)["manualSeconds"] == 7200
    assert tags(rest) == {"t0": 3600, "t1": 3600}
    assert not any(each["focusedSeconds"] for each in series(rest, "hourOfWeek")["hours"])


async def test_what_was_tracked_stays_beside_it(
    server: AppServer, rest: httpx.Client, user: str
) -> None:
    by_hand(rest, 3600, tags=["hand"])
    await track(server, user, new(rest, tags=["tracked"]), 7.5)
    assert (stats(rest)["focusedSeconds"], tags(rest)) == (3607, {"hand": 3600, "tracked": 7})
    hours = series(rest, "hourOfWeek")["hours"]
    assert sum(each["focusedSeconds"] for each in hours) == 7


def test_late_in_the_evening_they_are_of_today(rest: httpx.Client) -> None:
    ok(rest.put("/api/me/settings", json={"timeZone": BERLIN}))
    ok(rest.put("/api/goals", json={"dailyMinutes": 120}))
    by_hand(rest, 7200)
    today = stats(rest)["today"]
    assert (today["date"], today["focusedSeconds"]) == (TODAY, 7200)
    assert today["minutes"] == {"done": 120, "goal": 120, "reached": True}
    assert days(rest) == {TODAY: 7200}


async def test_tracked_seconds_stay_where_they_were(
    server: AppServer, rest: httpx.Client, user: str
) -> None:
    id_ = new(rest)
    put(rest, id_, activeSeconds=36_000)
    began = server.now()
    ended = await track(server, user, id_, 4.5)
    assert (ended["activeSeconds"], ended["manualSeconds"]) == (36_004, 36_000)
    assert (ended["awaySeconds"], ended["pausedSeconds"]) == (0, 0)
    tracked, entered = timeline(rest, id_)["runs"]
    assert (tracked["kind"], tracked["seconds"]) == ("active", 4)
    assert abs((datetime.fromisoformat(tracked["startedAt"]) - began).total_seconds()) < 1
    assert (entered["kind"], entered["seconds"]) == ("manual", 36_000)
    assert (entered["startedAt"], entered["countsAs"]) == (None, "active")
    assert days(rest) == {server.now().date().isoformat(): 36_004}


def test_more_than_a_day_by_hand_is_refused(rest: httpx.Client) -> None:
    ok(rest.put("/api/goals", json={"dailyMinutes": 30}))
    id_ = new(rest)
    for seconds in (86_401, 864_000, 2**31 - 1):
        answer = rest.put(f"/api/sessions/{id_}", json={"activeSeconds": seconds})
        assert answer.status_code == 422, answer.text
        assert [each["field"] for each in answer.json()["errors"]] == ["activeSeconds"]
    by_hand(rest, 86_400)
    found = stats(rest)
    assert (found["currentStreak"], found["longestStreak"]) == (1, 1)
    assert found["focusedSeconds"] == 86_400


# --- relatives ------------------------------------------------------------------------------


async def test_less_and_more_after_it_was_tracked(
    server: AppServer, rest: httpx.Client, user: str
) -> None:
    id_ = new(rest)
    before = await track(server, user, id_, 30.5)
    assert runs(rest, id_) == [("active", 15), ("idle", 15)]
    assert put(rest, id_, activeSeconds=10)["awaySeconds"] == 5
    assert runs(rest, id_) == [("active", 10), ("away", 5), ("idle", 15)]
    assert put(rest, id_, activeSeconds=40, idleSeconds=20)["manualSeconds"] == 35
    assert runs(rest, id_)[-2:] == [("manual", 30), ("manual", 5)]
    found = stats(rest)
    assert (found["focusedSeconds"], found["idleSeconds"]) == (40, 20)
    reset = put(rest, id_, activeSeconds=10, idleSeconds=15)
    assert (reset["manualSeconds"], reset["elapsedSeconds"]) == (0, 25)
    assert before["endedAt"] == reset["endedAt"]


async def test_active_seconds_become_idle_where_they_were(
    server: AppServer, rest: httpx.Client, user: str
) -> None:
    id_ = new(rest)
    await track(server, user, id_, 12.5)
    changed = put(rest, id_, activeSeconds=5, idleSeconds=7)
    assert (changed["manualSeconds"], changed["awaySeconds"]) == (0, 0)
    assert runs(rest, id_) == [("active", 5), ("idle", 7)]


def test_idle_seconds_by_hand_are_no_focus(rest: httpx.Client) -> None:
    id_ = new(rest)
    put(rest, id_, activeSeconds=60, idleSeconds=600)
    end(rest, id_)
    found = stats(rest)
    assert (found["focusedSeconds"], found["idleSeconds"]) == (60, 600)
    assert days(rest) == {found["today"]["date"]: 60}


async def test_several_edits_of_a_session_in_progress(
    server: AppServer, rest: httpx.Client, user: str
) -> None:
    id_ = new(rest)
    for seconds in (100, 200, 150):
        put(rest, id_, activeSeconds=seconds)
    async with connected(server, user) as client:
        started = await client.start(id_)
        assert started["session"]["elapsedSeconds"] == 150
        await passes(server, 3.5)
    await put_once_free(server, rest, id_, activeSeconds=160)
    ended = await track(server, user, id_, 2.5)
    assert ended["manualSeconds"] == 157
    assert stats(rest)["focusedSeconds"] == ended["activeSeconds"]
    told = runs(rest, id_)
    assert sum(seconds for kind, seconds in told if kind == "manual") == 157
    assert (
        sum(seconds for kind, seconds in told if kind == "active") == ended["activeSeconds"] - 157
    )


async def test_a_run_is_reassigned_after_an_edit(
    server: AppServer, rest: httpx.Client, user: str
) -> None:
    id_ = new(rest)
    await track(server, user, id_, 30.5)
    put(rest, id_, activeSeconds=1015)
    idle = next(each for each in timeline(rest, id_)["runs"] if each["kind"] == "idle")
    session = reassign(rest, id_, idle["startedAt"])
    assert (session["activeSeconds"], session["idleSeconds"]) == (1030, 0)
    assert session["manualSeconds"] == 1000
    assert (stats(rest)["focusedSeconds"], stats(rest)["idleSeconds"]) == (1030, 0)
    before = timeline(rest, id_)["edits"][0]["before"]
    assert (before["activeSeconds"], len(before["runs"])) == (15, 2)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Honolulu"])
def test_no_zone_makes_a_day_after_today(rest: httpx.Client, zone: str) -> None:
    """In Kiritimati it is tomorrow, in Honolulu this afternoon."""
    by_hand(rest, 600, timeZone=zone)
    today = date.fromisoformat(stats(rest)["today"]["date"])
    assert days(rest) == {today.isoformat(): 600}


def test_a_deleted_session_takes_its_seconds_along(rest: httpx.Client) -> None:
    kept, deleted = by_hand(rest, 60), by_hand(rest, 600)
    assert rest.delete(f"/api/sessions/{deleted}").status_code == 204
    assert stats(rest)["focusedSeconds"] == 60
    assert runs(rest, kept) == [("manual", 60)]


def test_an_export_tells_them(rest: httpx.Client) -> None:
    id_ = by_hand(rest, 3600)
    (session,) = ok(rest.get("/api/me/export"))["sessions"]
    assert (session["_id"], session["activeSeconds"], session["manualSeconds"]) == (id_, 3600, 3600)
    (run,) = session["timeline"]
    assert (run["kind"], run["seconds"], run["startedAt"]) == ("manual", 3600, None)
    rows = csv.DictReader(io.StringIO(rest.get("/api/me/export?format=csv").text))
    (row,) = rows
    assert (row["activeSeconds"], row["manualSeconds"], row["awaySeconds"]) == ("3600", "3600", "0")
