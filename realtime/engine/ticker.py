"""Turn the engine's wheel and wake the ledger: the only loop of counting.

Invariants:

- The loop awaits nothing slow, so seconds are booked on time whatever the database or a client
  does.
- After a stall, waiting messages are read before seconds are booked.
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
"""Turns of the event loop that let messages from the time of a stall be read."""
LAG_SAMPLES = 1200
"""The last minute of the wheel."""

log = structlog.get_logger(__name__)


class Flushes(Protocol):
    """What the ticker needs of the ledger."""

    def wake(self) -> None:
        """Flush now, or as soon as the flush in flight is over."""
        ...

    def watch(self, now_us: int) -> None:
        """Report a database that has kept a flush waiting for too long."""
        ...


class Ticker(Generic[T]):
    """The loop behind one engine."""

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
        """The longest delay of the wheel during the last minute."""
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
                # A bug that concerns one session must not stop all others.
                log.exception("turn_failed")

    def turn(self, now_us: int) -> None:
        """Settle what is due, announce it, and wake the ledger four times a second."""
        last_us, self._last_us = self._last_us, now_us
        self._engine.advance(now_us)
        booked = self._engine.take_booked()
        if booked:
            self._announce(booked)
        if now_us // FLUSH_US != last_us // FLUSH_US:
            self._ledger.wake()
            self._ledger.watch(now_us)
