"""Sessions to which nobody comes back, on two servers that both look for such.

What must hold: one that was tracked, and is not tracked again within the time that is set,
is ended as abandoned at its last booked second, scored, and that once, whatever became of
its server; one that was never tracked, is paused, is tracked however silently, or is
returned to in time, is left alone.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from models.sessions.session import score_of
from tests.support.database_server import Database
from tests.support.figures import Figures
from tests.support.fleet import logged
from tests.support.live_server import LiveServer, running_server
from tests.support.pair import LATENCY_S, Pair, Visit, frozen, pair
from tests.support.socket_client import connected, new_session, stored

AFTER_S = 3.0
SETTINGS = {"ABANDON_AFTER_MINUTES": str(AFTER_S / 60)}
SEEN_WITHIN_S = 1.5
"""Two looks, and the time they take."""
BOOKED_WITHIN_S = 0.5
"""A second's booking is written so soon after it fell due."""
DEAD_AFTER_S = 10.0
"""A server that is silent for so long is taken for dead."""
LEFT = 12


@dataclass
class Fate:
    """One session, what its clients know of it, and what became of it."""

    session: str
    visits: list[Visit] = field(default_factory=list)
    left_s: float = 0.0
    took_s: float = 0.0
    """From the moment when nobody was there any more until it was seen to be abandoned."""
    found: dict[str, Any] = field(default_factory=dict)

    def check_abandoned(self, *, within_s: float = AFTER_S + SEEN_WITHIN_S) -> None:
        assert AFTER_S - LATENCY_S <= self.took_s <= within_s
        self.check_end()

    def check_end(self) -> None:
        """At the last booked second, and scored with what was booked."""
        found, score = self.found, score_of(self.found)
        assert (found["status"], found["owner"]) == ("abandoned", None)
        assert found["focusScore"] == score.focus_score
        assert found["scoreBreakdown"]["completion"] == pytest.approx(score.completion)
        assert found["endedAt"] == found["lastBookedAt"]
        last_s = self.last_tick_s() - self.visits[0].started_s
        ran_s = seconds(found["endedAt"], found["startedAt"])
        assert -LATENCY_S <= ran_s - last_s <= BOOKED_WITHIN_S

    def last_tick_s(self) -> float:
        """When its last second fell due, as its clients know it."""
        ran_s = 0.0
        for visit in self.visits[:-1]:
            ran_s += sum(visit.lasted_s(visit.left_s)) / 2
        last = self.visits[-1]
        ran_s += sum(last.lasted_s(last.left_s)) / 2
        return last.left_s - ran_s % 1


def seconds(later: datetime, sooner: datetime) -> float:
    return (later - sooner).total_seconds()


async def visit(
    server: LiveServer, user: str, fate: Fate, *, for_s: float, pause: bool = False
) -> None:
    """Track it for so long, and leave it."""
    async with connected(server, user) as client:
        one = await Visit(client, fate.session).begin(updates="none")
        fate.visits.append(one)
        await asyncio.sleep(for_s)
        if pause:
            await client.ask("pause", "paused")
        one.left_s = fate.left_s = time.monotonic()


async def until_abandoned(both: Pair, fate: Fate, *, within_s: float) -> None:
    fate.found = await both.until(fate.session, within_s, status="abandoned")
    fate.took_s = time.monotonic() - fate.left_s


# --- while all servers live ---------------------------------------------------------------


