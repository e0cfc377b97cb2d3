"""The database is slow, gone, frozen, killed, or refuses one session.

What must hold: counting goes on in time meanwhile, in bounded memory; every socket is told
`degraded` once and `recovered` once; what fell due meanwhile is written soon after the
database answers again, every second once; and one session that cannot be written keeps
nobody else.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.load import stay_active
from tests.support.database_server import Database
from tests.support.figures import Figures
from tests.support.fleet import Fleet, load, logged, percentile
from tests.support.killed import CAUGHT_UP_S, RESTARTED_WITHIN_S, killed_under_load
from tests.support.oracle import now_s
from tests.support.proxy import Proxy

OBSERVERS = 10
TICK_LATE_S = 0.25
GROWTH_MB = 30
HEALTH_WITHIN_S = 3.0
QUARANTINE_S = 10.0


@dataclass
class Outage:
    """What was seen from the beginning of an outage on."""

    crew: Fleet
    rss_before: int
    rss_most: int = 0
    health: dict[str, Any] | None = None
    health_took_s: float = 0.0

    @classmethod
    def begins(cls, crew: Fleet) -> "Outage":
        rss = psutil.Process(crew.server.pid).memory_info().rss
        return cls(crew, rss, rss)

    async def lasts(self, seconds: float) -> None:
        """Users go on; halfway, health is asked for."""
        await stay_active(self.crew.members, every_s=5, for_s=seconds / 2)
        asked = asyncio.create_task(asyncio.to_thread(self._ask_health))
        await stay_active(self.crew.members, every_s=5, for_s=seconds / 2)
        self.note_memory()
        await asked

    def note_memory(self) -> None:
        rss = psutil.Process(self.crew.server.pid).memory_info().rss
        self.rss_most = max(self.rss_most, rss)

    def _ask_health(self) -> None:
        began_s = now_s()
        with self.crew.server.rest(None) as rest:
            answer = rest.get("/api/health")
        self.health_took_s = now_s() - began_s
        self.health = {"http": answer.status_code, **answer.json()}

    async def told(self) -> None:
        """Until every socket has been told that it is over."""
        async with asyncio.timeout(5):
            for member in self.crew.members:
                await member.recovered.wait()

    async def is_over(self, figures: Figures) -> None:
        """The database answers again: from now on everything must come right."""
        crew = self.crew
        caught_up_s = await crew.caught_up(within_s=30)
        await self.told()
        self.note_memory()
        observers = crew.members[:OBSERVERS]
        # Now: an audit is arithmetic that keeps this process from reading ticks in time.
        late_s = [late for member in observers for late in member.late_s]
        verdict = await crew.audit()
        await crew.leave(observers)
        figures(
            caught_up_s=caught_up_s,
            tick_late_p99_ms=percentile(late_s, 99) * 1000,
            tick_late_max_ms=max(late_s) * 1000,
            growth_mb=self.growth_mb,
            health_s=self.health_took_s,
            **verdict.figures,
        )
        assert verdict.exact, verdict
        assert caught_up_s <= CAUGHT_UP_S
        assert all(member.heard_every_second for member in observers)
        assert percentile(late_s, 99) < TICK_LATE_S
        self._was_harmless()

    @property
    def growth_mb(self) -> float:
        return (self.rss_most - self.rss_before) / 1e6

    def _was_harmless(self) -> None:
        assert self.growth_mb < GROWTH_MB
        told = {(m.heard["degraded"], m.heard["recovered"]) for m in self.crew.members}
        assert told == {(1, 1)}
        assert self.health is not None
        assert (self.health["http"], self.health["status"]) == (200, "degraded"), self.health
        assert self.health["tickLagMs"] < 1000 * TICK_LATE_S
        assert self.health_took_s < HEALTH_WITHIN_S


async def gone(
    directory: Path, database: Database, figures: Figures, *, count: int, seconds: float
) -> None:
    with Proxy(database.port) as proxy:
        async with load(directory, database, count, port=proxy.port, ticking=OBSERVERS) as crew:
            outage = Outage.begins(crew)
            await asyncio.to_thread(proxy.refuse)
            await outage.lasts(seconds)
            await asyncio.to_thread(proxy.accept)
            await outage.is_over(figures)


async def test_the_database_is_gone_for_6_s(
    tmp_path: Path, database: Database, figures: Figures
) -> None:
    await gone(tmp_path, database, figures, count=50, seconds=6)


@pytest.mark.xdist_group("load")
@pytest.mark.timeout(180)
async def test_the_database_is_gone_for_60_s(
    tmp_path: Path, database: Database, figures: Figures
) -> None:
    await gone(tmp_path, database, figures, count=1000, seconds=60)


@pytest.mark.xdist_group("load")
@pytest.mark.timeout(120)
async def test_the_database_stands_still_for_20_s(
    tmp_path: Path, database: Database, figures: Figures
) -> None:
    async with load(tmp_path, database, 300, ticking=OBSERVERS) as crew:
        outage = Outage.begins(crew)
        database.freeze()
        try:
            await outage.lasts(20)
        finally:
            database.thaw()
        await outage.is_over(figures)


TWO_FLUSHES_S = 2 * (0.25 + 0.5)
"""Two flushes of a quarter of a second each, each with the half second that the driver may
take to notice that the database is back, or to write 500 sessions."""


@pytest.mark.xdist_group("load")
async def test_the_database_is_killed_under_load(
    tmp_path: Path, database: Database, figures: Figures
) -> None:
    _, caught_up_s = await killed_under_load(tmp_path, database, figures, count=500, seconds=0.5)
    assert caught_up_s <= TWO_FLUSHES_S


@pytest.mark.xdist_group("load")
@pytest.mark.timeout(180)
async def test_the_database_is_killed_after_90_s_of_load(
    tmp_path: Path, database: Database, figures: Figures
) -> None:
    restart_s, caught_up_s = await killed_under_load(
        tmp_path, database, figures, count=1000, seconds=90
    )
    assert restart_s <= RESTARTED_WITHIN_S
    assert caught_up_s <= CAUGHT_UP_S


@pytest.mark.timeout(90)
@pytest.mark.parametrize("counter", ["elapsedSeconds", "activeSeconds"])
async def test_one_session_cannot_be_written(
    tmp_path: Path, database: Database, figures: Figures, counter: str
) -> None:
    """Nothing can be added to text, so the database refuses every statement with it."""
    async with load(tmp_path, database, 60) as crew:
        bad = crew.members[30].session
        before = crew.sessions.find_one({"_id": bad})
        assert before is not None
        crew.sessions.update_one({"_id": bad}, {"$set": {counter: "poison"}})
        others = {id_: oracle for id_, oracle in crew.oracles.items() if id_ != bad}
        due = {id_: oracle.due(now_s()) + 2 for id_, oracle in others.items()}
        harmed_s = await crew.until(
            lambda stored: all(stored[id_]["elapsedSeconds"] >= due[id_] for id_ in due),
            within_s=6,
        )
        quarantined = {line["tracked"] for line in logged(crew.server, "item_quarantined")}
        crew.sessions.update_one(
            {"_id": bad, counter: "poison"}, {"$set": {counter: before[counter]}}
        )
        mended_s = await crew.caught_up(within_s=2 * QUARANTINE_S)
        verdict = await crew.audit()
        figures(others_two_seconds_on_after_s=harmed_s, booked_after_s=mended_s, **verdict.figures)
        assert quarantined == {str(bad)}
        assert verdict.exact, verdict
