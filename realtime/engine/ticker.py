"""The only loop of counting: turns the engine's wheel and lets the ledger write.

What must always hold: it never awaits anything slow, so seconds are counted on time
whatever the database or a client does; after a stall it lets waiting messages be read
before it books.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, Protocol

import structlog

from realtime.engine.clock import Clock
from realtime.engine.engine import SLOT_US, Engine
from realtime.engine.metrics import LAG_BOUNDS_US, Histogram
from realtime.engine.tracked import T

FLUSH_US = 250_000
STALL_US = 100_000
READ_ROUNDS = 5
"""Turns of the event loop that let messages which waited through a stall be read."""
LAG_SAMPLES = 1200
"""The last minute of the wheel."""

log = structlog.get_logger(__name__)


class Flushes(Protocol):
    def wake(self) -> None: ...
    def watch(self, now_us: int) -> None: ...


class Ticker(Generic[T]):
    def __init__(
        self,
        engine: Engine[T],
        ledger: Flushes,
        clock: Clock,
        *,
        announce: Callable[[Iterable[T]], None],
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._clock = clock
        self._announce = announce
        self._last_us = clock.now_us()
        self.lags = Histogram(LAG_BOUNDS_US)
        """How late the wheel turned, each time since the start."""
        self._lags_us: deque[int] = deque(maxlen=LAG_SAMPLES)

    @property
    def lag_ms(self) -> float:
        """How late the wheel turned at worst during the last minute."""
        return max(self._lags_us, default=0) / 1000

    async def run(self) -> None:
        """Turn the wheel on every slot, for as long as the task lives."""
        while True:
            now_us = self._clock.now_us()
            slot_us = (now_us // SLOT_US + 1) * SLOT_US
            await asyncio.sleep((slot_us - now_us) / 1_000_000)
            lag_us = max(self._clock.now_us() - slot_us, 0)
            self._lags_us.append(lag_us)
            self.lags.observe(lag_us)
            if lag_us > STALL_US:
                for _ in range(READ_ROUNDS):
                    await asyncio.sleep(0)
            try:
                self.turn(self._clock.now_us())
            except Exception:
                # Our bug in what concerns one session must not stop all others.
                log.exception("turn_failed")

    def turn(self, now_us: int) -> None:
        """One look at everything that is due."""
        last_us, self._last_us = self._last_us, now_us
        self._engine.advance(now_us)
        booked = self._engine.take_booked()
        if booked:
            self._announce(booked)
        if now_us // FLUSH_US != last_us // FLUSH_US:
            self._ledger.wake()
            self._ledger.watch(now_us)
