"""A replica set of three loses its primary, a secondary or its majority under load.

Invariants:
- every due second is stored once, whatever the set goes through;
- clients are told `degraded` within 3 s of the loss of a primary, if the loss lasts that long,
  and `recovered` within 2 s of the election of another one;
- nothing is acknowledged that a majority has not stored.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load import stay_active
from realtime.sessions.store import ANSWER_WITHIN_S
from tests.support.figures import Figures
from tests.support.fleet import SETTINGS, WARM_UP_S, Fleet, fleet
from tests.support.live_server import LiveServer, running_server
from tests.support.mongod import Node, ReplicaSet
from tests.support.oracle import now_s
from tests.support.socket_client import connected, new_session, stored

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("load")]

SESSIONS = 300
DEGRADED_WITHIN_S = 3.0
RECOVERED_WITHIN_S = 2.0
CAUGHT_UP_WITHIN_S = 5.0
MAJORITY_GONE_S = 20.0
FROZEN_S = 6.0
SIGN_EVERY_S = 5.0
UNWRITTEN_S = 1.0
"""How old a second may be that is not yet in the database."""


@pytest.fixture(scope="module")
def shared(whole_set: ReplicaSet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    directory = tmp_path_factory.mktemp("elections")
    with running_server(directory, MONGODB_URI=whole_set.uri, **SETTINGS) as server:
        yield server


@asynccontextmanager
async def crew_on(server: LiveServer, replicas: ReplicaSet) -> AsyncIterator[Fleet]:
    """Yield sessions that are tracked; in the end each of them leaves, and all are exact."""
    async with fleet(server, replicas, SESSIONS) as crew:
        try:
            await crew.join()
        except TimeoutError:
            heard = Counter(str(sorted(member.heard)) for member in crew.members)
            pytest.fail(f"not all have started: {heard}")
        await stay_active(crew.members, every_s=1, for_s=WARM_UP_S)
        yield crew
        await crew.leave()
        await crew.let_go()
        verdict = await crew.verdict()
        assert verdict.exact, verdict


class Election:
    """What becomes of a set and of those who are tracked, from a harm on."""

    def __init__(self, crew: Fleet, replicas: ReplicaSet) -> None:
        self.crew = crew
        self.replicas = replicas
        self.began_s = self.elected_s = 0.0

    async def follow(
        self, harm: Callable[[], Node | None], then: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Do the harm, and go on until there is a primary, other than the one it returns.

        Args:
            then: What to do before a primary is waited for.
        """
        signs = asyncio.create_task(self._signs())
        try:
            self.began_s = now_s()
            former = await asyncio.to_thread(harm)
            if then is not None:
                await then()
            await asyncio.to_thread(self.replicas.wait_for_primary, other_than=former)
            self.elected_s = now_s()
        finally:
            signs.cancel()

    async def is_over(self, figures: Figures) -> None:
        """Hold what clients were told to its limits, and what is stored to the oracle."""
        first_flush_s = await self._first_flush()
        caught_up_s = await self.crew.caught_up(within_s=20)
        await asyncio.sleep(0.5)  # until the last of them has been told
        verdict = await self.crew.audit()
        degraded_s = [at - self.began_s for at in self._heard("degraded")]
        recovered_s = [at - self.elected_s for at in self._heard("recovered")]
        without_s = self.elected_s - self.began_s
        figures(
            without_primary_s=without_s,
            first_flush_s=first_flush_s,
            caught_up_s=caught_up_s,
            degraded_s=max(degraded_s, default=None),
            recovered_s=max(recovered_s, default=None),
            **verdict.figures,
        )
        assert verdict.exact, verdict
        assert first_flush_s <= CAUGHT_UP_WITHIN_S
        if without_s > DEGRADED_WITHIN_S:
            assert len(degraded_s) == SESSIONS
        told = [[kind for kind, _ in member.told] for member in self.crew.members]
        assert all(each in ([], ["degraded", "recovered"]) for each in told), told
        assert max(degraded_s, default=0.0) <= DEGRADED_WITHIN_S
        assert max(recovered_s, default=0.0) <= RECOVERED_WITHIN_S

    def _heard(self, kind: str) -> list[float]:
        return [at for member in self.crew.members for told, at in member.told if told == kind]

    async def _first_flush(self) -> float:
        """Return the seconds from the election until anything was written."""
        before = await self.crew.documents()
        await self.crew.until(
            lambda stored: any(
                document["elapsedSeconds"] > before[id_]["elapsedSeconds"]
                for id_, document in stored.items()
            ),
            within_s=20,
        )
        return now_s() - self.elected_s

    async def _signs(self) -> None:
        while True:
            await stay_active(self.crew.members, every_s=SIGN_EVERY_S, for_s=SIGN_EVERY_S)


def kill_primary(replicas: ReplicaSet) -> Node:
    primary = replicas.primary()
    primary.kill()
    return primary


