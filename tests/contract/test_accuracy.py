"""The promises of docs/accuracy.md, each over a real socket and a real database.

Time is the test's, so a session of half an hour takes milliseconds. Each promise has a test in
real time, too, in tests/live and tests/faults.
"""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson import ObjectId

from realtime.engine.clock import ManualClock
from realtime.sockets import transport
from scoring.focus import focus_score
from tests.support.app_server import AppServer, manual_clock, running_app
from tests.support.embedded import shared_uri
from tests.support.socket_client import SocketClient, connected, new_session, stored

Session = dict[str, Any]
COUNTERS = ("elapsedSeconds", "activeSeconds", "idleSeconds")
SECOND = timedelta(seconds=1)


async def passes(server: AppServer, seconds: float) -> None:
    await asyncio.to_thread(server.advance, seconds)


def counted(session: Session) -> tuple[int, ...]:
    return tuple(session[name] for name in COUNTERS)


def document(server: AppServer, session_id: str) -> Session:
    """What the database holds, past the server."""
    with pymongo.MongoClient[Session](server.mongodb_uri, tz_aware=True) as client:
        found = client[server.database].sessions.find_one({"_id": ObjectId(session_id)})
    assert found is not None
    return found


async def stop(client: SocketClient) -> Session:
    session: Session = (await client.ask("stop", "stopped"))["session"]
    return session


def whole_seconds(session: Session) -> int:
    began, ended = (datetime.fromisoformat(session[name]) for name in ("startedAt", "endedAt"))
    return (ended - began) // SECOND


# --- 1: due seconds -----------------------------------------------------------------------


async def test_silence_is_idle_after_15_seconds_and_a_sign_ends_it(app_server: AppServer) -> None:
    session_id = new_session(app_server, targetMinutes=1)
    async with connected(app_server) as client:
        started = await client.start(session_id)
        assert (started["nextSecondInMs"], started["idleThresholdSeconds"]) == (1000, 15)
        await passes(app_server, 25)
        assert counted(document(app_server, session_id)) == (25, 15, 10)
        await client.send("tabSwitch")  # is no sign of activity
        await passes(app_server, 5)
        await client.send("activity")
        await passes(app_server, 10)
        session = await stop(client)
    assert counted(session) == (40, 25, 15)
    assert session["tabSwitches"] == 1
    score = focus_score(
        elapsed_seconds=40, active_seconds=25, idle_seconds=15, tab_switches=1, target_minutes=1
    )
    assert session["focusScore"] == score.focus_score
    assert session == stored(app_server, session_id)


async def test_a_second_exactly_15_seconds_after_a_sign_is_active(app_server: AppServer) -> None:
    session_id = new_session(app_server)
    async with connected(app_server) as client:
        await client.start(session_id)
        await passes(app_server, 0.5)
        await client.send("activity")
        await passes(app_server, 15)  # due at 15.0 s: 14.5 s after it
        assert counted(document(app_server, session_id)) == (15, 15, 0)
        await passes(app_server, 1)  # due at 16.0 s: 15.5 s after it
        assert counted(await stop(client)) == (16, 15, 1)


async def test_an_idle_mode_has_more_patience(app_server: AppServer) -> None:
    session_id = new_session(app_server, idleMode="video")
    async with connected(app_server) as client:
        threshold = (await client.start(session_id))["idleThresholdSeconds"]
        assert threshold > 15
        await passes(app_server, threshold + 10)
        assert counted(await stop(client)) == (threshold + 10, threshold, 10)


async def test_a_hundred_short_stretches_lose_nothing(app_server: AppServer) -> None:
    session_id = new_session(app_server)
    async with connected(app_server) as client:
        await client.start(session_id)
        for _ in range(100):
            await passes(app_server, 0.25)
            await client.ask("pause", "paused")
            await passes(app_server, 0.25)
            await client.ask("resume", "resumed")
        session = await stop(client)
    assert counted(session) == (25, 25, 0)
    assert (session["pausedSeconds"], session["awaySeconds"]) == (25, 0)


async def test_reconnecting_keeps_the_remainder(app_server: AppServer) -> None:
    session_id = new_session(app_server)
    for number in range(1, 9):
        async with connected(app_server) as client:
            started = await client.start(session_id)
            assert started["resumed"] is (number > 1)
            await passes(app_server, 0.75)
            gone = client.connection
        await gone.wait_closed()
        await until_untracked(app_server, session_id)
    assert counted(stored(app_server, session_id)) == (6, 6, 0)


