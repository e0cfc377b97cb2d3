"""Read many documents of one user a few at a time, newest first, along an index.

Invariants:

- Each document that exists from the begin to the end of the reading is returned once.
- No more than `most` documents are held at a time.
- A statement is bounded at both ends of the index, because the embedded database reads everything
  that a filter lets through, whatever the limit.

The number of documents in a span of time is not known beforehand. So a window that is nearly empty
is followed by a wider one, and a window that is too full by a narrower one.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from bson import ObjectId

from models.base.database import Collection, Document
from models.base.driver_errors import answered_within

MOST = 250
OLDEST = datetime(2020, 1, 1, tzinfo=UTC)
"""Before there was this product, so what is older is hardly anything."""
FIRST, NARROWEST, WIDEST = timedelta(days=1), timedelta(seconds=1), timedelta(days=92)
FACTOR = 8
MILLISECOND = timedelta(milliseconds=1)
ANSWER_WITHIN_S = 8.0


class Key(NamedTuple):
    """The field along which is read: the last of an index whose other fields are in the filter."""

    field: str
    at: Callable[[datetime], Any]
    """The smallest value of an instant."""
    unique: bool


BY_ID = Key("_id", ObjectId.from_datetime, unique=True)
"""For ids that are of the instant of their documents."""
BY_START = Key("startedAt", lambda instant: instant, unique=False)


async def newest_first(
    collection: Collection,
    wanted: Mapping[str, Any],
    key: Key,
    *,
    now: datetime,
    before: Any = None,
    since: datetime | None = None,
    fields: Mapping[str, int] | None = None,
    most: int = MOST,
) -> AsyncIterator[list[Document]]:
    """Yield the documents that a filter lets through, in lists of at most `most`.

    Reads from the value `before` (excluded) down to the instant `since`. No list is empty. `fields`
    must include the field of the key.

    Raises:
        StorageUnavailable: The database does not answer.
        StatementRefused: The database refuses the query.
    """
    floor = since if since is not None and since > OLDEST else None
    upper, at, width = before, now, FIRST
    if before is not None:
        at = min(now, _instant(before))
    while True:
        lower: datetime | None = at - width
        is_last = at - width <= (floor or OLDEST)
        if is_last:
            lower = floor
        bounds = {} if upper is None else {"$lt": upper}
        if lower is not None:
            bounds["$gte"] = key.at(lower)
        within = {**wanted, key.field: bounds} if bounds else dict(wanted)
        found = await _read(collection, within, key, fields, most)
        if len(found) >= most:
            tail = found[-1][key.field]
            whole, upper = _whole(found, key, tail)
            if not whole:  # all of them are of the same instant
                whole, upper = (
                    await _read(collection, {**wanted, key.field: tail}, key, fields),
                    tail,
                )
            at, width = _instant(tail), max(width / FACTOR, NARROWEST)
        elif is_last:
            if found:
                yield found
            return
        else:
            whole, upper, at = found, key.at(at - width), at - width
            if len(found) * FACTOR < most:
                width = min(width * FACTOR, WIDEST)
        for start in range(0, len(whole), most):
            yield whole[start : start + most]


def _whole(found: list[Document], key: Key, tail: Any) -> tuple[list[Document], Any]:
    """Return the documents whose instant is complete, and where to go on."""
    if key.unique:
        return found, tail
    return [each for each in found if each[key.field] > tail], tail + MILLISECOND


async def _read(
    collection: Collection,
    wanted: Mapping[str, Any],
    key: Key,
    fields: Mapping[str, int] | None,
    most: int = 0,
) -> list[Document]:
    async with answered_within(ANSWER_WITHIN_S):
        found = collection.find(wanted, fields).sort(key.field, -1).limit(most)
        return await found.to_list(None)


def _instant(value: Any) -> datetime:
    return value.generation_time if isinstance(value, ObjectId) else value
