"""Count rows that are created once and never change: collection `running_counts`.

Invariants:

- A count is the same as if every row of the span were counted now. The stored count of a span ends
  `GRACE` or more ago. Rows get their instants from the server that stores them, so no row can join
  the counted part later.
- Rows that retention has removed stay counted.
- A stored count is correct by itself, so of two processes that count the same either may win.
- Code that adds or removes past rows calls `forget` afterwards. A count that was begun before that
  is not stored (`models.base.compare_and_set`).
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from models.base.compare_and_set import Stamps, fenced
from models.base.database import Database, DuplicateKeyError
from scoring.utc_days import Span

COLLECTION = "running_counts"
GRACE = timedelta(minutes=10)
"""Longer than a write may be on its way, and than the clocks of servers differ."""
STEP = timedelta(minutes=10)
"""Remembering is a write: no sooner again than after so long."""

Count = Callable[[datetime, datetime], Awaitable[Counter[str]]]
"""Counts the rows from one instant (included) to another (excluded)."""
_STAMPS = Stamps()


async def counted(
    db: Database, name: str, spans: Sequence[Span], count: Count, now: datetime
) -> list[Counter[str]]:
    """Return the number of rows of each kind in each span, as of `now`."""
    ids = [f"{name}/{span.name}" for span in spans]
    found = db[COLLECTION].find({"_id": {"$in": ids}})
    known = {document["_id"]: document for document in await found.to_list(None)}
    return await asyncio.gather(
        *(
            _count(db, id_, span, known=known.get(id_), count=count, now=now)
            for id_, span in zip(ids, spans, strict=True)
        )
    )


async def _count(
    db: Database,
    id_: str,
    span: Span,
    *,
    known: dict[str, Any] | None,
    count: Count,
    now: datetime,
) -> Counter[str]:
    total: Counter[str] = Counter()
    until = span.since
    if known is not None:
        total, until = Counter(known["counts"]), known["until"]
    settled = min(span.until, now - GRACE)
    if settled - until >= STEP or until < settled == span.until:
        total += await count(until, settled)
        until = settled
        await _remember(db, id_, {"until": until, "counts": dict(total)}, known=known)
    if until < span.until:
        total += await count(until, span.until)
    return total


async def _remember(
    db: Database, id_: str, values: dict[str, Any], *, known: dict[str, Any] | None
) -> None:
    """Store a count, unless another process has written it since it was read."""
    stamp = _STAMPS.fresh()
    if known is None:
        with contextlib.suppress(DuplicateKeyError):
            await db[COLLECTION].insert_one({"_id": id_, **values, "stamp": stamp})
    elif "stamp" in known:
        update = fenced(known["stamp"], stamp, values=values)
        await db[COLLECTION].update_one({"_id": id_}, update)
    else:  # from before there were stamps: it gets one
        stamped = {"$set": {**values, "stamp": stamp}}
        await db[COLLECTION].update_one({"_id": id_, "stamp": None}, stamped)


async def is_whole(db: Database, name: str, span: Span, count: Count) -> bool:
    """Return whether all counted rows of a span are still stored.

    Only then may its count be forgotten: rows that retention has removed can't be counted again.
    """
    known = await db[COLLECTION].find_one({"_id": f"{name}/{span.name}"})
    return known is None or Counter(known["counts"]) <= await count(span.since, known["until"])


async def forget(db: Database, name: str, spans: Sequence[Span]) -> None:
    """Drop the stored counts of these spans, so that they are counted again."""
    for span in spans:
        nothing = {"until": span.since, "counts": {}, "stamp": _STAMPS.fresh()}
        await db[COLLECTION].update_one(
            {"_id": f"{name}/{span.name}"}, {"$set": nothing}, upsert=True
        )