async def until_untracked(server: AppServer, session_id: str) -> None:
    async with asyncio.timeout(8):
        while stored(server, session_id)["tracked"]:  # noqa: ASYNC110 - the server is another thread
            await asyncio.sleep(0.01)


# --- 2: every second is one of four -------------------------------------------------------


async def test_active_idle_paused_and_away_are_the_whole_session(app_server: AppServer) -> None:
    session_id = new_session(app_server)
    async with connected(app_server) as client:
        await client.start(session_id)
        await passes(app_server, 20)
        await client.ask("pause", "paused")
        await passes(app_server, 7)
        await client.ask("resume", "resumed")
        await passes(app_server, 3)
    await until_untracked(app_server, session_id)
    await passes(app_server, 11)
    async with connected(app_server) as client:
        await client.start(session_id)
        await passes(app_server, 2)
        session = await stop(client)
    assert counted(session) == (25, 20, 5)
    assert (session["pausedSeconds"], session["awaySeconds"]) == (7, 11)
    assert whole_seconds(session) == 25 + 7 + 11


# --- 3: late is not lost ------------------------------------------------------------------


async def test_a_stall_of_a_minute_loses_nothing(app_server: AppServer) -> None:
    session_id = new_session(app_server)
    async with connected(app_server) as client:
        await client.start(session_id)
        await passes(app_server, 2)
        app_server.jump(58)
        await passes(app_server, 1)
        session = await stop(client)
    assert counted(session) == (61, 15, 46)
    assert session["awaySeconds"] == 0


async def test_a_suspended_machine_is_away(app_server: AppServer) -> None:
    session_id = new_session(app_server)
    async with connected(app_server) as client:
        await client.start(session_id)
        await passes(app_server, 5)
        app_server.jump(3600)
        await passes(app_server, 5)
        session = await stop(client)
    assert session["elapsedSeconds"] <= 11
    assert session["awaySeconds"] == whole_seconds(session) - session["elapsedSeconds"]
    assert session["awaySeconds"] >= 3599


# --- 4: several tabs, several servers -----------------------------------------------------


async def test_two_tabs_share_each_second_and_either_is_a_sign(app_server: AppServer) -> None:
    session_id = new_session(app_server)
    async with connected(app_server) as one, connected(app_server) as other:
        await one.start(session_id)
        await other.start(session_id)
        await passes(app_server, 14)
        await other.send("activity")
        await passes(app_server, 14)
        assert counted(await stop(one)) == (28, 28, 0)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[AppServer, AppServer]]:
    """Two servers on one database, with one time."""
    clock: ManualClock = manual_clock()
    with running_app(tmp_path, shared_uri(), clock=clock) as first:
        second = AppServer(tmp_path, shared_uri(), clock=clock, database=first.database).start()
        try:
            yield first, second
        finally:
            second.stop()


async def test_the_last_start_owns_the_session(two: tuple[AppServer, AppServer]) -> None:
    first, second = two
    session_id = new_session(first)
    async with connected(first) as former, connected(second) as owner:
        await former.start(session_id)
        await passes(first, 5)
        started = await owner.start(session_id)
        assert (started["resumed"], started["session"]["elapsedSeconds"]) == (True, 5)
        assert await former.closed() == 4409
        await passes(second, 5)
        await asyncio.to_thread(first.advance, 0.25)  # a former owner books nothing more
        session = await stop(owner)
    assert counted(session) == (10, 10, 0)
    assert session["awaySeconds"] == 0


# --- 5: acknowledged within a second ------------------------------------------------------


async def test_a_stop_of_the_server_loses_nothing_and_the_next_one_resumes(tmp_path: Path) -> None:
    clock = manual_clock()
    with running_app(tmp_path, shared_uri(), clock=clock) as keeper:
        server = AppServer(tmp_path, shared_uri(), clock=clock, database=keeper.database).start()
        session_id = new_session(server)
        async with connected(server) as client:
            await client.start(session_id)
            await passes(server, 12.5)
            await asyncio.to_thread(server.stop)
            assert await client.closed() == 1012
        assert counted(document(keeper, session_id)) == (12, 12, 0)
        clock.advance_s(4)
        async with connected(keeper) as client:
            started = await client.start(session_id)
            assert (started["resumed"], started["nextSecondInMs"]) == (True, 500)
            await passes(keeper, 1.5)
            session = await stop(client)
    assert counted(session) == (14, 14, 0)
    assert session["awaySeconds"] == 4


