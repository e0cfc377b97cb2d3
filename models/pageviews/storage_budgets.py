"""What strangers may make the server store. Pure: `now_s` is always an argument.

Invariants:
- In any 24 hours one address, one user, and all together make the server store at most their
  budget, as estimated by `cost`; each process keeps its own account, from its start on.
- An address that has used little is still served when others have used most of the whole:
  a fifth of it is kept for such addresses.
- Memory is bounded, however many addresses ask.
- An allowance grows back steadily, so nobody is refused for good.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

from models.base.errors import TooMany

Kind = Literal["views", "visits", "events", "sessions", "accounts"]
DAY_S = 86_400.0
MAX_CALLERS = 50_000
RESERVED = 0.2
"""Share of the whole that is kept for addresses and users that have used little."""
LITTLE = 0.1
"""Share of its own budget below which a caller has used little."""
MEGABYTE = 1_000_000
ALL = "all"
VIEWS_AT_ONCE, VIEWS_A_SECOND = 10, 1
"""Of one connection."""

# Estimates in bytes, with the entries in indexes and what the database adds.
OF_A_VIEW = 1_000
OF_AN_ARRIVAL = 1_500
"""A browser session with its user agent, and a visitor."""
OF_A_VISIT = 500
OF_AN_EVENT = 500
OF_A_SESSION = 2_000
OF_AN_ACCOUNT = 3_000


class Allowances:
    """A bucket for each caller: `capacity` at once, which grows back by `per_s` a second.

    The callers unheard of for longest are forgotten beyond `most`, and have a full bucket then.
    """

    __slots__ = ("_most", "_spent", "capacity", "per_s")

    def __init__(self, capacity: float, per_s: float, most: int = MAX_CALLERS) -> None:
        self.capacity = capacity
        self.per_s = per_s
        self._most = most
        self._spent: dict[str, tuple[float, float]] = {}
        """What is spent of a bucket, and when that was so."""

    def __len__(self) -> int:
        return len(self._spent)

    def spent(self, caller: str, now_s: float) -> float:
        spent, at_s = self._spent.get(caller, (0.0, now_s))
        return max(0.0, spent - max(0.0, now_s - at_s) * self.per_s)

    def wait_s(self, caller: str, cost: float, now_s: float) -> float:
        """Return how long the caller has to wait until it may spend this; 0 for not at all."""
        lacking = self.spent(caller, now_s) + cost - self.capacity
        return max(0.0, lacking / self.per_s)

    def spend(self, caller: str, cost: float, now_s: float) -> None:
        spent = self.spent(caller, now_s) + cost
        self._spent.pop(caller, None)  # so that it becomes the last
        self._spent[caller] = (spent, now_s)
        if len(self._spent) > self._most:
            del self._spent[next(iter(self._spent))]

    def take(self, caller: str, cost: float, now_s: float) -> bool:
        """Spend this if the caller may; return whether it did."""
        if self.wait_s(caller, cost, now_s) > 0:
            return False
        self.spend(caller, cost, now_s)
        return True


def a_day(amount: float, most: int = MAX_CALLERS) -> Allowances:
    """Return allowances of which at most `amount` is spent in any 24 hours: one half is there
    at once, the other grows in a day."""
    return Allowances(amount / 2, amount / 2 / DAY_S, most)


class StorageBudget:
    def __init__(
        self,
        *,
        bytes_of_address: float,
        bytes_in_all: float,
        views_per_minute: float,
        clock_s: Callable[[], float],
        enabled: bool = True,
    ) -> None:
        """`clock_s` is the clock of callers that have none."""
        self.clock_s = clock_s
        self.bytes_in_all = bytes_in_all
        self.stored: Counter[str] = Counter()
        """Bytes by kind since the start."""
        self.refused: Counter[str] = Counter()
        """Requests and messages by kind since the start."""
        self._enabled = enabled
        self._callers = a_day(bytes_of_address)
        self._all = a_day(bytes_in_all, most=1)
        self._views = Allowances(views_per_minute, views_per_minute / 60)

    def used(self, now_s: float) -> float:
        """Return the share of the whole that is spent now, 0 to 1."""
        return self._all.spent(ALL, now_s) / self._all.capacity

    def charge(
        self, kind: Kind, cost: int, *, address: str, user_id: str | None, now_s: float
    ) -> None:
        """Spend `cost` bytes of an address, and of a user if there is one.

        Raises TooMany "too_much_stored".
        """
        callers = [f"address {address}", *(() if user_id is None else (f"user {user_id}",))]
        if self._enabled:
            wait_s = max(self._callers.wait_s(caller, cost, now_s) for caller in callers)
            little = LITTLE * self._callers.capacity
            modest = all(self._callers.spent(caller, now_s) < little for caller in callers)
            needed = cost if modest else cost + RESERVED * self._all.capacity
            wait_s = max(wait_s, self._all.wait_s(ALL, needed, now_s))
            if wait_s > 0:
                self.refused[kind] += 1
                message = "Too much was stored for this address or in all; see Retry-After."
                raise TooMany("too_much_stored", message, retry_after_s=max(1.0, wait_s))
        for caller in callers:
            self._callers.spend(caller, cost, now_s)
        self._all.spend(ALL, cost, now_s)
        self.stored[kind] += cost

    def charge_view(
        self,
        size: int,
        *,
        views: Allowances | None = None,
        arrives: bool,
        address: str,
        user_id: str | None,
        now_s: float,
    ) -> None:
        """Spend what a view costs. One address may begin so many a minute, and one connection
        as its `views` say.

        Raises TooMany "too_many_views", "too_much_stored".
        """
        if self._enabled:
            wait_s = self._views.wait_s(address, 1, now_s)
            if views is not None:
                wait_s = max(wait_s, views.wait_s(ALL, 1, now_s))
            if wait_s > 0:
                self.refused["views"] += 1
                message = "Too many views begin here; try again shortly."
                raise TooMany("too_many_views", message, retry_after_s=max(1.0, wait_s))
        cost = OF_A_VIEW + size + (OF_AN_ARRIVAL if arrives else 0)
        self.charge("views", cost, address=address, user_id=user_id, now_s=now_s)
        self._views.spend(address, 1, now_s)
        if views is not None:
            views.spend(ALL, 1, now_s)


def socket_views() -> Allowances:
    """Return how many views one connection may begin."""
    return Allowances(VIEWS_AT_ONCE, VIEWS_A_SECOND, most=1)


class Known:
    """Ids that were seen of late, the latest `most` of them."""

    def __init__(self, most: int = MAX_CALLERS) -> None:
        self._ids: dict[Any, None] = {}
        self._most = most

    def __contains__(self, id_: object) -> bool:
        return id_ in self._ids

    def add(self, id_: Any) -> None:
        self._ids.pop(id_, None)
        self._ids[id_] = None
        if len(self._ids) > self._most:
            del self._ids[next(iter(self._ids))]