async def test_a_primary_steps_down(
    shared: LiveServer, replicas: ReplicaSet, figures: Figures
) -> None:
    async with crew_on(shared, replicas) as crew:
        election = Election(crew, replicas)
        await election.follow(replicas.step_down)
        await election.is_over(figures)


async def test_a_primary_is_killed_and_returns(
    shared: LiveServer, replicas: ReplicaSet, figures: Figures
) -> None:
    async with crew_on(shared, replicas) as crew:
        election = Election(crew, replicas)
        await election.follow(lambda: kill_primary(replicas))
        await election.is_over(figures)
        await asyncio.to_thread(replicas.mend)
        verdict = await crew.audit()
        assert verdict.exact, verdict


async def test_a_secondary_stands_still(
    shared: LiveServer, replicas: ReplicaSet, figures: Figures
) -> None:
    async with crew_on(shared, replicas) as crew:
        secondary = (await asyncio.to_thread(replicas.secondaries))[0]
        secondary.freeze()
        await stay_active(crew.members, every_s=SIGN_EVERY_S, for_s=FROZEN_S)
        during = await crew.audit()
        secondary.thaw()
        await asyncio.to_thread(replicas.wait_until_whole)
        verdict = await crew.audit()
        figures(**verdict.figures)
        assert during.exact, during
        assert verdict.exact, verdict
        assert not any(member.told for member in crew.members)


async def test_a_majority_is_gone_for_20_s(
    shared: LiveServer, replicas: ReplicaSet, figures: Figures
) -> None:
    """A `stop` without a majority is answered when it is stored, and not before."""
    gone = await asyncio.to_thread(replicas.secondaries)

    def lose() -> None:
        for node in gone:
            node.kill()

    def come_back() -> None:
        for node in gone:
            node.start()

    session = new_session(shared)
    async with crew_on(shared, replicas) as crew, connected(shared) as client:
        await client.start(session)
        await client.next("tick")
        election = Election(crew, replicas)

        async def stop_in_vain() -> None:
            await asyncio.sleep(0.5)
            await client.send("stop")
            with pytest.raises(TimeoutError):
                await client.next("stopped", within_s=MAJORITY_GONE_S - 2)

        async def outage() -> None:
            await asyncio.gather(stop_in_vain(), asyncio.sleep(MAJORITY_GONE_S))
            await asyncio.to_thread(come_back)

        await election.follow(lose, then=outage)
        await client.next("stopped")
        await election.is_over(figures)


async def test_all_nodes_are_restarted(
    shared: LiveServer, replicas: ReplicaSet, figures: Figures
) -> None:
    async with crew_on(shared, replicas) as crew:
        election = Election(crew, replicas)
        await election.follow(replicas.restart)
        await election.is_over(figures)


async def test_the_server_is_killed_during_an_election(
    tmp_path: Path, replicas: ReplicaSet, figures: Figures
) -> None:
    """What was stored before is kept, and what could not be written any more is lost once."""
    with running_server(tmp_path, MONGODB_URI=replicas.uri, **SETTINGS) as server:
        async with fleet(server, replicas, SESSIONS) as crew:
            await crew.join()
            await stay_active(crew.members, every_s=1, for_s=WARM_UP_S)
            began_s = now_s()
            due = {id_: oracle.due(began_s - UNWRITTEN_S) for id_, oracle in crew.oracles.items()}
            former = await asyncio.to_thread(kill_primary, replicas)
            await stay_active(crew.members, every_s=1, for_s=2.0)
            server.kill()
            for member in crew.members:
                member.oracle.holds(began_s, now_s())
            await asyncio.to_thread(replicas.wait_for_primary, other_than=former)
            stored: dict[Any, Any] = await crew.documents()
            assert all(stored[id_]["elapsedSeconds"] >= due[id_] for id_ in due)
            for id_, oracle in crew.oracles.items():
                oracle.crashed(stored[id_])
            await asyncio.to_thread(server.start)
            await crew.join()
            await stay_active(crew.members, every_s=1, for_s=2.0)
            verdict = await crew.audit()
            figures(killed_after_s=2.0, **verdict.figures)
            assert verdict.exact, verdict
            await crew.leave()
            await crew.let_go()
            verdict = await crew.verdict()
            assert verdict.exact, verdict


async def test_nothing_is_acknowledged_without_a_majority(
    shared: LiveServer, replicas: ReplicaSet
) -> None:
    """A primary that has lost the others still answers reads: with what it may have to undo."""
    session = new_session(shared)
    frozen = await asyncio.to_thread(replicas.secondaries)
    async with connected(shared) as client:
        await client.start(session)
        await client.ask("pause", "paused")
        for node in frozen:
            node.freeze()
        await client.send("stop")
        with pytest.raises(TimeoutError):
            await client.next("stopped", within_s=ANSWER_WITHIN_S + 3)
        for node in frozen:
            node.thaw()
        await client.next("stopped", within_s=30)
    assert stored(shared, session)["status"] == "completed"
