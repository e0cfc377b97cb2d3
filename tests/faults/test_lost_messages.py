"""Requests and replies are lost, late, cut in half or slow between server and database.

What must hold: once things have settled, every session holds exactly the seconds that its
client knows to have fallen due: none lost, none doubled, each active or idle as it was.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from benchmarks.load import stay_active
from tests.support.database_server import Database, uri
from tests.support.figures import Figures
from tests.support.fleet import SETTINGS, USER, Fleet, fleet, percentile
from tests.support.live_server import LiveServer, running_server
from tests.support.oracle import Oracle, judge, now_s
from tests.support.proxy import Fate, Proxy, Rule
from tests.support.socket_client import connected

SESSIONS = 60
TICK_LATE_S = 0.25


@dataclass
class Rig:
    """A server that reaches its database by way of a proxy."""

    database: Database
    proxy: Proxy
    server: LiveServer

    @asynccontextmanager
    async def fleet(
        self, count: int = SESSIONS, *, over_s: float = 0.5, ticking: int = 0
    ) -> AsyncIterator[Fleet]:
        """Joined, evenly over so many seconds; over less, more is written together."""
        async with fleet(self.server, self.database, count) as crew:
            await crew.join(ticking=ticking, over_s=over_s)
            yield crew


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    directory = tmp_path_factory.mktemp("lost")
    database = Database(directory)
    database.start()
    try:
        with (
            Proxy(database.port) as proxy,
            running_server(directory, MONGODB_URI=uri(proxy.port), **SETTINGS) as server,
        ):
            yield Rig(database, proxy, server)
    finally:
        database.remove()


async def ordeal(
    rig: Rig, crew: Fleet, rule: Rule, figures: Figures, *, for_s: float, every_s: float = 1
) -> None:
    """Messages are lost for so long, while one third of the users leaves; then they are lost
    no more, and every second must be there."""
    third = len(crew.members) // 3
    staying = stay_active(crew.members[third::2], every_s=every_s, for_s=for_s)
    await asyncio.gather(staying, crew.leave(crew.members[:third]))
    rig.proxy.clear()
    caught_up_s = await crew.caught_up(within_s=10)
    verdict = await crew.audit()
    figures(acted=rule.acted, of=rule.seen, caught_up_s=caught_up_s, **verdict.figures)
    assert verdict.exact, verdict


@pytest.mark.parametrize(
    ("fate", "every", "least"),
    [
        (Fate.DROP_REPLY, 2, 3),
        (Fate.DROP, 2, 3),
        (Fate.CUT, 2, 3),
        (Fate.DROP_AND_HANG, 3, 1),
    ],
    ids=["reply", "request", "half-a-batch", "request-hanging"],
)
async def test_messages_are_lost(
    rig: Rig, figures: Figures, fate: Fate, every: int, least: int
) -> None:
    async with rig.fleet() as crew:
        rule = rig.proxy.rule(fate, every=every)
        await ordeal(rig, crew, rule, figures, for_s=1.5)
    assert rule.acted >= least


@pytest.mark.parametrize(
    "fate", [Fate.HOLD_PAST_NEXT, Fate.HOLD_BEFORE_NEXT], ids=["after-next", "before-next"]
)
async def test_a_request_comes_after_its_successor_or_after_it_was_given_up(
    rig: Rig, figures: Figures, fate: Fate
) -> None:
    """Past its successor it finds other stamps and does nothing. Before it, but after it was
    given up, it is done, and its successor must see that."""
    rig.proxy.late_modified.clear()
    async with rig.fleet(over_s=0.2) as crew:
        rule = rig.proxy.rule(fate, every=2)
        await ordeal(rig, crew, rule, figures, for_s=1.5)
    assert rig.proxy.settled()
    done_late = sum(rig.proxy.late_modified)
    figures(done_late=done_late)
    assert len(rig.proxy.late_modified) == rule.acted >= 2
    assert done_late > 0 or fate is Fate.HOLD_PAST_NEXT


async def test_replies_to_pause_resume_and_stop_are_lost(rig: Rig, figures: Figures) -> None:
    """Each is answered all the same, once, when the database has been asked again."""
    async with fleet(rig.server, rig.database, 1) as crew, connected(rig.server, USER) as client:
        ((session, oracle),) = crew.oracles.items()

        async def ask(type_: str, answer: str, **fields: object) -> None:
            sent_s = now_s()
            said = await client.ask(type_, answer, **fields)
            if "nextSecondInMs" in said:
                oracle.runs(sent_s, now_s(), said["nextSecondInMs"])
            else:
                oracle.holds(sent_s)

        async def in_mid_second() -> None:
            await asyncio.sleep(oracle.in_mid_second_s(now_s()) - now_s())

        rule = rig.proxy.rule(Fate.DROP_REPLY, every=2)
        await ask("start", "started", sessionId=str(session))
        for _ in range(2):
            await in_mid_second()
            await ask("pause", "paused")
            await ask("resume", "resumed")
        await in_mid_second()
        await ask("stop", "stopped")
        rig.proxy.clear()
        verdict = await crew.verdict()
        figures(acted=rule.acted, of=rule.seen, **verdict.figures)
        assert (await crew.documents())[session]["status"] == "completed"
    assert verdict.exact, verdict
    assert rule.acted >= 3


async def test_a_claim_whose_reply_is_lost_keeps_the_remainder(rig: Rig, figures: Figures) -> None:
    """Each second visit begins with a claim that was done and not answered."""
    async with fleet(rig.server, rig.database, 1) as crew:
        ((session, oracle),) = crew.oracles.items()
        for turn in range(6):
            async with connected(rig.server, USER) as client:
                rule = rig.proxy.rule(Fate.DROP_REPLY, times=turn % 2)
                while True:
                    sent_s = now_s()
                    await client.send("start", sessionId=str(session))
                    said = await client.next("started", "error")
                    if said["type"] == "started":
                        break
                    assert said["retryable"], said
                oracle.runs(sent_s, now_s(), said["nextSecondInMs"])
                assert rule.acted == turn % 2
                rig.proxy.clear()
                await asyncio.sleep(0.85)
                oracle.holds(now_s())
            await crew.let_go()
        verdict = await crew.verdict()
    figures(**verdict.figures)
    assert verdict.exact, verdict
    assert verdict.stored >= 5


async def test_every_reply_takes_400_ms(rig: Rig, figures: Figures) -> None:
    async with rig.fleet(ticking=SESSIONS) as crew:
        rule = rig.proxy.rule(Fate.DELAY, delay_s=0.4, commands=None)
        await ordeal(rig, crew, rule, figures, for_s=2)
        await crew.leave(crew.members[SESSIONS // 3 :])
    late_s = [late for member in crew.members for late in member.late_s]
    figures(tick_late_p99_ms=percentile(late_s, 99) * 1000)
    assert all(member.heard_every_second for member in crew.members)
    assert percentile(late_s, 99) < TICK_LATE_S
    assert not any(member.heard["degraded"] for member in crew.members)


@pytest.mark.timeout(120)
async def test_every_third_write_is_reset_for_60_s(rig: Rig, figures: Figures) -> None:
    """One half of those who stay is idle from the sixteenth second on."""
    async with rig.fleet(200) as crew:
        rule = rig.proxy.rule(Fate.RESET, every=3)
        await ordeal(rig, crew, rule, figures, for_s=60, every_s=5)
        idle = sum(document["idleSeconds"] for document in (await crew.documents()).values())
    assert rule.acted >= 20
    assert idle >= 60 * 44


async def test_the_oracle_sees_one_second_more_or_less(rig: Rig) -> None:
    """What all of these tests rest on."""
    oracle = Oracle()
    oracle.runs(100.0, 100.01, 995)
    oracle.sign(102.0)
    oracle.holds(120.5)
    good = {"elapsedSeconds": 20, "activeSeconds": 17, "idleSeconds": 3}
    assert judge([(oracle, good)]).exact
    lost = judge([(oracle, {**good, "elapsedSeconds": 19, "activeSeconds": 16})])
    doubled = judge([(oracle, {**good, "elapsedSeconds": 21, "activeSeconds": 18})])
    wrong = judge([(oracle, {**good, "activeSeconds": 18, "idleSeconds": 2})])
    assert (lost.lost, lost.most_lost, doubled.doubled) == (1, 1, 1)
    assert (wrong.misclassed, wrong.exact) == (1, False)
