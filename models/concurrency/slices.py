"""Work of unknown size on the event loop, done in slices.

Invariants: between two turns of the event loop no more than `MOST_UNITS` units of work are
done, plus the last one; so counting never waits for a learner's statistics. A unit takes about
a microsecond or two, whatever it is: a part of a run, four bytes of a timeline, 32 characters.
"""

import asyncio
from collections.abc import Iterable

MOST_UNITS = 1_000


class Slices:
    """Counts the work of one computation."""

    __slots__ = ("_units",)

    def __init__(self) -> None:
        self._units = 0

    async def before(self, units: int) -> None:
        """Let others have their turn first, if so much more would exceed this one.

        For an item that may be a whole slice by itself.
        """
        if self._units and self._units + units > MOST_UNITS:
            self._units = 0
            await asyncio.sleep(0)
        self._units += units

    async def did(self, units: int = 1) -> None:
        """Note that so much was done; let others have their turn when it is time."""
        self._units += units
        if self._units >= MOST_UNITS:
            self._units = 0
            await asyncio.sleep(0)

    async def run(self, steps: Iterable[None], units: int = 4) -> None:
        """Take all steps, each of which is `units` of work."""
        for _ in steps:
            self._units += units
            if self._units >= MOST_UNITS:
                self._units = 0
                await asyncio.sleep(0)
