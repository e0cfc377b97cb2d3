"""Two servers share one database, and clients and requests reach either of them.

What must hold: a session has one owner at any time, and whoever lost it is told so and
closed with 4409 within two seconds; no second is counted twice, and a takeover costs at
most one; what REST does on one server takes effect on the socket of the other within two
seconds, exactly; and an owner that was away changes nothing when it comes back.
"""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from scoring.focus import focus_score
from tests.support.database_server import Database
from tests.support.figures import Figures
from tests.support.pair import LATENCY_S, TOLD_WITHIN_S, Pair, Visit, frozen, pair
from tests.support.peer_watch import is_booked
from tests.support.socket_client import SocketClient, connected, new_session, stored

TAKEN_OVER, DELETED = 4409, 4404
COUNTERS = ("elapsedSeconds", "activeSeconds", "idleSeconds", "tabSwitches")
WATCH_EVERY_S = 0.01
ANSWERED_WITHIN_S = 5.0
DEAD_AFTER_S = 10.0
"""A server that is silent for so long is taken for dead."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("servers")
    database = Database(directory)
    database.start()
    try:
        with pair(directory, database) as both:
            yield both
    finally:
        database.remove()


@pytest.fixture
def both(shared: Pair) -> Pair:
    """The two servers, and a user of one's own."""
    return replace(shared, user=uuid.uuid4().hex)