async def test_what_is_due_is_stored_within_a_quarter_of_a_second(app_server: AppServer) -> None:
    session_id = new_session(app_server)
    async with connected(app_server) as client:
        await client.start(session_id)
        for seconds in range(1, 4):
            await passes(app_server, 1)
            assert document(app_server, session_id)["elapsedSeconds"] == seconds
        await stop(client)


async def test_a_session_is_abandoned_after_30_minutes(app_server: AppServer) -> None:
    left, never, paused = (new_session(app_server) for _ in range(3))
    async with connected(app_server) as client, connected(app_server) as other:
        await client.start(left)
        await other.start(paused)
        await passes(app_server, 10)
        await other.ask("pause", "paused")
    for session_id in (left, paused):
        await until_untracked(app_server, session_id)

    async def sweep() -> None:
        await asyncio.to_thread(
            app_server.call, lambda found: found.sessions.tracking.abandonment.sweep()
        )

    app_server.jump(29 * 60)
    await sweep()
    assert stored(app_server, left)["status"] == "active"
    app_server.jump(60)
    await sweep()
    session = stored(app_server, left)
    assert (session["status"], counted(session)) == ("abandoned", (10, 10, 0))
    assert session["focusScore"] is not None
    assert (session["awaySeconds"], whole_seconds(session)) == (0, 10)
    assert stored(app_server, never)["status"] == "active"
    assert stored(app_server, paused)["status"] == "paused"


# --- 6: a peer that is silently gone ------------------------------------------------------


async def test_a_peer_that_answers_no_ping_is_gone(
    app_server: AppServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert transport.PING_EVERY_S + transport.PONG_WITHIN_S < 40
    monkeypatch.setattr(transport, "PING_EVERY_S", 0.2)
    monkeypatch.setattr(transport, "PONG_WITHIN_S", 0.3)
    session_id = new_session(app_server)
    async with connected(app_server) as client:
        await client.start(session_id)
        await passes(app_server, 20)
        client.connection.transport.pause_reading()  # no pong any more
        await until_untracked(app_server, session_id)
        client.connection.transport.abort()  # the client would wait for an answer to its close
    assert counted(stored(app_server, session_id)) == (20, 15, 5)


# --- 7: clocks ----------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [timedelta(hours=-2), timedelta(minutes=30)])
async def test_a_wall_clock_that_is_set_changes_no_count(
    app_server: AppServer, ahead: timedelta
) -> None:
    session_id = new_session(app_server)
    token = app_server.token(ttl_s=86_400)
    async with connected(app_server, token=token) as client:
        await client.start(session_id)
        await passes(app_server, 10)
        app_server.wall_ahead = ahead
        await passes(app_server, 10)
        session = await stop(client)
    assert counted(session) == (20, 15, 5)
    assert (session["awaySeconds"], whole_seconds(session)) == (0, 20)


async def test_no_client_sets_counters_of_a_tracked_session(app_server: AppServer) -> None:
    session_id = new_session(app_server)
    async with connected(app_server) as client:
        await client.start(session_id)
        await passes(app_server, 3)
        with app_server.rest() as rest:
            answer = rest.put(f"/api/sessions/{session_id}", json={"activeSeconds": 999})
        assert (answer.status_code, answer.json()["code"]) == (409, "session_tracked")
        assert counted(await stop(client)) == (3, 3, 0)


# --- 8: the timeline tells the same -------------------------------------------------------


async def test_the_timeline_comes_to_the_counters(app_server: AppServer) -> None:
    session_id = new_session(app_server)
    async with connected(app_server) as client:
        await client.start(session_id)
        await passes(app_server, 20)
        await client.send("activity")
        await passes(app_server, 4)
        await client.ask("pause", "paused")
        await passes(app_server, 6)
        await client.ask("resume", "resumed")
        await passes(app_server, 3)
        session = await stop(client)
    with app_server.rest() as rest:
        timeline = rest.get(f"/api/sessions/{session_id}/timeline").json()["timeline"]
    runs = [(run["kind"], run["seconds"]) for run in timeline["runs"]]
    assert runs == [("active", 15), ("idle", 5), ("active", 4), ("paused", 6), ("active", 3)]
    assert counted(session) == (27, 22, 5)
