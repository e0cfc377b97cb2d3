"""Limit how much anonymous clients can make the server store. Pure: `now_s` is an argument.

Invariants:

- In any 24 hours, one address, one user, and all of them together store at most their budget, as
  estimated by `cost`. Each process keeps its own records, from its start on.
- A fifth of the total budget is reserved for addresses and users that have used little, so they
  are served although others have used the rest.
- Memory is bounded, however many addresses there are.
- Budgets are refilled steadily, so a refused client can continue later.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

from models.base.errors import TooMany

Kind = Literal["views", "visits", "events", "sessions", "accounts"]
DAY_S = 86_400.0
MAX_CALLERS = 50_000
RESERVED_SHARE = 0.2
"""Share of the total budget that is reserved for addresses and users that have used little."""
SMALL_SHARE = 0.1
"""Share of its own budget below which an address or user has used little."""
MEGABYTE = 1_000_000
ALL = "all"
VIEWS_AT_ONCE, VIEWS_A_SECOND = 10, 1
"""Views that one connection may start."""

# Estimates in bytes, with entries in indexes and overhead of the database.
VIEW_BYTES = 1_000
ARRIVAL_BYTES = 1_500
"""A visitor, and a browser session with its user agent."""
VISIT_BYTES = 500
EVENT_BYTES = 500
SESSION_BYTES = 2_000
ACCOUNT_BYTES = 3_000


class Allowances:
    """A token bucket for each caller: `capacity` tokens, refilled by `per_s` a second.

    Beyond `most` callers, the least recently seen ones are forgotten; their buckets are then full.
    """

    __slots__ = ("_most", "_spent", "capacity", "per_s")

    def __init__(self, capacity: float, per_s: float, most: int = MAX_CALLERS) -> None:
        self.capacity = capacity
        self.per_s = per_s
        self._most = most
        self._spent: dict[str, tuple[float, float]] = {}
        """The tokens that each caller lacks, and the instant of that number."""

    def __len__(self) -> int:
        return len(self._spent)

    def spent(self, caller: str, now_s: float) -> float:
        """Return how many tokens a caller has spent that are not refilled yet."""
        spent, at_s = self._spent.get(caller, (0.0, now_s))
        return max(0.0, spent - max(0.0, now_s - at_s) * self.per_s)

    def wait_s(self, caller: str, cost: float, now_s: float) -> float:
        """Return the seconds until the caller may spend `cost`; 0 if it may now."""
        lacking = self.spent(caller, now_s) + cost - self.capacity
        return max(0.0, lacking / self.per_s)

    def spend(self, caller: str, cost: float, now_s: float) -> None:
        """Spend `cost`, even if that is more than the caller has."""
        spent = self.spent(caller, now_s) + cost
        self._spent.pop(caller, None)  # so that it is inserted last
        self._spent[caller] = (spent, now_s)
        if len(self._spent) > self._most:
            del self._spent[next(iter(self._spent))]

    def take(self, caller: str, cost: float, now_s: float) -> bool:
        """Spend `cost` if the caller may now; return whether it was spent."""
        if self.wait_s(caller, cost, now_s) > 0:
            return False
        self.spend(caller, cost, now_s)
        return True


def daily_allowances(amount: float, most: int = MAX_CALLERS) -> Allowances:
    """Return allowances of at most `amount` in any 24 hours.

    Half of it is the capacity, the other half is refilled in a day.
    """
    return Allowances(amount / 2, amount / 2 / DAY_S, most)


class StorageBudget:
    """The budgets of all addresses and users, and the total budget."""

    def __init__(
        self,
        *,
        bytes_of_address: float,
        bytes_in_all: float,
        views_per_minute: float,
        clock_s: Callable[[], float],
        enabled: bool = True,
    ) -> None:
        """Create full budgets.

        Args:
            bytes_of_address: The budget of each address and user in 24 hours.
            bytes_in_all: The total budget in 24 hours.
            views_per_minute: How many views one address may start a minute.
            clock_s: A clock for callers that have none; not used by the budgets.
            enabled: Whether charges over budget are refused; they are counted in any case.
        """
        self.clock_s = clock_s
        self.bytes_in_all = bytes_in_all
        self.stored: Counter[str] = Counter()
        """Stored bytes by kind, since the start of the process."""
        self.refused: Counter[str] = Counter()
        """Refused requests and messages by kind, since the start of the process."""
        self._enabled = enabled
        self._callers = daily_allowances(bytes_of_address)
        self._all = daily_allowances(bytes_in_all, most=1)
        self._views = Allowances(views_per_minute, views_per_minute / 60)

    def used(self, now_s: float) -> float:
        """Return the spent share of the total budget, 0 to 1."""
        return self._all.spent(ALL, now_s) / self._all.capacity

    def charge(
        self, kind: Kind, cost: int, *, address: str, user_id: str | None, now_s: float
    ) -> None:
        """Spend `cost` bytes of the budgets of an address, of a user if given, and of the total.

        Raises:
            TooMany: "too_much_stored": one of the budgets is used up.
        """
        callers = [f"address {address}", *(() if user_id is None else (f"user {user_id}",))]
        if self._enabled:
            wait_s = max(self._callers.wait_s(caller, cost, now_s) for caller in callers)
            little = SMALL_SHARE * self._callers.capacity
            has_spent_little = all(
                self._callers.spent(caller, now_s) < little for caller in callers
            )
            needed = cost if has_spent_little else cost + RESERVED_SHARE * self._all.capacity
            wait_s = max(wait_s, self._all.wait_s(ALL, needed, now_s))
            if wait_s > 0:
                self.refused[kind] += 1
                message = "Storage limit reached. Try again after the time in Retry-After."
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
        """Spend the cost of a view that starts.

        Args:
            size: The bytes of the client's texts.
            views: The allowances of the connection, if the view is by socket.
            arrives: Whether the visitor starts a browser session.
            address: The client's address.
            user_id: Its user, if known.
            now_s: The present.

        Raises:
            TooMany: "too_many_views": the address or the connection starts too many views.
                "too_much_stored": a budget is used up.
        """
        if self._enabled:
            wait_s = self._views.wait_s(address, 1, now_s)
            if views is not None:
                wait_s = max(wait_s, views.wait_s(ALL, 1, now_s))
            if wait_s > 0:
                self.refused["views"] += 1
                message = "Too many page views started. Try again in a moment."
                raise TooMany("too_many_views", message, retry_after_s=max(1.0, wait_s))
        cost = VIEW_BYTES + size + (ARRIVAL_BYTES if arrives else 0)
        self.charge("views", cost, address=address, user_id=user_id, now_s=now_s)
        self._views.spend(address, 1, now_s)
        if views is not None:
            views.spend(ALL, 1, now_s)


def socket_allowances() -> Allowances:
    """Return the allowances of one connection for starting views."""
    return Allowances(VIEWS_AT_ONCE, VIEWS_A_SECOND, most=1)


class RecentIds:
    """A set of the `most` ids that were added last."""

    def __init__(self, most: int = MAX_CALLERS) -> None:
        self._ids: dict[Any, None] = {}
        self._most = most

    def __contains__(self, id_: object) -> bool:
        return id_ in self._ids

    def add(self, id_: Any) -> None:
        """Add an id, or make it the latest."""
        self._ids.pop(id_, None)
        self._ids[id_] = None
        if len(self._ids) > self._most:
            del self._ids[next(iter(self._ids))]
