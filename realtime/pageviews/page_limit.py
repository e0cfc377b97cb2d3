"""Limit the number of page names. Pure: time is an argument.

Invariants:

- There are never more than `most` names, and `OVERFLOW` beside them.
- One visitor, and one address, bring a limited number of new names in 24 hours.
- A view is never refused: beyond a limit it is counted under `OVERFLOW`.
- A known name can always be viewed.
"""

from collections.abc import Iterable

from models.pageviews.storage_budgets import daily_allowances

OVERFLOW = "(other pages)"
SETTLES_AFTER_S = 600.0
"""How long a new name may stay unstored. After that it is dropped: its view was not stored either,
or the name was pruned."""


class PageLimit:
    """The known page names of this process."""

    def __init__(self, *, most: int, most_of_visitor: int, most_of_address: int) -> None:
        self.overflowed = 0
        """Views that were counted under `OVERFLOW`."""
        self._most = most
        self._stored: set[str] = set()
        self._new: dict[str, float] = {}
        """Names that were not yet read from the database, and when each was first viewed."""
        # Half of a day's allowance is there at once (see `daily_allowances`).
        self._of_visitor = daily_allowances(2 * most_of_visitor)
        self._of_address = daily_allowances(2 * most_of_address)

    def __len__(self) -> int:
        return len(self._stored) + len(self._new)

    def admit(self, page: str, visitor_id: str, address: str, now_s: float) -> str:
        """Return the name under which a view of this page is counted."""
        if page in self._stored or page in self._new:
            return page
        if (
            len(self) >= self._most
            or self._of_visitor.wait_s(visitor_id, 1, now_s) > 0
            or not self._of_address.take(address, 1, now_s)
        ):
            self.overflowed += 1
            return OVERFLOW
        self._of_visitor.spend(visitor_id, 1, now_s)
        self._new[page] = now_s
        return page

    def know(self, names: Iterable[str], now_s: float) -> None:
        """Take the stored names; of the others, keep the names that are new in this process."""
        self._stored = set(names)
        self._stored.discard(OVERFLOW)
        self._new = {
            name: at_s
            for name, at_s in self._new.items()
            if name not in self._stored and now_s - at_s < SETTLES_AFTER_S
        }