async def called(work: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.to_thread(work, *args)


# --- taking over ------------------------------------------------------------------------


@asynccontextmanager
async def watched(both: Pair, session: str) -> AsyncIterator[list[tuple[str, str | None]]]:
    """Who wrote the document last and whom it belongs to, again and again."""
    seen: list[tuple[str, str | None]] = []

    async def watch() -> None:
        while True:
            document = await called(both.document, session)
            seen.append((document["stamp"].partition(".")[0], document["owner"]))
            await asyncio.sleep(WATCH_EVERY_S)

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()


async def take_turns(both: Pair, figures: Figures, *, rounds: int) -> None:
    session = new_session(both.a, both.user)
    dice = random.Random(rounds)
    visits: list[Visit] = []
    told_s: list[float] = []
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(connected(both.a, both.user))
        visits.append(await Visit(first, session).begin())
        seen = await stack.enter_async_context(watched(both, session))
        for number in range(1, rounds + 1):
            await asyncio.sleep(1.3 if number % 8 == 0 else dice.uniform(0, 0.2))
            server = (both.a, both.b)[number % 2]
            client = await stack.enter_async_context(connected(server, both.user))
            visits.append(await Visit(client, session).begin())
            code, took_s = await visits[-2].thrown_out()
            assert (code, visits[-2].heard.count("superseded")) == (TAKEN_OVER, 1)
            told_s.append(took_s)
        await visits[-1].mid_second(1)
        ended = (await visits[-1].client.ask("stop", "stopped"))["session"]
        over_s = time.monotonic()
    lost_s = judge_turns(visits)
    figures(
        takeovers=rounds,
        told_after_s=max(told_s),
        lost_most_s=max(lost_s),
        lost_mean_s=sum(lost_s) / rounds,
        away=ended["awaySeconds"],
    )
    assert max(told_s) <= TOLD_WITHIN_S
    assert sum(lost_s) <= rounds
    assert ended["elapsedSeconds"] <= over_s - visits[0].sent_s
    assert ended["awaySeconds"] <= rounds
    judge_owners(seen, rounds)


def judge_turns(visits: list[Visit]) -> list[float]:
    """The seconds that each takeover cost: one that was due at most, and the remainder."""
    lost_s = []
    for visit, later in pairwise(visits):
        booked = later.counted_before - visit.counted_before
        least_s, _ = visit.lasted_s(later.sent_s)
        assert later.counted_before <= later.started_s - visits[0].sent_s, "doubled"
        assert int(least_s) - booked <= 1
        lost_s.append(max(0.0, least_s - booked))
    return lost_s


def judge_owners(seen: list[tuple[str, str | None]], rounds: int) -> None:
    """Whoever writes is the owner, and nobody writes again once it was deposed."""
    assert all(writer == owner for writer, owner in seen if owner is not None)
    turns = [writer for writer, _ in groupby(writer for writer, owner in seen if owner)]
    assert len(set(turns)) == 2
    assert 2 <= len(turns) <= rounds + 1


async def test_two_servers_take_a_session_from_each_other(both: Pair, figures: Figures) -> None:
    await take_turns(both, figures, rounds=9)


@pytest.mark.xdist_group("load")
@pytest.mark.timeout(240)
async def test_two_servers_take_a_session_from_each_other_200_times(
    both: Pair, figures: Figures
) -> None:
    await take_turns(both, figures, rounds=200)


async def test_two_servers_claim_sessions_at_the_same_moment(both: Pair, figures: Figures) -> None:
    told_s = await asyncio.gather(*(contend(both) for _ in range(8)))
    figures(told_after_s=max(told_s))


async def contend(both: Pair) -> float:
    """One of two clients stays, and its session is counted once; when the other knew."""
    session = new_session(both.a, both.user)
    async with connected(both.a, both.user) as one, connected(both.b, both.user) as other:
        visits = await asyncio.gather(Visit(one, session).begin(), Visit(other, session).begin())
        leaving = {asyncio.create_task(visit.thrown_out()): visit for visit in visits}
        gone, staying = await asyncio.wait(
            leaving, timeout=TOLD_WITHIN_S, return_when=asyncio.FIRST_COMPLETED
        )
        assert len(gone) == 1
        code, told_s = await gone.pop()
        assert code == TAKEN_OVER
        (waiting,) = staying
        winner = leaving[waiting]
        assert not (await asyncio.wait([waiting], timeout=1.0))[0], "both were thrown out"
        waiting.cancel()
        await winner.mid_second(1)
        least_s, _ = winner.lasted_s()
        ended = (await winner.client.ask("stop", "stopped"))["session"]
        assert is_booked(ended["elapsedSeconds"], least_s, winner.lasted_s()[1])
    return told_s


# --- an owner that stands still -----------------------------------------------------------


async def depose_a_frozen_owner(
    both: Pair, figures: Figures, *, seconds: float, count: int = 10
) -> None:
    ids = [new_session(both.a, both.user) for _ in range(count)]
    async with AsyncExitStack() as stack:
        first = await visit_all(stack, both, "a", ids, over_s=0.9)
        await first[-1].mid_second()
        with frozen(both.a):
            frozen_s = time.monotonic()
            then = await visit_all(stack, both, "b", ids, over_s=0)
            for visit, later in zip(first, then, strict=True):
                least_s, _ = visit.lasted_s(frozen_s)
                most_s = later.started_s - visit.sent_s
                assert int(least_s) - 1 <= later.counted_before <= most_s
            await asyncio.sleep(seconds - (time.monotonic() - frozen_s))
        told = await asyncio.gather(*(visit.thrown_out() for visit in first))
        strays = await asyncio.gather(*(end_alone(visit) for visit in then))
    figures(told_after_s=max(took_s for _, took_s in told), strays=sum(strays))
    assert {code for code, _ in told} == {TAKEN_OVER}
    assert all(visit.heard.count("superseded") == 1 for visit in first)
    assert max(took_s for _, took_s in told) <= TOLD_WITHIN_S
    assert strays == [0] * count


async def visit_all(
    stack: AsyncExitStack, both: Pair, which: str, ids: list[str], *, over_s: float
) -> list[Visit]:
    visits = []
    for session in ids:
        client = await stack.enter_async_context(connected(getattr(both, which), both.user))
        visits.append(await Visit(client, session).begin())
        await asyncio.sleep(over_s / len(ids))
    return visits


async def end_alone(visit: Visit) -> int:
    """Stop it; the seconds in it that this visit did not count, or that it lacks."""
    await visit.mid_second(1)
    least_s, _ = visit.lasted_s()
    ended = (await visit.client.ask("stop", "stopped"))["session"]
    counted: int = ended["elapsedSeconds"] - visit.counted_before
    return counted - min(max(counted, int(least_s)), int(visit.lasted_s()[1]))


async def test_an_owner_frozen_for_4_s_changes_nothing_afterwards(
    both: Pair, figures: Figures
) -> None:
    await depose_a_frozen_owner(both, figures, seconds=4, count=4)


@pytest.mark.timeout(90)
async def test_an_owner_frozen_for_30_s_changes_nothing_afterwards(
    both: Pair, figures: Figures
) -> None:
    await depose_a_frozen_owner(both, figures, seconds=30)


async def test_an_owner_taken_for_dead_hears_that_a_paused_session_was_taken(
    both: Pair, figures: Figures
) -> None:
    """Nothing falls due while it is paused, so no write of the owner's tells it."""
    session = new_session(both.a, both.user)
    async with connected(both.a, both.user) as one, connected(both.b, both.user) as other:
        visit = await Visit(one, session).begin()
        await one.ask("pause", "paused")
        with frozen(both.a):
            await asyncio.sleep(DEAD_AFTER_S)
            await Visit(other, session).begin()
            await other.ask("resume", "resumed")
        code, told_s = await visit.thrown_out()
        figures(told_after_s=told_s)
        assert (code, visit.heard.count("superseded")) == (TAKEN_OVER, 1)
        assert told_s <= TOLD_WITHIN_S


async def test_the_other_server_ends_a_session_of_a_frozen_owner(
    both: Pair, figures: Figures
) -> None:
    session = new_session(both.a, both.user)
    async with connected(both.a, both.user) as client:
        visit = await Visit(client, session).begin()
        await visit.mid_second(1)
        with frozen(both.a):
            least_s, _ = visit.lasted_s()
            asked_s = time.monotonic()
            ended = await called(both.put, both.b, f"{session}/end", {})
            took_s = time.monotonic() - asked_s
        thawed_s = time.monotonic()
        told = await client.next("stopped")
        told_s = time.monotonic() - thawed_s
    figures(answered_after_s=took_s, told_after_s=told_s)
    assert took_s <= ANSWERED_WITHIN_S
    assert told_s <= TOLD_WITHIN_S
    assert told["session"] == ended == stored(both.a, session, both.user)
    assert int(least_s) - 1 <= ended["elapsedSeconds"] <= int(least_s + LATENCY_S)


# --- REST on the server that does not track it ------------------------------------------------


async def test_an_end_on_the_other_server(both: Pair, figures: Figures) -> None:
    session = new_session(both.a, both.user)
    async with connected(both.a, both.user) as client:
        visit = await Visit(client, session).begin()
        await visit.mid_second(1)
        asked_s = time.monotonic()
        ended = await called(both.put, both.b, f"{session}/end", {"status": "cancelled"})
        told = await client.next("stopped")
        told_s = time.monotonic()
        assert await client.error("start", sessionId=session) == "session_ended"
    figures(told_after_s=told_s - asked_s)
    assert told_s - asked_s <= TOLD_WITHIN_S
    assert told["session"] == ended
    assert (ended["status"], ended["tracked"]) == ("cancelled", False)
    least_s, most_s = visit.lasted_s(asked_s)[0], visit.lasted_s(told_s)[1]
    assert is_booked(ended["elapsedSeconds"], least_s, most_s)
    # It ended when its owner heard of it: every second until then is booked.
    assert (ended["awaySeconds"], ended["pausedSeconds"]) == (0, 0)
    assert ended["focusScore"] == told["focusScore"] == score_of(ended)


async def test_an_end_on_both_servers_at_once(both: Pair) -> None:
    session = new_session(both.a, both.user)
    async with connected(both.a, both.user) as client:
        visit = await Visit(client, session).begin()
        await visit.mid_second(1)
        told, ended = await asyncio.gather(
            client.ask("stop", "stopped"), called(both.put, both.b, f"{session}/end", {})
        )
        least_s = visit.lasted_s()[0]
    assert told["session"] == ended == stored(both.b, session, both.user)
    assert ended["awaySeconds"] == 0
    assert is_booked(ended["elapsedSeconds"], 1, least_s)


async def test_a_deletion_on_the_other_server(both: Pair, figures: Figures) -> None:
    session = new_session(both.a, both.user)
    async with connected(both.a, both.user) as client:
        visit = await Visit(client, session).begin()
        with both.b.rest(both.user) as rest:
            deleted = await called(rest.delete, f"/api/sessions/{session}")
        assert deleted.status_code == 204
        code, told_s = await visit.thrown_out()
    figures(told_after_s=told_s)
    assert code == DELETED
    assert told_s <= TOLD_WITHIN_S
    for server in both:
        with server.rest(both.user) as rest:
            assert rest.get(f"/api/sessions/{session}").status_code == 404


async def ask_elsewhere(
    both: Pair, client: SocketClient, session: str, status: str, told: str
) -> tuple[float, float]:
    """Set the status on the other server: before which and after which moment it was."""
    asked_s = time.monotonic()
    answered = await called(both.put, both.b, session, {"status": status})
    assert answered["status"] == status
    await client.next(told)
    return asked_s, time.monotonic()


async def test_a_pause_and_a_resumption_on_the_other_server(both: Pair, figures: Figures) -> None:
    session = new_session(both.a, both.user)
    async with connected(both.a, both.user) as client:
        visit = await Visit(client, session).begin()
        await visit.mid_second(1)
        pausing_s, paused_s = await ask_elsewhere(both, client, session, "paused", "paused")
        held = await both.until(session, TOLD_WITHIN_S, status="paused")
        assert await client.silence(1.3) == []
        assert both.document(session)["elapsedSeconds"] == held["elapsedSeconds"]
        resuming_s, resumed_s = await ask_elsewhere(both, client, session, "active", "resumed")
        grown = (await client.next("tick"))["elapsedSeconds"]
        stopping_s = time.monotonic()
        ended = (await client.ask("stop", "stopped"))["session"]
        over_s = time.monotonic()
    figures(paused_after_s=paused_s - pausing_s, resumed_after_s=resumed_s - resuming_s)
    assert max(paused_s - pausing_s, resumed_s - resuming_s) <= TOLD_WITHIN_S
    assert grown == held["elapsedSeconds"] + 1
    least_s = pausing_s - visit.started_s + stopping_s - resumed_s
    most_s = paused_s - visit.sent_s + over_s - resuming_s
    assert is_booked(ended["elapsedSeconds"], least_s, most_s)
    assert resuming_s - paused_s - 1 <= ended["pausedSeconds"] <= resumed_s - pausing_s + 1
    assert ended["awaySeconds"] <= 1  # two remainders may make a whole


async def test_counters_are_not_set_on_the_other_server(both: Pair) -> None:
    session = new_session(both.a, both.user)
    async with connected(both.a, both.user) as client:
        await client.start(session)
        assert stored(both.b, session, both.user)["tracked"] is True
        with both.b.rest(both.user) as rest:
            for name in COUNTERS:
                answer = await called(
                    lambda name=name: rest.put(f"/api/sessions/{session}", json={name: 0})
                )
                assert (answer.status_code, answer.json()["code"]) == (409, "session_tracked")
        ended = (await client.ask("stop", "stopped"))["session"]
    assert ended["edited"] is False
    assert stored(both.b, session, both.user)["tracked"] is False


async def test_a_target_and_a_title_set_on_the_other_server(both: Pair, figures: Figures) -> None:
    session = new_session(both.a, both.user)
    async with connected(both.a, both.user) as client:
        await client.start(session)
        await client.next("tick")
        asked_s = time.monotonic()
        await called(both.put, both.b, session, {"targetMinutes": 0.05, "title": "new"})
        while (await client.next("tick"))["focusScore"] < 50:  # of 25 minutes it is 0
            assert time.monotonic() - asked_s <= TOLD_WITHIN_S + 1  # a tick comes each second
        told_s = time.monotonic() - asked_s
        await client.next("targetReached")
        ended = (await client.ask("stop", "stopped"))["session"]
    figures(told_after_s=told_s)
    assert (ended["targetMinutes"], ended["title"]) == (0.05, "new")
    assert ended["focusScore"] == score_of(ended) >= 100


def score_of(session: dict[str, Any]) -> int:
    """What its counters and its target make of it."""
    return focus_score(
        elapsed_seconds=session["elapsedSeconds"],
        active_seconds=session["activeSeconds"],
        idle_seconds=session["idleSeconds"],
        tab_switches=session["tabSwitches"],
        target_minutes=session["targetMinutes"],
    ).focus_score


# --- an owner that is gone ----------------------------------------------------------------


async def test_sessions_of_a_killed_owner_are_free_for_the_other(
    tmp_path: Path, database: Database, figures: Figures
) -> None:
    """To be ended at once, to be counted at once, and untracked when that is certain."""
    with pair(tmp_path, database) as both:
        ended, taken, left = (new_session(both.a, both.user) for _ in range(3))
        async with AsyncExitStack() as stack:
            visits = await visit_all(stack, both, "a", [ended, taken, left], over_s=0)
            await visits[0].mid_second(1)
            killed_s = time.monotonic()
            await called(both.a.kill)
            session = await called(both.put, both.b, f"{ended}/end", {})
            answered_s = time.monotonic() - killed_s
            client = await stack.enter_async_context(connected(both.b, both.user))
            visit = await Visit(client, taken).begin()
            assert int(visits[1].lasted_s(killed_s)[0]) - 1 <= visit.counted_before <= 2
            assert await end_alone(visit) == 0
            while stored(both.b, left, both.user)["tracked"]:
                assert time.monotonic() - killed_s <= DEAD_AFTER_S
                await asyncio.sleep(WATCH_EVERY_S * 10)
            untracked_s = time.monotonic() - killed_s
    figures(ended_after_s=answered_s, untracked_after_s=untracked_s)
    assert answered_s <= ANSWERED_WITHIN_S
    least_s, _ = visits[0].lasted_s(killed_s)
    assert int(least_s) - 1 <= session["elapsedSeconds"] <= int(least_s + LATENCY_S)
