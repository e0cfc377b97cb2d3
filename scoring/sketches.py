"""Two small summaries of many views that can be added up: seconds, and who was there.

What must always hold: merging is commutative and associative, and the merge of two
summaries is the summary of both inputs together; what is read from one is exact as long
as it is small (below 128 s; below 1,024 distinct), and within the error that its class
names beyond that.
"""

import hashlib
import math
import struct
from bisect import bisect_left
from collections.abc import Iterable
from heapq import nsmallest

EXACT_BELOW_S = 128
GROWTH = 1.02
"""Ratio of a bucket's ends. Its estimate is off by (GROWTH - 1) / (GROWTH + 1) = 0.99 %
at most."""
LAST_BUCKET = 2**16 - 1
KEPT_HASHES = 1024
HASH_RANGE = 2**64

_LOG_GROWTH = math.log(GROWTH)
_BUCKET = struct.Struct("<HI")


class SecondsHistogram:
    """How often each number of whole seconds came: exact below 128 s, then in buckets
    whose ends are 2 % apart, so that a quantile is off by less than 1 %.

    The buckets and their estimates are those of DDSketch (Masson, Rim, Lee: "DDSketch: a
    fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019).
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def __len__(self) -> int:
        """How many values were added."""
        return sum(self._counts.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecondsHistogram) and self._counts == other._counts

    __hash__ = None  # type: ignore[assignment]

    def add(self, seconds: int) -> None:
        bucket = bucket_of(seconds)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1

    def merge(self, other: "SecondsHistogram") -> None:
        counts = self._counts
        for bucket, count in other._counts.items():
            counts[bucket] = counts.get(bucket, 0) + count

    def median(self) -> float | None:
        """The middle value, or the mean of the two in the middle; None without any."""
        number = len(self)
        if not number:
            return None
        return (self._ranked((number - 1) // 2) + self._ranked(number // 2)) / 2

    def _ranked(self, rank: int) -> float:
        """The value with so many before it."""
        for bucket in sorted(self._counts):
            rank -= self._counts[bucket]
            if rank < 0:
                return estimate_of(bucket)
        raise IndexError("there are fewer values")

    def to_bytes(self) -> bytes:
        """Six bytes for each bucket in use."""
        return b"".join(_BUCKET.pack(*item) for item in sorted(self._counts.items()))

    def merge_bytes(self, packed: bytes) -> None:
        """Merge one that was packed, without making it first."""
        counts = self._counts
        for bucket, count in _BUCKET.iter_unpack(packed):
            counts[bucket] = counts.get(bucket, 0) + count


def bucket_of(seconds: int) -> int:
    if seconds < EXACT_BELOW_S:
        return seconds
    beyond = int(math.log(seconds / EXACT_BELOW_S) / _LOG_GROWTH)
    return min(EXACT_BELOW_S + beyond, LAST_BUCKET)


def estimate_of(bucket: int) -> float:
    """The value whose relative distance to both ends of the bucket is the same."""
    if bucket < EXACT_BELOW_S:
        return float(bucket)
    lower: float = EXACT_BELOW_S * GROWTH ** (bucket - EXACT_BELOW_S)
    return lower * 2 * GROWTH / (GROWTH + 1)


class DistinctSketch:
    """How many different names came, from the 1,024 smallest of their 64-bit hashes:
    exact below 1,024, and with a standard error of 1 / sqrt(1,022) = 3.1 % beyond.

    The estimator is the unbiased one of KMV (Bar-Yossef et al., "Counting distinct
    elements in a data stream", RANDOM 2002; Beyer et al., "On synopses for distinct-value
    estimation under multiset operations", SIGMOD 2007): (k - 1) / (k-th smallest hash).
    """

    __slots__ = ("_below", "_hashes")

    def __init__(self) -> None:
        self._hashes: set[int] = set()
        """The smallest, and up to as many that came since they were last told apart."""
        self._below = HASH_RANGE
        """None that is as large as this is among the smallest."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DistinctSketch) and self._smallest() == other._smallest()

    __hash__ = None  # type: ignore[assignment]

    def add(self, name: str) -> None:
        hashed = hash_of(name)
        if hashed < self._below:
            self._add_hashes((hashed,))

    def merge(self, other: "DistinctSketch") -> None:
        below = self._below
        self._add_hashes([each for each in other._hashes if each < below])

    def count(self) -> int:
        smallest = self._smallest()
        if len(smallest) < KEPT_HASHES:
            return len(smallest)
        return round((KEPT_HASHES - 1) * HASH_RANGE / smallest[-1])

    def to_bytes(self) -> bytes:
        """Eight bytes for each of the smallest hashes, in order."""
        smallest = self._smallest()
        return struct.pack(f"<{len(smallest)}Q", *smallest)

    def merge_bytes(self, packed: bytes) -> None:
        """Merge one that was packed, without making it first."""
        hashes = struct.unpack(f"<{len(packed) // 8}Q", packed)
        self._add_hashes(hashes[: bisect_left(hashes, self._below)])

    def _add_hashes(self, hashes: Iterable[int]) -> None:
        """Such that may be among the smallest."""
        self._hashes.update(hashes)
        if len(self._hashes) >= 2 * KEPT_HASHES:
            smallest = self._smallest()
            self._hashes = set(smallest)
            self._below = smallest[-1]

    def _smallest(self) -> list[int]:
        return nsmallest(KEPT_HASHES, self._hashes)


def hash_of(name: str) -> int:
    """The same in every process and version, since it is stored."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
