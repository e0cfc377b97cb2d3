"""Limit how often something happens: a number at once, then a number a second. Pure."""


class TokenBucket:
    """A bucket of tokens that refills steadily. The time is an argument, in seconds."""

    __slots__ = ("_at_s", "_left", "_most", "_per_s")

    def __init__(self, most: float, per_s: float, now_s: float) -> None:
        self._most = most
        self._per_s = per_s
        self._left = most
        self._at_s = now_s

    def take(self, now_s: float, count: float = 1) -> bool:
        """Take tokens; return False, and take none, if fewer are left."""
        self._refill(now_s)
        if self._left < count:
            return False
        self._left -= count
        return True

    def owe(self, now_s: float, count: float = 1) -> float:
        """Take tokens in advance; return the seconds until they have been refilled."""
        self._refill(now_s)
        self._left -= count
        return max(0.0, -self._left / self._per_s)

    def give_back(self, count: float = 1) -> None:
        """Return tokens that were not used."""
        self._left += count

    def _refill(self, now_s: float) -> None:
        gained = (now_s - self._at_s) * self._per_s
        if gained > 0:
            self._left = min(self._most, self._left + gained)
        self._at_s = now_s