@dataclass
class Lives:
    """What befell the sessions, all at the same time."""

    both: Pair
    left: list[Fate] = field(default_factory=list)
    returned: Fate | None = None
    resumed: Fate | None = None
    late: str = ""
    over: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Those that stayed, at the end, by what they are."""

    async def live(self) -> None:
        await asyncio.gather(
            *(self.leave(number) for number in range(LEFT)),
            self.come_back_in_time(),
            self.be_resumed_by_nobody(),
            self.stay_and_be_silent(),
            self.be_paused(),
            self.never_be_tracked(),
        )
        for fate in self.left:  # whatever may come after the end has come by now
            assert self.both.document(fate.session) == fate.found

    def new(self) -> Fate:
        return Fate(new_session(self.both.a, self.both.user))

    def server(self, number: int) -> LiveServer:
        return (self.both.a, self.both.b)[number % 2]

    async def leave(self, number: int) -> None:
        fate = self.new()
        self.left.append(fate)
        await visit(self.server(number // 2), self.both.user, fate, for_s=1.5)
        await until_abandoned(self.both, fate, within_s=AFTER_S + 2 * SEEN_WITHIN_S)
        if number == 0:
            async with connected(self.both.b, self.both.user) as client:
                self.late = await client.error("start", sessionId=fate.session)

    async def come_back_in_time(self) -> None:
        """Twice within the time, so that the whole takes longer than that."""
        self.returned = fate = self.new()
        for number in range(3):
            await visit(self.server(number), self.both.user, fate, for_s=0.8)
            await asyncio.sleep(AFTER_S - 1 if number < 2 else 0)
        self.over["returned"] = self.both.document(fate.session)
        await until_abandoned(self.both, fate, within_s=AFTER_S + 2 * SEEN_WITHIN_S)

    async def be_resumed_by_nobody(self) -> None:
        """Paused for longer than the time, then resumed over REST and left like that."""
        self.resumed = fate = self.new()
        await visit(self.both.a, self.both.user, fate, for_s=1.5, pause=True)
        await asyncio.sleep(AFTER_S / 2)
        for status in ("paused", "active"):
            fate.left_s = time.monotonic()
            await asyncio.to_thread(self.both.put, self.both.b, fate.session, {"status": status})
        await until_abandoned(self.both, fate, within_s=AFTER_S + 2 * SEEN_WITHIN_S)

    async def stay_and_be_silent(self) -> None:
        session = self.new().session
        async with connected(self.both.a, self.both.user) as client:
            await client.start(session)
            await asyncio.sleep(AFTER_S + 2 * SEEN_WITHIN_S)
            self.over["silent"] = (await client.ask("stop", "stopped"))["session"]

    async def be_paused(self) -> None:
        fate = self.new()
        await visit(self.both.a, self.both.user, fate, for_s=0.5, pause=True)
        await asyncio.sleep(AFTER_S + SEEN_WITHIN_S)
        self.over["paused"] = self.both.document(fate.session)

    async def never_be_tracked(self) -> None:
        session = self.new().session
        await asyncio.sleep(AFTER_S + 2 * SEEN_WITHIN_S)
        self.over["never tracked"] = self.both.document(session)


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    directory = tmp_path_factory.mktemp("abandoned")
    database = Database(directory)
    database.start()
    many = {"MAX_SOCKETS_PER_USER": "100"}
    try:
        with pair(directory, database, **SETTINGS, **many) as both:
            lived = Lives(both)
            asyncio.run(lived.live())
            yield lived
    finally:
        database.remove()


def test_nobody_came_back(lives: Lives, figures: Figures) -> None:
    figures(seen_after_s=max(fate.took_s for fate in lives.left))
    for fate in lives.left:
        fate.check_abandoned()
        assert fate.found["elapsedSeconds"] == 1
        session = stored(lives.both.a, fate.session, lives.both.user)
        assert (session["awaySeconds"], session["pausedSeconds"]) == (0, 0)


def test_each_was_abandoned_by_one_of_the_servers(lives: Lives) -> None:
    lines = [
        line["session"] for server in lives.both for line in logged(server, "session_abandoned")
    ]
    wanted = [*lives.left, lives.returned, lives.resumed]
    assert sorted(lines) == sorted(fate.session for fate in wanted if fate)


def test_an_abandoned_session_is_not_started_again(lives: Lives) -> None:
    assert lives.late == "session_ended"


def test_who_comes_back_in_time_goes_on(lives: Lives) -> None:
    fate = lives.returned
    assert fate is not None
    assert lives.over["returned"]["status"] == "active"
    fate.check_abandoned()
    assert fate.found["elapsedSeconds"] == 2  # of three times 0.8 s
    assert [visit.answer["resumed"] for visit in fate.visits] == [False, True, True]


def test_a_pause_that_ends_over_rest_begins_the_wait(lives: Lives) -> None:
    fate = lives.resumed
    assert fate is not None
    assert AFTER_S - LATENCY_S <= fate.took_s <= AFTER_S + SEEN_WITHIN_S
    assert fate.found["elapsedSeconds"] == 1
    assert fate.found["endedAt"] == fate.found["lastBookedAt"]


def test_a_silent_client_is_there(lives: Lives) -> None:
    session = lives.over["silent"]
    assert session["status"] == "completed"
    assert session["elapsedSeconds"] >= int(AFTER_S + 2 * SEEN_WITHIN_S)
    assert session["awaySeconds"] == 0


@pytest.mark.parametrize(
    ("which", "status"), [("paused", "paused"), ("never tracked", "active")], ids=str
)
def test_it_is_left_alone(lives: Lives, which: str, status: str) -> None:
    document = lives.over[which]
    assert (document["status"], document["endedAt"]) == (status, None)


# --- when a server does not live ----------------------------------------------------------


async def test_the_server_was_restarted_meanwhile(
    tmp_path: Path, database: Database, figures: Figures
) -> None:
    """Only one, so that nobody but it can look for what it left."""
    settings = {"MONGODB_URI": database.uri, "MONGODB_DATABASE": "focusup", **SETTINGS}
    with running_server(tmp_path, **settings) as server:
        fate = Fate(new_session(server))
        await visit(server, "ada", fate, for_s=1.5)
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        while stored(server, fate.session)["status"] == "active":
            assert time.monotonic() - fate.left_s <= AFTER_S + 2 * SEEN_WITHIN_S
            await asyncio.sleep(0.05)
        found = stored(server, fate.session)
        fate.took_s = time.monotonic() - fate.left_s
    figures(seen_after_s=fate.took_s)
    assert (found["status"], found["elapsedSeconds"]) == ("abandoned", 1)
    assert found["awaySeconds"] == 0


@pytest.mark.parametrize("restarted", [False, True], ids=["for good", "and started again"])
async def test_their_server_was_killed(
    tmp_path: Path, database: Database, figures: Figures, restarted: bool
) -> None:
    """The other one ends them, and leaves alone what it tracks by then."""
    with pair(tmp_path, database, **SETTINGS) as both:
        fates = [Fate(new_session(both.a, both.user)) for _ in range(5)]
        async with AsyncExitStack() as stack:
            for fate in fates:
                client = await stack.enter_async_context(connected(both.a, both.user))
                fate.visits.append(await Visit(client, fate.session).begin())
            await fates[0].visits[0].mid_second(2)
            killed_s = time.monotonic()
            await asyncio.to_thread(both.a.kill)
            if restarted:
                await asyncio.to_thread(both.a.start)
            *left, taken = fates
            client = await stack.enter_async_context(connected(both.b, both.user))
            await Visit(client, taken.session).begin()
            for fate in left:
                fate.visits[0].left_s = fate.left_s = killed_s
                await until_abandoned(both, fate, within_s=AFTER_S + DEAD_AFTER_S + 5)
            await client.next("tick")
            ended = (await client.ask("stop", "stopped"))["session"]
            lines = [
                line["session"] for server in both for line in logged(server, "session_abandoned")
            ]
    figures(seen_after_s=max(fate.took_s for fate in left))
    assert sorted(lines) == sorted(fate.session for fate in left)
    assert (ended["status"], ended["tracked"]) == ("completed", False)
    for fate in left:
        fate.check_abandoned(within_s=DEAD_AFTER_S + AFTER_S + SEEN_WITHIN_S)
        assert 1 <= fate.found["elapsedSeconds"] <= 2


async def test_their_server_stood_still(
    tmp_path: Path, database: Database, figures: Figures
) -> None:
    """It is taken for dead; when it goes on, its clients hear what became of the session."""
    with pair(tmp_path, database, **SETTINGS) as both:
        fate = Fate(new_session(both.a, both.user))
        async with connected(both.a, both.user) as client:
            fate.visits.append(await Visit(client, fate.session).begin())
            await fate.visits[0].mid_second(1)
            with frozen(both.a):
                fate.visits[0].left_s = fate.left_s = time.monotonic()
                await until_abandoned(both, fate, within_s=AFTER_S + DEAD_AFTER_S + 5)
            thawed_s = time.monotonic()
            told = (await client.next("stopped"))["session"]
            told_s = time.monotonic() - thawed_s
        after = await both.until(fate.session, 1, status="abandoned")
    figures(seen_after_s=fate.took_s, told_after_s=told_s)
    assert told["status"] == "abandoned"
    assert told["elapsedSeconds"] == after["elapsedSeconds"] == 1
    assert after == fate.found
    fate.check_abandoned(within_s=DEAD_AFTER_S + AFTER_S + SEEN_WITHIN_S)
