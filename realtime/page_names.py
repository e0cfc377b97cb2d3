"""Which pages there are: the names that views may have.

What must always hold: there are never more than `most` names, of which one visitor brings
at most `most_of_one`, so that nobody fills them up alone; a name that is known may always
be viewed.
"""

from collections import Counter
from collections.abc import Iterable

from models.errors import Conflict


class PageNames:
    def __init__(self, *, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._names: set[str] = set()
        self._brought: Counter[str] = Counter()
        """By visitor; as each counts for a name at least, there are no more than names."""

    def admit(self, page: str, visitor_id: str) -> None:
        """Let a page be viewed, known or new. Raises Conflict "too_many_pages"."""
        if page in self._names:
            return
        if len(self._names) >= self._most:
            raise Conflict("too_many_pages", "There are too many different pages.")
        if self._brought[visitor_id] >= self._most_of_one:
            raise Conflict("too_many_pages", "You have viewed too many pages that were new.")
        self._names.add(page)
        self._brought[visitor_id] += 1

    def know(self, names: Iterable[str]) -> None:
        """Other processes have let these be viewed."""
        self._names.update(names)
