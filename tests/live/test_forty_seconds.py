"""One session as a person lives it: 10 s active, 20 s silent, 10 s active, 2 tab switches."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.sessions.queries import find_session
from models.sessions.session import NewSession
from models.study.service import StudyService
from realtime.engine.clock import ManualClock
from realtime.sessions.service import SessionService
from realtime.sessions.tracking import SessionTracking
from scoring.focus import focus_score
from tests.support.live_server import LiveServer
from tests.support.socket_client import connected, new_session, stored
from tests.support.tab import Tab


async def test_in_real_time_over_a_real_socket(live_server: LiveServer) -> None:
    user = uuid.uuid4().hex
    session_id = new_session(live_server, user, targetMinutes=1)
    loop = asyncio.get_running_loop()
    async with connected(live_server, user) as client:
        await client.start(session_id)
        began_s = loop.time()

        async def until(second: float) -> None:
            await asyncio.sleep(began_s + second - loop.time())

        for second in range(1, 11):
            await until(second)
            await client.send("activity")
        await client.send("tabSwitch")
        await until(15)
        await client.send("tabSwitch")
        for second in range(30, 40):
            await until(second + 0.1)
            await client.send("activity")
        await until(40.2)
        await client.ask("stop", "stopped")
    session = stored(live_server, session_id, user)
    assert abs(session["elapsedSeconds"] - 40) <= 1
    assert abs(session["idleSeconds"] - 5) <= 1
    assert session["activeSeconds"] + session["idleSeconds"] == session["elapsedSeconds"]
    assert (session["tabSwitches"], session["pausedSeconds"], session["awaySeconds"]) == (2, 0, 0)
    score = focus_score(
        elapsed_seconds=session["elapsedSeconds"],
        active_seconds=session["activeSeconds"],
        idle_seconds=session["idleSeconds"],
        tab_switches=2,
        target_minutes=1,
    )
    assert session["focusScore"] == score.focus_score
    assert session["scoreBreakdown"] == {
        "completion": score.completion,
        "activityRatio": score.activity_ratio,
        "penalty": score.penalty,
        "formulaVersion": 1,
    }


async def test_with_a_fake_clock_exactly() -> None:
    clock = ManualClock(7_000_123_456, datetime(2026, 3, 1, 12, tzinfo=UTC))
    db: AsyncIOMotorDatabase[dict[str, Any]] = AsyncMongoMockClient(tz_aware=True)["focusup"]
    service = SessionTracking(
        db, clock, idle_after_s=15, max_sockets_per_user=1, max_sockets=1, learning=StudyService(db)
    )  # never started: this test is the ticker
    created = await SessionService(db, service, StudyService(db)).create(
        "ada", NewSession(target_minutes=1)
    )
    viewer = Tab()
    joined = await service.join(viewer, created.id, "ada", clock.now_us())
    for step in range(1, 401):
        now_us = clock.advance_s(0.1)
        if step % 10 == 0 and (step <= 100 or step >= 300):
            service.engine.activity(joined.tracked, now_us)
        if step in {100, 150}:
            service.engine.tab_switch(joined.tracked, now_us)
        service.ticker.turn(now_us)
        if step % 5 == 0:
            await service.ledger.flush()
    flushing = asyncio.create_task(service.ledger.run())
    session = (await service.end_tracked(joined.tracked, "completed")).session
    flushing.cancel()
    assert (session.elapsed_seconds, session.active_seconds, session.idle_seconds) == (40, 35, 5)
    assert (session.tab_switches, session.paused_seconds, session.away_seconds) == (2, 0, 0)
    # 100 * (40/60) * (35/40) - (2*2 + 5/30) = 54.17
    assert session.focus_score == 54
    assert session.ended_at is not None
    assert session.started_at is not None
    assert (session.ended_at - session.started_at).total_seconds() == 40
    assert ['"tick"' in text for text in viewer.heard] == [True] * 40 + [False]
    document = await find_session(db, created.id, "ada")
    assert (document["elapsedSeconds"], document["owner"]) == (40, None)
