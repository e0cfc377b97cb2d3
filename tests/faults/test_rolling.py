"""Two servers behind the nginx that is shipped are restarted one after the other, as for an
upgrade, while sockets are tracked and requests come.

What must hold: each socket is told 1012, comes back through nginx to the other server, and
loses no second; none is counted twice; the time between is away; and nobody's request is
refused.
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from benchmarks.load import stay_active
from tests.support.database_server import Database
from tests.support.figures import Figures
from tests.support.fleet import DATABASE, SETTINGS, USER, Fleet, Member, fleet, percentile
from tests.support.live_server import LiveServer
from tests.support.nginx import Front, any_certificate, nginx
from tests.support.oracle import LATENCY_S, Between, now_s
from tests.support.pair import pair

RESTART = 1012
BACK_WITHIN_S = 20.0
AGAIN_AFTER_S = (0.1, 0.5)
"""As the client library does it the first time, and sooner."""
BETWEEN_S = 3.0
"""From one server being back to the end of the other: nginx passes over one that failed until
a full second of its clock is over, which takes up to two."""
LOOKED_AT = 25
WHOLE_SECONDS_S = 1.0
"""By how much away may differ from the gaps: both it and what is counted are whole seconds."""
ASK_EVERY_S = 0.05


@dataclass
class Journey:
    """What one client saw of its session, over all its sockets."""

    ticks: list[int] = field(default_factory=list)
    gaps: list[Between] = field(default_factory=list)
    """In seconds: from the end of the one until the other knew of its start, and back."""
    codes: Counter[int | None] = field(default_factory=Counter)
    refused: int = 0
    """Tries to come back that did not lead to `started`."""


class Roaming:
    """A fleet whose members come back by themselves, each as soon as it is lost."""

    def __init__(self, crew: Fleet) -> None:
        self.crew = crew
        self.journeys = {member.session: Journey() for member in crew.members}
        self.stopping_s = 0.0
        self.back_s: list[float] = []
        """From each stop until the last of its clients was tracked again."""
        self.moved: list[int] = []
        """How many clients each server had."""
        self._dice = random.Random(5)

    async def roam(self, place: int) -> None:
        """Stay at this place of the fleet, with one socket after the other."""
        while True:
            member = self.crew.members[place]
            journey = self.journeys[member.session]
            await member.gone.wait()
            gone_s = now_s()
            member.oracle.holds(self.stopping_s, gone_s)
            journey.ticks += member.ticks
            journey.codes[member.close_code] += 1
            self.crew.members[place] = again = await self._come_back(member, journey)
            shortest_s, longest_s = again.sent_s - gone_s, again.started_s - self.stopping_s
            journey.gaps.append(Between(shortest_s, longest_s))

    async def _come_back(self, lost: Member, journey: Journey) -> Member:
        token = self.crew.server.token(USER)
        while True:
            await asyncio.sleep(self._dice.uniform(*AGAIN_AFTER_S))
            member = Member(token, lost.session, lost.oracle, lost.updates)
            await asyncio.get_running_loop().create_connection(
                lambda member=member: member,
                "127.0.0.1",
                self.crew.port,
                ssl=self.crew.tls,
            )
            ways = [asyncio.create_task(way.wait()) for way in (member.started, member.gone)]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            if member.started.is_set():
                return member
            journey.refused += 1

    async def restart(self, server: LiveServer) -> None:
        """Stop it, wait for its clients to be back, and start it."""
        before = list(self.crew.members)
        self.stopping_s = now_s()
        assert await asyncio.to_thread(server.stop) == 0
        async with asyncio.timeout(BACK_WITHIN_S):
            while any(member.gone.is_set() for member in self.crew.members):  # noqa: ASYNC110 - 500 events
                await asyncio.sleep(0.02)
        self.back_s.append(now_s() - self.stopping_s)
        after = self.crew.members
        self.moved.append(sum(old is not new for old, new in zip(before, after, strict=True)))
        await asyncio.to_thread(server.start)

    @asynccontextmanager
    async def under_way(self) -> AsyncIterator[None]:
        """All roam, and say that they are there."""
        members = self.crew.members
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.roam(place)) for place in range(len(members))]
            tasks.append(group.create_task(stay_active(members, every_s=1, for_s=math.inf)))
            yield
            for task in tasks:
                task.cancel()


@asynccontextmanager
async def asking(front: Front) -> AsyncIterator[Counter[int | str]]:
    """Somebody creates sessions meanwhile, one after the other; what they were answered."""
    answers: Counter[int | str] = Counter()
    headers = {"Authorization": f"Bearer {front.token('somebody')}"}

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=front.url, headers=headers, verify=False) as rest:
            while True:
                try:
                    answers[(await rest.post("/api/sessions", json={})).status_code] += 1
                except httpx.HTTPError as error:
                    answers[type(error).__name__] += 1
                await asyncio.sleep(ASK_EVERY_S)

    task = asyncio.create_task(ask())
    try:
        yield answers
    finally:
        task.cancel()


async def away_beyond(front: Front, roaming: Roaming) -> list[float]:
    """End some; by how much their away time is beyond what their clients saw of gaps."""
    beyond_s = []
    with front.rest(USER) as rest:
        for member in roaming.crew.members[:LOOKED_AT]:
            path = f"/api/sessions/{member.session}/end"
            assert member.lost_s is not None
            asked_s = now_s() - member.lost_s
            answer = await asyncio.to_thread(rest.put, path, json={})
            last = Between(asked_s - LATENCY_S, now_s() - member.lost_s)
            gaps = [*roaming.journeys[member.session].gaps, last]
            away_s = answer.json()["session"]["awaySeconds"]
            low_s, high_s = sum(gap.low for gap in gaps), sum(gap.high for gap in gaps)
            beyond_s.append(max(low_s - away_s, away_s - high_s, 0.0))
    return beyond_s


async def roll(directory: Path, database: Database, figures: Figures, *, count: int) -> None:
    settings = {**SETTINGS, "MONGODB_DATABASE": DATABASE}
    with pair(directory, database, **settings) as both, nginx(directory, *both) as front:
        async with fleet(front, database, count, any_certificate()) as crew:
            await crew.join(ticking=count)
            roaming = Roaming(crew)
            async with roaming.under_way(), asking(front) as answers:
                for server in both:
                    await asyncio.sleep(BETWEEN_S)
                    await roaming.restart(server)
            await crew.leave()
            await crew.let_go()
            verdict = await crew.verdict()
            beyond_s = await away_beyond(front, roaming)
    codes = sum((journey.codes for journey in roaming.journeys.values()), Counter[int | None]())
    gaps_s = [gap.high for journey in roaming.journeys.values() for gap in journey.gaps]
    figures(
        moved=roaming.moved,
        all_back_after_s=max(roaming.back_s),
        gap_p50_s=percentile(gaps_s, 50),
        refused=sum(journey.refused for journey in roaming.journeys.values()),
        answers=dict(answers),
        **verdict.figures,
        uncertain=verdict.uncertain,
        away_beyond_s=max(beyond_s),
    )
    assert verdict.exact, verdict
    assert codes == {RESTART: sum(roaming.moved)}
    assert roaming.moved[1] == count, "all were on the other server"
    assert set(answers) == {201}
    assert max(beyond_s) <= WHOLE_SECONDS_S
    for member in crew.members:
        heard = roaming.journeys[member.session].ticks + member.ticks
        assert all(later > earlier for earlier, later in pairwise(heard)), heard


async def test_40_sockets_roll(tmp_path: Path, database: Database, figures: Figures) -> None:
    await roll(tmp_path, database, figures, count=40)


@pytest.mark.xdist_group("load")
@pytest.mark.timeout(240)
async def test_500_sockets_roll(tmp_path: Path, database: Database, figures: Figures) -> None:
    await roll(tmp_path, database, figures, count=500)
