"""What sockets and routes may ask, in the races that a real socket seldom meets."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.base.errors import Conflict, NotFound, StorageUnavailable
from models.sessions.queries import find_session, sessions
from models.sessions.session import NewSession, SessionChange
from models.sessions.timeline import runs_in
from models.study.service import StudyService
from realtime.engine.clock import SystemClock
from realtime.engine.tracked import TrackedSession
from realtime.sessions.service import SessionService
from realtime.sessions.tracking import SessionTracking
from scoring.timeline import unpack
from tests.support.embedded import AnyDatabase, embedded_database
from tests.support.tab import Tab


async def started(db: AnyDatabase) -> SessionTracking:
    service = SessionTracking(
        db,
        SystemClock(),
        idle_after_s=15,
        max_sockets_per_user=10,
        max_sockets=100,
        learning=StudyService(db),
    )
    await service.start()
    return service


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[SessionTracking]:
    async with embedded_database(tmp_path) as db:
        service = await started(db)
        yield service
        assert await service.stop(within_s=5) == []


def records(service: SessionTracking) -> SessionService:
    return SessionService(service._db, service, StudyService(service._db))


async def join(
    service: SessionTracking, session_id: str, user: str = "ada"
) -> tuple[Tab, TrackedSession]:
    tab = Tab()
    joined = await service.join(tab, session_id, user, service.clock.now_us())
    return tab, joined.tracked


async def test_tabs_that_start_at_the_same_time_share_one_claim(service: SessionTracking) -> None:
    id_ = (await records(service).create("ada", NewSession())).id
    joined = await asyncio.gather(*(join(service, id_) for _ in range(5)))
    assert len({tracked for _, tracked in joined}) == 1
    assert len(joined[0][1].viewers) == 5


async def test_somebody_else_asking_at_the_same_time_changes_nothing(
    service: SessionTracking,
) -> None:
    id_ = (await records(service).create("ada", NewSession())).id
    asked = ["eve", "ada", "eve"]
    results = await asyncio.gather(
        *(join(service, id_, user) for user in asked), return_exceptions=True
    )
    assert [isinstance(result, NotFound) for result in results] == [True, False, True]


async def test_a_claim_nobody_waits_for_is_let_go(service: SessionTracking) -> None:
    id_ = (await records(service).create("ada", NewSession())).id
    asking = asyncio.create_task(join(service, id_))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    for _ in range(100):
        await asyncio.sleep(0.05)
        if not service.engine.all_tracked and (await records(service).get("ada", id_)).started_at:
            break
    assert not service.engine.all_tracked
    assert (await records(service).get("ada", id_)).tracked is False


async def test_an_end_that_meets_a_claim_goes_through_the_engine(service: SessionTracking) -> None:
    for _ in range(20):
        id_ = (await records(service).create("ada", NewSession())).id
        results = await asyncio.gather(
            join(service, id_),
            records(service).end("ada", id_, "completed"),
            return_exceptions=True,
        )
        if isinstance(results[1], BaseException):
            assert isinstance(results[1], StorageUnavailable)  # contended: may try again
            await records(service).end("ada", id_, "completed")
        assert (await records(service).get("ada", id_)).status == "completed"
        await asyncio.sleep(0.3)
        assert (await records(service).get("ada", id_)).status == "completed"


async def test_a_second_end_with_another_status_is_a_conflict(service: SessionTracking) -> None:
    id_ = (await records(service).create("ada", NewSession())).id
    tab, tracked = await join(service, id_)
    first, second = await asyncio.gather(
        service.end_tracked(tracked, "completed"),
        records(service).end("ada", id_, "cancelled"),
        return_exceptions=True,
    )
    assert not isinstance(first, BaseException)
    assert first.session.status == "completed"
    assert isinstance(second, Conflict)
    assert tab.let_go
    assert sum('"stopped"' in text for text in tab.heard) == 1


async def test_an_end_goes_on_when_whoever_asked_has_gone(service: SessionTracking) -> None:
    id_ = (await records(service).create("ada", NewSession())).id
    first, tracked = await join(service, id_)
    second, _ = await join(service, id_)
    asking = asyncio.create_task(service.end_tracked(tracked, "completed", by=first))
    await asyncio.sleep(0)
    service.leave(first, tracked, service.clock.now_us())
    asking.cancel()
    await asyncio.wait([asking])
    for _ in range(60):
        await asyncio.sleep(0.05)
        if second.let_go:
            break
    assert second.let_go
    assert '"stopped"' in second.heard[-1]
    assert not first.heard


async def test_a_session_written_by_somebody_else_is_superseded(service: SessionTracking) -> None:
    id_ = (await records(service).create("ada", NewSession())).id
    tab, tracked = await join(service, id_)
    document = await find_session(service._db, id_, "ada")
    change = {"$set": {"stamp": "other.1", "owner": "other"}}
    await sessions(service._db).update_one({"_id": document["_id"]}, change)
    for _ in range(60):
        await asyncio.sleep(0.05)
        if tab.closed_with:
            break
    assert tab.closed_with == 4409
    assert tracked.gone
    assert (await records(service).get("ada", id_)).elapsed_seconds == 0


async def test_target_and_title_change_while_tracked(service: SessionTracking) -> None:
    id_ = (await records(service).create("ada", NewSession(target_minutes=1))).id
    _, tracked = await join(service, id_)
    changed = await records(service).update("ada", id_, SessionChange(target_minutes=2, title="x"))
    assert (changed.target_minutes, changed.title, changed.tracked) == (2, "x", True)
    await asyncio.sleep(1.2)
    ended = (await service.end_tracked(tracked, "completed")).session
    assert ended.score_breakdown is not None
    assert ended.score_breakdown.completion == 1 / 120


async def test_after_the_stop_nobody_joins(tmp_path: Path) -> None:
    async with embedded_database(tmp_path) as db:
        service = await started(db)
        id_ = (await records(service).create("ada", NewSession())).id
        joining: list[Any] = [asyncio.create_task(join(service, id_)) for _ in range(3)]
        await asyncio.sleep(0)
        assert await service.stop(within_s=5) == []
        await asyncio.gather(*joining, return_exceptions=True)
        with pytest.raises(StorageUnavailable):
            await join(service, id_)
        found = await find_session(db, id_, "ada")
        assert found["owner"] is None


async def test_the_score_fits_the_target_that_was_changed_at_the_end(
    service: SessionTracking,
) -> None:
    for _ in range(10):
        id_ = (await records(service).create("ada", NewSession(target_minutes=25))).id
        _, tracked = await join(service, id_)
        tracked.active += 60
        await asyncio.gather(
            records(service).update("ada", id_, SessionChange(target_minutes=1)),
            service.end_tracked(tracked, "completed"),
        )
        ended = await records(service).get("ada", id_)
        assert (ended.target_minutes, ended.focus_score) == (1, 100)


async def test_an_edited_session_that_goes_on_ends_when_it_ends(service: SessionTracking) -> None:
    id_ = (await records(service).create("ada", NewSession())).id
    by_hand = SessionChange(elapsed_seconds=36_000, active_seconds=36_000)
    await records(service).update("ada", id_, by_hand)
    _, tracked = await join(service, id_)
    ended = (await service.end_tracked(tracked, "completed")).session
    assert ended.started_at is not None
    assert ended.ended_at is not None
    assert (ended.ended_at - ended.started_at).total_seconds() < 5
    assert (ended.elapsed_seconds, ended.away_seconds) == (36_000, 0)


async def test_a_pause_is_told_although_whoever_asked_has_gone(service: SessionTracking) -> None:
    id_ = (await records(service).create("ada", NewSession())).id
    first, tracked = await join(service, id_)
    second, _ = await join(service, id_)
    asking = asyncio.ensure_future(
        service.set_paused(tracked, True, service.clock.now_us(), by=first)
    )
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    await service.ledger.saved(tracked)
    await asyncio.sleep(0.1)
    assert any('"paused"' in text for text in second.heard)


async def test_the_first_second_after_a_start_costs_no_write_of_its_own(
    service: SessionTracking,
) -> None:
    """What it begins in the timeline was written with the claim."""
    id_ = (await records(service).create("ada", NewSession())).id
    _, tracked = await join(service, id_)
    before = tracked.revision
    await asyncio.sleep(1.3)
    assert (tracked.elapsed, tracked.revision) == (1, before)
    (run,) = unpack(tracked.timeline.pack(), tracked.totals)
    stored = await service._db["sessions"].find_one({"_id": tracked.tracked_id})
    assert stored is not None
    assert runs_in(stored) == [run]
