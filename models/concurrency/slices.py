"""Do work of unknown size on the event loop in slices.

Invariants:

- Between two turns of the event loop no more than `MOST_UNITS` units of work are done, plus the
  last one, so counting never waits for a learner's statistics.

A unit takes about one or two microseconds: a part of a run, four bytes of a timeline, or 32
characters of text.
"""

import asyncio
from collections.abc import Iterable

MOST_UNITS = 1_000


class Slices:
    """The units of work that one computation has done since its last pause."""

    __slots__ = ("_units",)

    def __init__(self) -> None:
        self._units = 0

    async def before(self, units: int) -> None:
        """Pause first if the next item would exceed this slice.

        For items that may fill a slice by themselves.
        """
        if self._units and self._units + units > MOST_UNITS:
            self._units = 0
            await asyncio.sleep(0)
        self._units += units

    async def did(self, units: int = 1) -> None:
        """Count units of work that were done, and pause when the slice is full."""
        self._units += units
        if self._units >= MOST_UNITS:
            self._units = 0
            await asyncio.sleep(0)

    async def run(self, steps: Iterable[None], units: int = 4) -> None:
        """Take all steps, each of which counts as `units` of work."""
        for _ in steps:
            self._units += units
            if self._units >= MOST_UNITS:
                self._units = 0
                await asyncio.sleep(0)
