"""Stretches of time that have been counted, so that no second counts twice. Pure."""

from bisect import bisect_left
from collections.abc import Iterator

from scoring.timeline import SECOND_US


class IntervalSet:
    """Stretches of time that have been counted, in order and at least a second apart: no whole
    second lies in a shorter gap, so those on both sides of one are a single stretch."""

    def __init__(self) -> None:
        self._stretches: list[tuple[int, int]] = []

    def cover(self, start_us: int, seconds: int) -> Iterator[tuple[int, int]]:
        """Those of these seconds that overlap nothing, as stretches (begin, seconds); once all
        have been taken, they are covered."""
        stretches, end_us = self._stretches, start_us + seconds * SECOND_US
        first = bisect_left(stretches, (start_us, 0))
        if first and stretches[first - 1][1] > start_us:
            first -= 1
        at, low, high = first, end_us, start_us
        while at < len(stretches) and stretches[at][0] < end_us:
            since_us, until_us = stretches[at]
            count = max((since_us - start_us) // SECOND_US, 0)
            if count:
                low = min(low, start_us)
                yield start_us, count
            # The first second that begins after the stretch, on the grid of these seconds.
            start_us += max(-((start_us - until_us) // SECOND_US), 0) * SECOND_US
            low, high = min(low, since_us), max(high, until_us)
            at += 1
        if start_us < end_us:
            low, high = min(low, start_us), max(high, end_us)
            yield start_us, (end_us - start_us) // SECOND_US
        if low >= high:
            return
        if first and low - stretches[first - 1][1] < SECOND_US:
            first -= 1
            low = stretches[first][0]
        if at < len(stretches) and stretches[at][0] - high < SECOND_US:
            high = stretches[at][1]
            at += 1
        stretches[first:at] = [(low, high)]
