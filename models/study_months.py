"""A learner's days, read from their sessions; months that are over are remembered.

What must always hold: what is read is as if every session were read now. Sessions belong
to the UTC month of their creation, so none can join a month that is over. What is
remembered of one (collection `study_months`) are its sessions that had ended, and which
had not: those are read each time. Whoever changes or deletes a session by hand says so
first (`touch`), which forgets the month; a month is not remembered within `SETTLED_AFTER`
of that, nor unless nothing was said since before its sessions were read.

Months whose sessions overlap in time are read together, since a second in which two
sessions were tracked counts once.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo.errors import DuplicateKeyError

from models.fence import Stamps, fenced
from models.indexes import IndexSpec
from models.session_store import sessions
from models.sessions import FINAL, Document, paused_and_away
from models.time_zones import UTC as UTC_ZONE
from models.timelines import origin_of, runs_in
from scoring.local_days import instant_us
from scoring.study_days import DayTally, Lived, StudyDays, merge, tally

COLLECTION = "study_months"
INDEXES = (IndexSpec(keys=(("userId", 1),), query="study_days: all months of a learner"),)
SETTLED_AFTER = timedelta(minutes=10)
"""Longer than a write may be on its way, and than the clocks of servers differ."""
CHUNK = 500
FIELDS = dict.fromkeys(
    (
        *("status", "timeZone", "startedAt", "createdAt", "endedAt", "edited"),
        *("elapsedSeconds", "activeSeconds", "idleSeconds", "tabSwitches", "timeline"),
        *("pausedMs", "pausedAt", "focusScore", "contentId", "tags"),
    ),
    1,
)

Database = AsyncIOMotorDatabase[Document]


class Studied(NamedTuple):
    """What is known of a learner."""

    days: StudyDays
    open: Counter[str]
    """Sessions that have not ended, by status."""


class StudyMonths:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._stamps = Stamps()

    async def touch(self, session: Document, now: datetime) -> None:
        """A session is going to be changed or deleted by hand."""
        month = _month_of(session["_id"])
        if month >= _month_at(now):
            return
        user_id = session["userId"]
        fresh = {"userId": user_id, "month": month.isoformat(), "touchedAt": now, "kept": None}
        values = {**fresh, "stamp": self._stamps.fresh()}
        while True:
            with contextlib.suppress(DuplicateKeyError):  # made at the same instant
                await self._db[COLLECTION].update_one(
                    {"_id": _id(user_id, month)}, {"$set": values}, upsert=True
                )
                return

    async def read(self, user_id: str, now: datetime) -> Studied:
        """All days of this learner."""
        found = await self._db[COLLECTION].find({"userId": user_id}).to_list(None)
        known = {date.fromisoformat(document["month"]): document for document in found}
        kept = {month: each["kept"] for month, each in known.items() if each["kept"]}
        present = _month_at(now)
        live: dict[date, list[Document]] = {}
        for month in [*known, *await self._unknown(user_id, max(known, default=None), present)]:
            if month not in kept:
                live[month] = await self._sessions(user_id, month)
                if month < present:
                    await self._keep(user_id, month, known.get(month), live[month], now)
        open_ids = [id_ for each in kept.values() for id_ in each["open"]]
        late = await self._by_id(open_ids)
        lived = [_lived(document) for part in [*live.values(), late] for document in part]
        for month in _overlapping(kept, lived):
            del kept[month]
            lived += [_lived(each) for each in await self._ended(user_id, month, set(open_ids))]
        days = tally(lived)
        for each in kept.values():
            merge(days, _days(each))
            await asyncio.sleep(0)  # others are counted meanwhile
        open_ = Counter(each.status for each in lived if each.status not in FINAL)
        return Studied(days, open_)

    async def _unknown(self, user_id: str, last: date | None, present: date) -> list[date]:
        """The months after the last one that is known. What lies before it and is not known
        has no sessions."""
        if last is None:
            wanted = {"userId": user_id}
            first = sessions(self._db).find(wanted, {"_id": 1}).sort("_id", 1).limit(1)
            oldest = await first.to_list(None)
            if not oldest:
                return []
            month = _month_of(oldest[0]["_id"])
        else:
            month = _next(last)
        months = []
        while month <= present:
            months.append(month)
            month = _next(month)
        return months

    async def _sessions(self, user_id: str, month: date) -> list[Document]:
        since, until = _bound(month), _bound(_next(month))
        wanted = {"userId": user_id, "_id": {"$gte": since, "$lt": until}}
        return await sessions(self._db).find(wanted, FIELDS).to_list(None)

    async def _ended(self, user_id: str, month: date, but: set[ObjectId]) -> list[Document]:
        found = await self._sessions(user_id, month)
        return [document for document in found if document["_id"] not in but]

    async def _by_id(self, ids: Sequence[ObjectId]) -> list[Document]:
        found: list[Document] = []
        for at in range(0, len(ids), CHUNK):
            wanted = {"_id": {"$in": list(ids[at : at + CHUNK])}}
            found += await sessions(self._db).find(wanted, FIELDS).to_list(None)
        return found

    async def _keep(
        self,
        user_id: str,
        month: date,
        known: Document | None,
        found: list[Document],
        now: datetime,
    ) -> None:
        """Remember a month that is over, unless something of it may be on its way."""
        over = datetime.combine(_next(month), datetime.min.time(), UTC)
        touched = over if known is None else max(known["touchedAt"], over)
        if now - touched < SETTLED_AFTER:
            return
        kept = _kept([_lived(each) for each in found])
        stamp, id_ = self._stamps.fresh(), _id(user_id, month)
        if known is not None:
            update = fenced(known["stamp"], stamp, values={"kept": kept})
            await self._db[COLLECTION].update_one({"_id": id_}, update)
            return
        fresh = {"userId": user_id, "month": month.isoformat(), "touchedAt": over}
        with contextlib.suppress(DuplicateKeyError):  # touched, or kept by another process
            await self._db[COLLECTION].insert_one(
                {"_id": id_, **fresh, "kept": kept, "stamp": stamp}
            )


def _lived(document: Document) -> Lived:
    ended_at: datetime | None = document["endedAt"]
    paused, away = (0, 0) if ended_at is None else paused_and_away(document, ended_at)
    return Lived(
        id=str(document["_id"]),
        zone=document.get("timeZone", UTC_ZONE),
        status=document["status"],
        origin_us=instant_us(origin_of(document)),
        end_us=None if ended_at is None else instant_us(ended_at),
        runs=runs_in(document),
        paused_seconds=paused,
        away_seconds=away,
        focus_score=document["focusScore"],
        content=document["contentId"],
        tags=document["tags"],
    )


def _kept(lived: list[Lived]) -> Document:
    ended = [each for each in lived if each.status in FINAL]
    return {
        "open": [ObjectId(each.id) for each in lived if each.status not in FINAL],
        "since": min((each.origin_us for each in ended), default=0),
        "until": max((each.until_us for each in ended), default=0),
        "days": [[day.isoformat(), each.to_document()] for day, each in tally(ended).items()],
    }


def _days(kept: Document) -> StudyDays:
    return {date.fromisoformat(day): DayTally.from_document(each) for day, each in kept["days"]}


def _overlapping(kept: dict[date, Document], lived: Iterable[Lived]) -> list[date]:
    """The remembered months of which a session may overlap one of the others."""
    stretches: list[tuple[int, int, date | None]] = [
        (each["since"], each["until"], month) for month, each in kept.items() if each["days"]
    ]
    stretches += [(each.origin_us, each.until_us, None) for each in lived if each.runs]
    stretches.sort(key=lambda stretch: stretch[:2])
    found: set[date] = set()
    until_us, reaching = 0, None
    for start_us, end_us, month in stretches:
        if start_us < until_us:
            found |= {each for each in (month, reaching) if each is not None}
        if end_us > until_us:
            until_us, reaching = end_us, month
    return sorted(found)


def _id(user_id: str, month: date) -> str:
    return f"{month:%Y-%m} {user_id}"


def _month_at(at: datetime) -> date:
    return at.astimezone(UTC).date().replace(day=1)


def _month_of(session_id: ObjectId) -> date:
    return _month_at(session_id.generation_time)


def _next(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def _bound(month: date) -> ObjectId:
    """The smallest id of this month."""
    return ObjectId.from_datetime(datetime.combine(month, datetime.min.time(), UTC))
