"""The server is killed, or told to stop in the worst moment.

What must hold: `kill -9` loses at most one second of each session and doubles none, and
each can be resumed within five seconds. SIGTERM ends within ten seconds whatever the
database does: every socket is closed with 1012, and every second is either in the database
or, session by session, in the log.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from bson import ObjectId

from benchmarks.load import stay_active
from tests.support.database_server import Database, uri
from tests.support.figures import Figures
from tests.support.fleet import Document, Fleet, Member, fleet, load, logged
from tests.support.live_server import LiveServer
from tests.support.oracle import LATENCY_S, Verdict, judge, now_s
from tests.support.proxy import Fate, Proxy

RESUMED_WITHIN_S = 5.0
EXIT_WITHIN_S = 10.0
RESTART = 1012


async def in_mid_second(crew: Fleet, *, after_s: float) -> None:
    """Users go on for so long, and until half a second after a due moment; all have joined
    at once."""
    member = crew.members[len(crew.members) // 2]
    moment_s = member.oracle.in_mid_second_s(now_s() + after_s)
    await stay_active(crew.members, every_s=1, for_s=moment_s - now_s() - 0.01)
    await asyncio.sleep(moment_s - now_s())


# --- kill -9 ---------------------------------------------------------------------------


async def kill(crew: Fleet) -> tuple[Verdict, float]:
    """Kill the server; what that cost, and when all had resumed after the next start."""
    server = crew.server
    killed_s = now_s()
    await asyncio.to_thread(server.kill)
    for oracle in crew.oracles.values():
        oracle.holds(killed_s, now_s())
    began_s = now_s()
    await asyncio.to_thread(server.start)
    documents = await crew.documents()
    verdict = judge((oracle, documents[id_]) for id_, oracle in crew.oracles.items())
    for id_, oracle in crew.oracles.items():
        oracle.crashed(documents[id_])
    await crew.join(over_s=0.1)
    return verdict, now_s() - began_s


async def killed_again_and_again(
    directory: Path, database: Database, figures: Figures, *, rounds: int
) -> None:
    """By turns half a second after a due moment, and between a write and its answer."""
    most_lost, lost, resumed_s = 0, 0, 0.0
    with Proxy(database.port) as proxy:
        async with load(directory, database, 40, port=proxy.port, over_s=0.1) as crew:
            for number in range(rounds):
                await in_mid_second(crew, after_s=0.6)
                if number % 2:
                    written = proxy.rule(Fate.HOLD_REPLY, times=1)
                    assert await asyncio.to_thread(written.first.wait, 3)
                verdict, took_s = await kill(crew)
                proxy.clear()
                resumed_s = max(resumed_s, took_s)
                most_lost, lost = max(most_lost, verdict.most_lost), lost + verdict.lost
                assert verdict.doubled == 0, verdict
                assert all(member.resumed for member in crew.members)
            last = await crew.audit()
    figures(rounds=rounds, most_lost=most_lost, lost=lost, resumed_within_s=resumed_s)
    assert most_lost <= 1
    assert resumed_s <= RESUMED_WITHIN_S
    assert last.exact, last


async def test_the_server_is_killed_twice(
    tmp_path: Path, database: Database, figures: Figures
) -> None:
    await killed_again_and_again(tmp_path, database, figures, rounds=2)


@pytest.mark.timeout(90)
async def test_the_server_is_killed_six_times(
    tmp_path: Path, database: Database, figures: Figures
) -> None:
    await killed_again_and_again(tmp_path, database, figures, rounds=6)


# --- SIGTERM ---------------------------------------------------------------------------


async def stopped(
    crew: Fleet, *, again_after_s: float | None = None, takes_s: float = LATENCY_S
) -> tuple[int, float]:
    """SIGTERM; the exit status, and the seconds until it came.

    Counting ends so many seconds after the signal at the latest.
    """
    pid, told_s = crew.server.pid, now_s()
    if again_after_s is not None:
        asyncio.get_running_loop().call_later(again_after_s, os.kill, pid, signal.SIGTERM)
    try:
        status = await asyncio.to_thread(crew.server.stop)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        raise
    exit_s = now_s() - told_s
    async with asyncio.timeout(3):
        await asyncio.gather(*(member.gone.wait() for member in crew.members))
    for oracle in crew.oracles.values():
        oracle.holds(told_s, told_s + takes_s)
    return status, exit_s


def close_codes(members: Iterable[Member]) -> set[int | None]:
    return {member.close_code for member in members}


NOTHING_UNWRITTEN = {"active": 0, "idle": 0, "of_these_in_doubt": 0}


def and_unwritten(
    server: LiveServer, documents: dict[ObjectId, Document], due: dict[ObjectId, float]
) -> dict[ObjectId, Document]:
    """What is stored, and what the log says was not; of that, what was in doubt may have
    been."""
    unwritten = {line["session"]: line for line in logged(server, "seconds_unwritten")}
    whole: dict[ObjectId, Document] = {}
    for id_, document in documents.items():
        line = dict(unwritten.get(str(id_), NOTHING_UNWRITTEN))
        counted = line["active"] + line["idle"] + document["elapsedSeconds"]
        if line["of_these_in_doubt"] and counted > due[id_]:
            line["active"] -= line["of_these_in_doubt"]
        whole[id_] = {
            "elapsedSeconds": document["elapsedSeconds"] + line["active"] + line["idle"],
            "activeSeconds": document["activeSeconds"] + line["active"],
            "idleSeconds": document["idleSeconds"] + line["idle"],
        }
    return whole


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", ["refuse", "swallow"])
async def test_sigterm_while_the_database_is_down(
    tmp_path: Path, database: Database, figures: Figures, how: str
) -> None:
    with Proxy(database.port) as proxy:
        async with load(tmp_path, database, 100, port=proxy.port, over_s=0.1) as crew:
            await asyncio.to_thread(getattr(proxy, how))
            await in_mid_second(crew, after_s=3)
            status, exit_s = await stopped(crew)
            server, stored = crew.server, await crew.documents()
            due = {id_: oracle.bounds().elapsed.high for id_, oracle in crew.oracles.items()}
            whole = and_unwritten(server, stored, due)
            verdict = judge((oracle, whole[id_]) for id_, oracle in crew.oracles.items())
            unwritten = len(logged(server, "seconds_unwritten"))
            figures(exit_s=exit_s, status=status, unwritten=unwritten, **verdict.figures)
            assert exit_s <= EXIT_WITHIN_S
            assert close_codes(crew.members) == {RESTART}
            assert unwritten == len(crew.members)
            assert verdict.exact, verdict
            assert verdict.stored > sum(document["elapsedSeconds"] for document in stored.values())


async def test_sigterm_comes_twice(tmp_path: Path, database: Database, figures: Figures) -> None:
    """The second one comes while the last seconds are being written."""
    with Proxy(database.port) as proxy:
        async with load(tmp_path, database, 100, port=proxy.port, over_s=0.1) as crew:
            await in_mid_second(crew, after_s=0.5)
            proxy.rule(Fate.DELAY, delay_s=0.5)
            status, exit_s = await stopped(crew, again_after_s=0.2)
            verdict = await crew.verdict()
            figures(exit_s=exit_s, status=status, **verdict.figures)
            assert (status, logged(crew.server, "seconds_unwritten")) == (0, [])
            assert 0.5 <= exit_s <= EXIT_WITHIN_S
            assert close_codes(crew.members) == {RESTART}
            assert verdict.exact, verdict


@pytest.mark.xdist_group("load")
@pytest.mark.timeout(60)
async def test_sigterm_with_1000_sockets(
    tmp_path: Path, database: Database, figures: Figures
) -> None:
    async with load(tmp_path, database, 1000) as crew:
        await stay_active(crew.members, every_s=5, for_s=3)
        status, exit_s = await stopped(crew)
        verdict = await crew.verdict()
        figures(exit_s=exit_s, status=status, **verdict.figures)
        assert (status, logged(crew.server, "seconds_unwritten")) == (0, [])
        assert exit_s <= EXIT_WITHIN_S
        assert close_codes(crew.members) == {RESTART}
        assert verdict.exact, verdict


async def test_sigterm_before_it_serves(
    tmp_path: Path, database: Database, figures: Figures
) -> None:
    """The database is still making an index."""
    with Proxy(database.port) as proxy:
        held = proxy.rule(Fate.HOLD_REPLY, commands=frozenset({"createIndexes"}))
        server = LiveServer(tmp_path, MONGODB_URI=uri(proxy.port))
        starting = asyncio.create_task(asyncio.to_thread(server.start))
        assert await asyncio.to_thread(held.first.wait, 10)
        told_s = now_s()
        os.kill(server.pid, signal.SIGTERM)
        with pytest.raises(AssertionError):  # it has ended instead of starting
            await starting
        exit_s = now_s() - told_s
        status = await asyncio.to_thread(server.stop)
        figures(exit_s=exit_s, status=status)
        assert status == 0
        assert exit_s < 3
        assert len(logged(server, "start_interrupted")) == 1
        assert "Traceback" not in server.log()
        proxy.clear()
        await asyncio.to_thread(server.start)
        assert await asyncio.to_thread(server.stop) == 0


async def test_sigterm_while_50_clients_are_joining(
    tmp_path: Path, database: Database, figures: Figures
) -> None:
    """Each has either been started, and every second of it is written, or it has not. None
    is left as if somebody tracked it."""
    with Proxy(database.port) as proxy:
        async with (
            load(tmp_path, database, 50, port=proxy.port, over_s=0.1) as there,
            fleet(there.server, database, 50) as crew,
        ):
            proxy.rule(Fate.DELAY, delay_s=0.05, commands=None)
            joining = asyncio.create_task(crew.try_to_join(over_s=0.5))
            await asyncio.sleep(0.3)
            status, exit_s = await stopped(there, takes_s=1)
            await joining
            for member in crew.members:
                member.oracle.holds(member.started_s, member.lost_s)
            started = sum(member.started.is_set() for member in crew.members)
            verdict, others = await crew.verdict(), await there.verdict()
            codes = close_codes(crew.members)
            figures(exit_s=exit_s, status=status, started=started, codes=codes, **verdict.figures)
            assert (status, logged(there.server, "seconds_unwritten")) == (0, [])
            assert exit_s <= EXIT_WITHIN_S
            assert 0 < started < 50
            assert codes - {RESTART} <= {None}
            assert all(member.close_code == RESTART for member in crew.members if member.upgraded)
            assert close_codes(there.members) == {RESTART}
            owners = {document["owner"] for document in (await crew.documents()).values()}
            assert owners == {None}
            assert (verdict.lost, verdict.doubled) == (0, 0), verdict
            assert (others.lost, others.doubled) == (0, 0), others
