"""The interface between the ledger and the collection that it writes to."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from realtime.engine.tracked import Tracked
from scoring.timeline import Counts

Kind_contra = TypeVar("Kind_contra", bound=Tracked, contravariant=True)


class Store(Protocol[Kind_contra]):
    """The queries and the document shape of one collection of counted seconds.

    `insert`, `write` and `read` raise `StorageUnavailable` when the outcome is unknown, and
    `StatementRefused` when the database has answered with a refusal.
    """

    async def insert(self, batch: Sequence[Kind_contra], /) -> set[Any]:
        """Store new items as they were when they started; repeating it changes nothing.

        Returns:
            The ids of the documents that the database refused.
        """
        ...

    async def write(self, ids: list[Any], pipeline: list[dict[str, Any]]) -> int:
        """Apply an update pipeline; return how many documents it changed."""
        ...

    async def read(self, ids: list[Any]) -> dict[Any, dict[str, Any]]:
        """Return the documents that exist, by id, with majority read concern."""
        ...

    def absolute(self, tracked: Kind_contra) -> dict[str, Any]:
        """Return all values that the engine holds, by the names of their fields."""
        ...

    def increments(self, increase: Counts) -> dict[str, int]:
        """Return the counter fields to increase, and by how much."""
        ...

    def counted(self, increase: Counts, at_us: int) -> dict[str, Any]:
        """Return the fields that are set when counters are increased at `at_us`."""
        ...

    def totals(self, document: dict[str, Any]) -> Counts:
        """Return the counters; raise LookupError, TypeError or ValueError if unreadable."""
        ...

    def matches(self, tracked: Kind_contra, document: dict[str, Any]) -> bool:
        """Return whether a document holds what memory holds, apart from counters."""
        ...

    def ended(self, document: dict[str, Any]) -> bool:
        """Return whether a document has a final status."""
        ...
