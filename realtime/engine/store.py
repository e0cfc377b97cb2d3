"""What the ledger asks of the collection that it writes to."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from realtime.engine.tracked import Tracked
from scoring.timeline import Counts

Kind_contra = TypeVar("Kind_contra", bound=Tracked, contravariant=True)


class Store(Protocol[Kind_contra]):
    """Where counted seconds are kept: one collection's queries and document shape.

    Every call raises `StorageUnavailable` when the outcome is unknown, and
    `StatementRefused` when the database answered with a refusal.
    """

    async def insert(self, batch: Sequence[Kind_contra], /) -> set[Any]:
        """Store for the first time what was begun here, as it was then; to do so again
        changes nothing. Gives the ids that the database refuses."""
        ...

    async def write(self, ids: list[Any], pipeline: list[dict[str, Any]]) -> int: ...
    async def read(self, ids: list[Any]) -> dict[Any, dict[str, Any]]: ...
    def absolute(self, tracked: Kind_contra) -> dict[str, Any]:
        """Return all values that the engine holds, by the names of their fields."""
        ...

    def increments(self, increase: Counts) -> dict[str, int]: ...
    def counted(self, increase: Counts, at_us: int) -> dict[str, Any]:
        """What is set when the counters are increased."""
        ...

    def totals(self, document: dict[str, Any]) -> Counts:
        """Raises LookupError, TypeError or ValueError if they can't be read."""
        ...

    def matches(self, tracked: Kind_contra, document: dict[str, Any]) -> bool: ...
    def ended(self, document: dict[str, Any]) -> bool: ...
