"""Two servers behind the nginx that is shipped, and one of them is killed.

What must hold: every session that it tracked is resumed on the other within ten seconds,
has lost at most one second and doubled none, and the time between is away; sessions on the
other server do not notice.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from benchmarks.load import stay_active
from tests.support.database_server import Database
from tests.support.figures import Figures
from tests.support.fleet import DATABASE, SETTINGS, USER, Fleet, Member, fleet
from tests.support.live_server import LiveServer
from tests.support.nginx import Front, any_certificate, nginx
from tests.support.oracle import Verdict, judge, now_s
from tests.support.pair import pair

RESUMED_WITHIN_S = 10.0
CUT_WITHIN_S = 3.0
LOOKED_AT = 10


@dataclass
class Crash:
    """The end of one of the servers, as its clients saw it."""

    crew: Fleet
    died_s: float
    lost: list[Member]
    cost: Verdict
    """What was not written when it died."""

    async def resume(self) -> float:
        """All come back through nginx; the seconds from the crash until the last has."""
        token = self.crew.server.token(USER)
        again = [Member(token, one.session, one.oracle, "change") for one in self.lost]
        stayed = [member for member in self.crew.members if member not in self.lost]
        self.crew.members = stayed + again
        await self.crew.connect(again)
        self.lost = again
        return now_s() - self.died_s


async def crash(crew: Fleet, server: LiveServer) -> Crash:
    """Kill the server, and find out which clients it had."""
    by_owner: defaultdict[Any, set[ObjectId]] = defaultdict(set)
    for id_, document in (await crew.documents()).items():
        by_owner[document["owner"]].add(id_)
    killed_s = now_s()
    await asyncio.to_thread(server.kill)
    died_s = now_s()
    shares = [
        {one.session for one in crew.members if one.session in ids} for ids in by_owner.values()
    ]
    while {one.session for one in crew.members if one.gone.is_set()} not in shares:
        assert now_s() - died_s < CUT_WITHIN_S, "others were cut off as well, or not all"
        await asyncio.sleep(0.02)
    lost = [one for one in crew.members if one.gone.is_set()]
    documents = await crew.documents()
    for one in lost:
        one.oracle.holds(killed_s, died_s)
    cost = judge((one.oracle, documents[one.session]) for one in lost)
    for one in lost:
        one.oracle.crashed(documents[one.session])
    return Crash(crew, died_s, lost, cost)


async def away(front: Front, crash: Crash, left_s: float) -> list[float]:
    """End some; by how much their away time is more than the two gaps that they saw."""
    more_s = []
    with front.rest(USER) as rest:
        for one in crash.lost[:LOOKED_AT]:
            path = f"/api/sessions/{one.session}/end"
            answer = await asyncio.to_thread(rest.put, path, json={})
            session = answer.json()["session"]
            assert session["pausedSeconds"] == 0
            gaps_s = one.started_s - crash.died_s + now_s() - left_s
            more_s.append(session["awaySeconds"] - gaps_s)
    return more_s


async def fail_over(directory: Path, database: Database, figures: Figures, *, count: int) -> None:
    settings = {**SETTINGS, "MONGODB_DATABASE": DATABASE}
    with pair(directory, database, **settings) as both, nginx(directory, *both) as front:
        async with fleet(front, database, count, any_certificate()) as crew:
            await crew.join()
            await stay_active(crew.members, every_s=1, for_s=2)
            crashed = await crash(crew, both.a)
            resumed_s = await crashed.resume()
            await stay_active(crew.members, every_s=1, for_s=2)
            left_s = now_s()
            await crew.leave()
            await crew.let_go()
            verdict = await crew.verdict()
            more_s = await away(front, crashed, left_s)
    figures(
        of_the_killed=len(crashed.lost),
        resumed_within_s=resumed_s,
        lost=crashed.cost.lost,
        most_lost=crashed.cost.most_lost,
        away_beyond_s=max(more_s),
        due=verdict.due,
        uncertain=verdict.uncertain,
    )
    assert len(crashed.lost) == pytest.approx(count / 2, abs=1)
    assert (crashed.cost.doubled, crashed.cost.misclassed) == (0, 0), crashed.cost
    assert crashed.cost.most_lost <= 1
    assert resumed_s <= RESUMED_WITHIN_S
    assert all(one.resumed for one in crashed.lost)
    assert verdict.exact, verdict
    # Beyond the gaps: what the crash cost, and a remainder at either end.
    assert all(-2 <= beyond_s <= 2 for beyond_s in more_s), more_s


async def test_50_sockets_fail_over(tmp_path: Path, database: Database, figures: Figures) -> None:
    await fail_over(tmp_path, database, figures, count=50)


@pytest.mark.xdist_group("load")
@pytest.mark.timeout(180)
async def test_2000_sockets_fail_over(tmp_path: Path, database: Database, figures: Figures) -> None:
    await fail_over(tmp_path, database, figures, count=2000)
