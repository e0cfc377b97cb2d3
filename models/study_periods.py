"""A learner's days, read from their sessions; periods that are over are remembered.

What must always hold: what is read is as if every session were read now. Sessions belong
to the UTC day and month of their creation, so none can join a period that is over. What is
remembered of one (collection `study_periods`: months, and the days of months that are not
yet remembered) are its sessions that had ended, and which had not: those are read each
time. Whoever changes or deletes a session by hand says so first (`touch`), which forgets
its periods. A period is not remembered within `SETTLED_AFTER` of that or of its end, nor
unless nothing was said since before its sessions were read.

Periods whose sessions overlap in time are read together, since a second in which two
sessions were tracked counts once.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo.errors import DuplicateKeyError

from models.fence import Stamps, fenced
from models.indexes import IndexSpec
from models.session_store import sessions
from models.sessions import FINAL, Document
from models.studied import NO_DATES, Dates, Kept, Studied, kept_of, lived_of, read_kept
from scoring.local_days import ONE_DAY
from scoring.study_days import Lived, tally
from scoring.utc_days import midnight

COLLECTION = "study_periods"
INDEXES = (IndexSpec(keys=(("userId", 1),), query="read: all periods of a learner"),)
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


class Period(NamedTuple):
    """A UTC day or month."""

    name: str
    """`2026-11-20` or `2026-11`."""
    since: date
    until: date

    def is_settled(self, now: datetime, known: Document | None) -> bool:
        """Whether nothing of it can be on its way any more."""
        over = midnight(self.until)
        touched_at: datetime = over if known is None else known["touchedAt"]
        return now - max(over, touched_at) >= SETTLED_AFTER


class StudyPeriods:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._stamps = Stamps()

    async def touch(self, session: Document, now: datetime) -> None:
        """A session is going to be changed or deleted by hand."""
        created = _created_on(session["_id"])
        for period in (month_of(created), day_of(created)):
            if period.since <= now.astimezone(UTC).date() < period.until:
                continue  # nothing of it is remembered yet
            fresh = {"touchedAt": now, "kept": None, "days": None, "stamp": self._stamps.fresh()}
            first = {"userId": session["userId"], "period": period.name}
            wanted = {"_id": _id(session["userId"], period)}
            try:
                await self._upsert(wanted, fresh, first)
            except DuplicateKeyError:  # made at the same instant
                await self._upsert(wanted, fresh, first)

    async def read(self, user_id: str, now: datetime, dates: Dates = NO_DATES) -> Studied:
        """What this learner did: sums, marks of all dates, and all of the wanted `dates`."""
        while True:
            wanted = {"userId": user_id}
            found = await self._db[COLLECTION].find(wanted, {"days": 0}).to_list(None)
            known = {document["period"]: document for document in found}
            kept, live = await self._split(user_id, known, now)
            lived = [*live, *await self._ended_since(kept.values())]
            studied = Studied()
            studied.open = Counter(each.status for each in lived if each.status not in FINAL)
            for period in _overlapping(kept, lived):
                del kept[period]
                have = {each.id for each in lived}
                again = await self._lived(user_id, period.since, period.until)
                lived += [each for each in again if each.id not in have]
            studied.add_days(tally(lived), dates)
            for each in kept.values():
                studied.add_kept(each)
            stamps = {
                _id(user_id, period): known[period.name]["stamp"]
                for period, each in kept.items()
                if any(dates.since <= mark.date < dates.until for mark in each.marks)
            }
            if await self._add_whole(studied, stamps, dates):
                return studied

    # --- private ----------------------------------------------------------------------------

    async def _split(
        self, user_id: str, known: dict[str, Document], now: datetime
    ) -> tuple[dict[Period, Kept], list[Lived]]:
        """What is remembered, and the sessions of all other periods; and remember more."""
        kept: dict[Period, Kept] = {}
        live: list[Lived] = []
        today = now.astimezone(UTC).date()
        for month in await self._months(user_id, known, today):
            document = known.get(month.name)
            if document is not None and document["kept"]:
                kept[month] = read_kept(document["kept"])
                continue
            if month.is_settled(now, document):
                of_month = await self._lived(user_id, month.since, month.until)
                await self._keep(user_id, month, document, of_month)
                await self._forget_days(user_id, month, known)
                live += of_month
                continue
            days = list(_days(month.since, min(month.until, today + ONE_DAY)))
            for day in days:
                if (found := known.get(day.name)) is not None and found["kept"]:
                    kept[day] = read_kept(found["kept"])
            for since, until in _stretches([day for day in days if day not in kept]):
                stretch = await self._lived(user_id, since, until)
                live += stretch
                if month.until >= today - 2 * ONE_DAY:
                    await self._keep_days(user_id, known, stretch, now, of=Dates(since, until))
        return kept, live

    async def _months(self, user_id: str, known: dict[str, Document], today: date) -> list[Period]:
        """Every month that may have sessions. Months are remembered in order of time, so what
        lies before the last one that ever was and is not known has none."""
        months = {name: _named(name) for name in known if len(name) == len("2026-11")}
        built = [month for name, month in months.items() if known[name].get("built")]
        if built:
            first = max(month.until for month in built)
        else:
            wanted = {"userId": user_id}
            oldest = sessions(self._db).find(wanted, {"_id": 1}).sort("_id", 1).limit(1)
            ids = await oldest.to_list(None)
            if not ids:
                return []
            first = _created_on(ids[0]["_id"])
        while first <= today:
            month = month_of(first)
            months[month.name] = month
            first = month.until
        return sorted(months.values())

    async def _lived(self, user_id: str, since: date, until: date) -> list[Lived]:
        """The sessions that were created on these UTC days."""
        bounds = {"$gte": _bound(since), "$lt": _bound(until)}
        found = sessions(self._db).find({"userId": user_id, "_id": bounds}, FIELDS)
        return [lived_of(document) for document in await found.to_list(None)]

    async def _ended_since(self, kept: Iterable[Kept]) -> list[Lived]:
        """The sessions that had not ended when their periods were remembered."""
        ids = [id_ for each in kept for id_ in each.open]
        found: list[Document] = []
        for at in range(0, len(ids), CHUNK):
            wanted = {"_id": {"$in": ids[at : at + CHUNK]}}
            found += await sessions(self._db).find(wanted, FIELDS).to_list(None)
        return [lived_of(document) for document in found]

    async def _add_whole(self, studied: Studied, stamps: dict[str, str], dates: Dates) -> bool:
        """Add all that is remembered of the wanted dates; False if it is another by now."""
        if not stamps:
            return True
        wanted = {"_id": {"$in": list(stamps)}}
        found = await self._db[COLLECTION].find(wanted, {"days": 1, "stamp": 1}).to_list(None)
        for document in found:
            studied.add_documents(document["days"] or (), dates)
        return {document["_id"]: document["stamp"] for document in found} == stamps

    async def _keep_days(
        self,
        user_id: str,
        known: dict[str, Document],
        lived: list[Lived],
        now: datetime,
        *,
        of: Dates,
    ) -> None:
        by_day: dict[date, list[Lived]] = {}
        for each in lived:
            by_day.setdefault(_created_on(ObjectId(each.id)), []).append(each)
        for day in _days(of.since, of.until):
            document = known.get(day.name)
            if day.is_settled(now, document):
                await self._keep(user_id, day, document, by_day.get(day.since, []))

    async def _keep(
        self, user_id: str, period: Period, known: Document | None, lived: list[Lived]
    ) -> None:
        """Remember a period that is settled, unless it was touched since it was read."""
        kept, days = kept_of(lived)
        stamp = self._stamps.fresh()
        values = {"kept": kept, "days": days, "built": True}
        id_ = _id(user_id, period)
        if known is not None:
            update = fenced(known["stamp"], stamp, values=values)
            await self._db[COLLECTION].update_one({"_id": id_}, update)
            return
        over = midnight(period.until)
        fresh = {"userId": user_id, "period": period.name, "touchedAt": over}
        with contextlib.suppress(DuplicateKeyError):  # touched, or kept by another process
            await self._db[COLLECTION].insert_one({"_id": id_, **fresh, **values, "stamp": stamp})

    async def _forget_days(self, user_id: str, month: Period, known: dict[str, Document]) -> None:
        """Its month is remembered; should a day still be needed, it is read anew."""
        days = [day for day in _days(month.since, month.until) if day.name in known]
        if days:
            wanted = {"_id": {"$in": [_id(user_id, day) for day in days]}}
            await self._db[COLLECTION].delete_many(wanted)

    async def _upsert(self, wanted: Document, fresh: Document, first: Document) -> None:
        update = {"$set": fresh, "$setOnInsert": first}
        await self._db[COLLECTION].update_one(wanted, update, upsert=True)


def day_of(day: date) -> Period:
    return Period(day.isoformat(), day, day + ONE_DAY)


def month_of(day: date) -> Period:
    """The one in which the day lies."""
    first = day.replace(day=1)
    return Period(f"{day:%Y-%m}", first, (first + timedelta(days=31)).replace(day=1))


def _named(month: str) -> Period:
    return month_of(date.fromisoformat(f"{month}-01"))


def _days(since: date, until: date) -> Iterator[Period]:
    return (day_of(since + number * ONE_DAY) for number in range((until - since).days))


def _stretches(days: Iterable[Period]) -> list[Dates]:
    """Days that follow each other, together."""
    found: list[Dates] = []
    for day in days:
        if found and found[-1].until == day.since:
            found[-1] = Dates(found[-1].since, day.until)
        else:
            found.append(Dates(day.since, day.until))
    return found


def _overlapping(kept: dict[Period, Kept], lived: Iterable[Lived]) -> list[Period]:
    """The remembered periods of which a session may overlap one of the others."""
    stretches: list[tuple[int, int, Period | None]] = [
        (each.since_us, each.until_us, period) for period, each in kept.items() if each.marks
    ]
    stretches += [(each.origin_us, each.until_us, None) for each in lived if each.runs]
    stretches.sort(key=lambda stretch: stretch[:2])
    found: set[Period] = set()
    until_us, reaching = 0, None
    for start_us, end_us, period in stretches:
        if start_us < until_us:
            found |= {each for each in (period, reaching) if each is not None}
        if end_us > until_us:
            until_us, reaching = end_us, period
    return sorted(found)


def _id(user_id: str, period: Period) -> str:
    return f"{period.name} {user_id}"


def _created_on(session_id: ObjectId) -> date:
    return session_id.generation_time.astimezone(UTC).date()


def _bound(day: date) -> ObjectId:
    """The smallest id of this day."""
    return ObjectId.from_datetime(midnight(day))
