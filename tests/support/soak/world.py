"""A small world for the soak: two servers, their database, what befalls them, and users.

What must hold: faults come one at a time and leave time to recover in between, so that what
each may cost is known; what users do goes on meanwhile, but a server is killed only while
none of them waits for an answer, so that each knows what was done.
"""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.database_server import Database
from tests.support.live_server import LiveServer
from tests.support.pair import LATENCY_S, Pair, freeze, thaw
from tests.support.soak.account import Span

RECOVERED_AFTER_S = 2.0
BETWEEN_FAULTS_S = (3.0, 7.0)
NOTICED_AFTER_S = 0.5
"""Everybody who was connected knows by then that the server is gone."""
FROZEN_FOR_S = (1.0, 4.0)


@dataclass(frozen=True)
class Stall:
    """A server stood still: from between `before_s` and `from_s`, until after `until_s`."""

    from_s: float
    until_s: float = float("inf")


@dataclass
class World:
    both: Pair
    database: Database
    dice: random.Random
    faults: Counter[str] = field(default_factory=Counter)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    killed: dict[LiveServer, Span] = field(default_factory=dict)
    """The last time a server was killed."""
    stopped: dict[LiveServer, float] = field(default_factory=dict)
    """The last time a server was told to stop."""
    _calm_since_s: float | None = 0.0
    _stalls: defaultdict[LiveServer, list[Stall]] = field(default_factory=lambda: defaultdict(list))
    _acting: int = 0
    _free: asyncio.Event = field(default_factory=asyncio.Event)
    _nobody_acts: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._free.set()
        self._nobody_acts.set()

    # --- for users --------------------------------------------------------------------

    @property
    def calm(self) -> bool:
        """Whether all that was due when the last fault was over has long been written."""
        since_s = self._calm_since_s
        return since_s is not None and time.monotonic() - since_s > RECOVERED_AFTER_S

    @asynccontextmanager
    async def acting(self) -> AsyncIterator[None]:
        """No server is killed meanwhile."""
        await self._free.wait()
        self._acting += 1
        self._nobody_acts.clear()
        try:
            yield
        finally:
            self._acting -= 1
            if not self._acting:
                self._nobody_acts.set()

    def read(self, server: LiveServer, sent_s: float, answered_s: float | None = None) -> Span:
        """When the server read what was sent to it, whatever it waited for afterwards."""
        answered_s = time.monotonic() if answered_s is None else answered_s
        low_s, high_s = sent_s, sent_s + LATENCY_S
        for stall in self._stalls[server]:
            if stall.from_s + LATENCY_S <= sent_s < stall.until_s:
                low_s, high_s = stall.until_s, stall.until_s + LATENCY_S
            elif sent_s < stall.until_s and high_s > stall.from_s:
                high_s = stall.until_s + LATENCY_S
        return Span(min(low_s, answered_s), min(high_s, answered_s))

    # --- what befalls it ----------------------------------------------------------------

    async def suffer(self, for_s: float) -> None:
        """One fault after the other, for so long."""
        end_s = time.monotonic() + for_s
        kinds = (
            *(self.freeze_database, self.kill_database, self.freeze_a_server),
            *(self.kill_a_server, self.restart_a_server),
        )
        while (pause_s := self.dice.uniform(*BETWEEN_FAULTS_S)) < end_s - time.monotonic():
            await asyncio.sleep(pause_s)
            fault = self.dice.choice(kinds)
            self.faults[fault.__name__] += 1
            self._calm_since_s = None
            await fault()
            self._calm_since_s = time.monotonic()

    async def freeze_database(self) -> None:
        self.database.freeze()
        try:
            await asyncio.sleep(self.dice.uniform(*FROZEN_FOR_S))
        finally:
            self.database.thaw()

    async def kill_database(self) -> None:
        await asyncio.to_thread(self.database.kill)
        await asyncio.to_thread(self.database.start)

    async def freeze_a_server(self) -> None:
        server = self.dice.choice(list(self.both))
        stall = Stall(time.monotonic())
        self._stalls[server].append(stall)
        freeze(server)
        try:
            await asyncio.sleep(self.dice.uniform(*FROZEN_FOR_S))
        finally:
            self._stalls[server][-1] = Stall(stall.from_s, time.monotonic())
            thaw(server)

    async def kill_a_server(self) -> None:
        """Always the same: the other one lives all along, and is watched."""
        async with self._while_nobody_acts():
            killed_s = time.monotonic()
            await asyncio.to_thread(self.both.a.kill)
            self.killed[self.both.a] = Span(killed_s, time.monotonic())
        await asyncio.to_thread(self.both.a.start)

    async def restart_a_server(self) -> None:
        async with self._while_nobody_acts():
            self.stopped[self.both.a] = time.monotonic()
            assert await asyncio.to_thread(self.both.a.stop) == 0
        await asyncio.to_thread(self.both.a.start)

    @asynccontextmanager
    async def _while_nobody_acts(self) -> AsyncIterator[None]:
        self._free.clear()
        try:
            await self._nobody_acts.wait()
            yield
            await asyncio.sleep(NOTICED_AFTER_S)
        finally:
            self._free.set()
