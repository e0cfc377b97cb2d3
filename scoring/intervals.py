"""Remember which time has been counted, so that no second counts twice. Pure."""

from bisect import bisect_left
from collections.abc import Iterator

from scoring.timeline import SECOND_US


class IntervalSet:
    """A set of instants, kept as sorted intervals.

    Intervals lie at least a second apart. A shorter gap is closed, since no whole second fits
    into it.
    """

    def __init__(self) -> None:
        self._intervals: list[tuple[int, int]] = []
        """Start and end in microseconds, in order."""

    def cover(self, start_us: int, seconds: int) -> Iterator[tuple[int, int]]:
        """Yield the seconds that overlap nothing in the set, then add them to it.

        They are added once the iterator is exhausted.

        Args:
            start_us: The start of the first second.
            seconds: Their number; they follow each other.

        Yields:
            Start in microseconds, and number of seconds, of each interval that was free.
        """
        intervals, end_us = self._intervals, start_us + seconds * SECOND_US
        first = bisect_left(intervals, (start_us, 0))
        if first and intervals[first - 1][1] > start_us:
            first -= 1
        # `low` and `high` are the bounds of the interval that replaces `first` up to `at`.
        at, low, high = first, end_us, start_us
        while at < len(intervals) and intervals[at][0] < end_us:
            since_us, until_us = intervals[at]
            count = max((since_us - start_us) // SECOND_US, 0)
            if count:
                low = min(low, start_us)
                yield start_us, count
            # Go on with the first of these seconds that starts after the interval: rounded up.
            start_us += max(-((start_us - until_us) // SECOND_US), 0) * SECOND_US
            low, high = min(low, since_us), max(high, until_us)
            at += 1
        if start_us < end_us:
            low, high = min(low, start_us), max(high, end_us)
            yield start_us, (end_us - start_us) // SECOND_US
        if low >= high:
            return
        # Close gaps of less than a second to the neighbours.
        if first and low - intervals[first - 1][1] < SECOND_US:
            first -= 1
            low = intervals[first][0]
        if at < len(intervals) and intervals[at][0] - high < SECOND_US:
            high = intervals[at][1]
            at += 1
        intervals[first:at] = [(low, high)]
