"""Summarize durations and distinct names of many page views in small, mergeable sketches. Pure.

Invariants:

- Merging is commutative and associative, and the merge of two sketches is the sketch of all
  values of both.
- Results are exact for small inputs (below 128 s; below 1,024 distinct names), else within the
  error that the class states.
"""

import hashlib
import math
import struct
from bisect import bisect_left
from collections.abc import Iterable
from heapq import nsmallest

EXACT_BELOW_S = 128
GROWTH = 1.02
"""Ratio of a bucket's upper to its lower bound: the gamma of DDSketch. The relative error of an
estimate is at most (GROWTH - 1) / (GROWTH + 1) = 0.99 %."""
LAST_BUCKET = 2**16 - 1
KEPT_HASHES = 1024
HASH_RANGE = 2**64

_LOG_GROWTH = math.log(GROWTH)
_BUCKET = struct.Struct("<HI")


class SecondsHistogram:
    """A histogram of whole seconds.

    It is exact below 128 s. Above, bounds of buckets are 2 % apart, so that a quantile has a
    relative error of less than 1 %. Buckets and estimates are those of DDSketch (Masson, Rim,
    Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees",
    VLDB 2019, section 2).
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def __len__(self) -> int:
        """Return the number of values."""
        return sum(self._counts.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecondsHistogram) and self._counts == other._counts

    __hash__ = None  # type: ignore[assignment]

    def add(self, seconds: int) -> None:
        """Add a value."""
        bucket = bucket_of(seconds)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1

    def merge(self, other: "SecondsHistogram") -> None:
        """Add the values of another histogram."""
        counts = self._counts
        for bucket, count in other._counts.items():
            counts[bucket] = counts.get(bucket, 0) + count

    def median(self) -> float | None:
        """Return the middle value, or the mean of the two in the middle; None if it is empty."""
        number = len(self)
        if not number:
            return None
        lower, upper = (number - 1) // 2, number // 2
        return (self._value_at(lower) + self._value_at(upper)) / 2

    def _value_at(self, rank: int) -> float:
        """Return the value that has `rank` values before it in order."""
        for bucket in sorted(self._counts):
            rank -= self._counts[bucket]
            if rank < 0:
                return estimate_of(bucket)
        raise IndexError("there are fewer values")

    def to_bytes(self) -> bytes:
        """Return the stored form: six bytes for each bucket in use."""
        return b"".join(_BUCKET.pack(*item) for item in sorted(self._counts.items()))

    def merge_bytes(self, packed: bytes) -> None:
        """Add the values of a sketch in its stored form, without building that sketch."""
        counts = self._counts
        for bucket, count in _BUCKET.iter_unpack(packed):
            counts[bucket] = counts.get(bucket, 0) + count


def bucket_of(seconds: int) -> int:
    """Return the number of the bucket that holds a value."""
    if seconds < EXACT_BELOW_S:
        return seconds
    logarithmic = int(math.log(seconds / EXACT_BELOW_S) / _LOG_GROWTH)
    return min(EXACT_BELOW_S + logarithmic, LAST_BUCKET)


def estimate_of(bucket: int) -> float:
    """Return the estimate for the values of a bucket, in seconds.

    It has the same relative distance to both bounds: 2 * gamma^i / (gamma + 1) in DDSketch
    (VLDB 2019, section 2), where gamma^i is the upper bound.
    """
    if bucket < EXACT_BELOW_S:
        return float(bucket)
    lower: float = EXACT_BELOW_S * GROWTH ** (bucket - EXACT_BELOW_S)
    return lower * 2 * GROWTH / (GROWTH + 1)


class DistinctSketch:
    """An estimate of the number of distinct names, from the 1,024 smallest of their hashes.

    It is exact below 1,024; above, its standard error is 1 / sqrt(1,022) = 3.1 %.

    This is a KMV sketch ("k minimum values": Bar-Yossef et al., "Counting distinct elements in a
    data stream", RANDOM 2002) with the unbiased estimator of Beyer et al. ("On synopses for
    distinct-value estimation under multiset operations", SIGMOD 2007):
    (k - 1) / (k-th smallest hash, as a fraction of the range).
    """

    __slots__ = ("_hashes", "_upper_bound")

    def __init__(self) -> None:
        self._hashes: set[int] = set()
        """The smallest hashes, and others that were added since the last pruning."""
        self._upper_bound = HASH_RANGE
        """A hash of at least this value is not among the smallest."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DistinctSketch) and self._smallest() == other._smallest()

    __hash__ = None  # type: ignore[assignment]

    def add(self, name: str) -> None:
        """Add a name."""
        hashed = hash_of(name)
        if hashed < self._upper_bound:
            self._add_hashes((hashed,))

    def merge(self, other: "DistinctSketch") -> None:
        """Add the names of another sketch."""
        bound = self._upper_bound
        self._add_hashes([each for each in other._hashes if each < bound])

    def count(self) -> int:
        """Return the estimated number of distinct names."""
        smallest = self._smallest()
        if len(smallest) < KEPT_HASHES:
            return len(smallest)
        return round((KEPT_HASHES - 1) * HASH_RANGE / smallest[-1])

    def to_bytes(self) -> bytes:
        """Return the stored form: eight bytes for each of the smallest hashes, in order."""
        smallest = self._smallest()
        return struct.pack(f"<{len(smallest)}Q", *smallest)

    def merge_bytes(self, packed: bytes) -> None:
        """Add the values of a sketch in its stored form, without building that sketch."""
        hashes = struct.unpack(f"<{len(packed) // 8}Q", packed)
        self._add_hashes(hashes[: bisect_left(hashes, self._upper_bound)])

    def _add_hashes(self, hashes: Iterable[int]) -> None:
        """Add hashes below the upper bound."""
        self._hashes.update(hashes)
        # Prune only when as many were added as are kept: that makes adding cheap on average.
        if len(self._hashes) >= 2 * KEPT_HASHES:
            smallest = self._smallest()
            self._hashes = set(smallest)
            self._upper_bound = smallest[-1]

    def _smallest(self) -> list[int]:
        return nsmallest(KEPT_HASHES, self._hashes)


def hash_of(name: str) -> int:
    """Return 64 bits of BLAKE2b: stored, so the same in every process and version."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
