"""A learner's days, read from their sessions; periods that are over are remembered.

What must always hold: what is read is as if every session were read now. Sessions belong
to the UTC day and month of their creation, so none can join a period that is over. What is
remembered of one (collection `study_periods`: months, and the days of months that are not
yet remembered) are its sessions that had ended, which had been started and had not ended, and
how many had not been started: the second ones are read each time. Whoever changes, deletes,
starts for the first time or ends a session that was never started, says so first (`touch`),
which forgets its periods. A period is not remembered within `SETTLED_AFTER` of that or of its
end, nor unless nothing was said since before its sessions were read.

Periods whose sessions overlap in time are read together, since a second in which two
sessions were tracked counts once.

A learner's days are worked out once at a time (`models.concurrency.shared_work`), in slices
(`models.concurrency.slices`). What is remembered by other rules than those of `FORMAT` and of
the learner's days is not used.
"""

import contextlib
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import NamedTuple

from bson import ObjectId

from models.accounts.settings import Learner
from models.base.compare_and_set import Stamps, fenced
from models.base.database import Database, Document, DuplicateKeyError
from models.base.indexes import IndexSpec
from models.concurrency.shared_work import SharedWork
from models.concurrency.slices import Slices
from models.sessions.queries import sessions
from models.sessions.session import FINAL
from models.sessions.timeline import BY_HAND
from models.study.day_summary import (
    NO_DATES,
    Dates,
    DaySummary,
    Kept,
    Loaded,
    kept_of,
    lived_of,
    read_kept,
)
from scoring.local_days import ONE_DAY
from scoring.study_days import StudyDays, StudySession, tally_steps
from scoring.utc_days import midnight

COLLECTION = "study_periods"
INDEXES = (IndexSpec(keys=(("userId", 1),), query="read: all periods of a learner"),)
SETTLED_AFTER = timedelta(minutes=10)
"""Longer than a write may be on its way, and than the clocks of servers differ."""
UNTOUCHED: Document = {"startedAt": None, "endedAt": None, "edited": False}
"""Neither started, nor ended, nor changed by hand in what is counted: such sessions are counted by
their status alone, and are not read."""
TOUCHED: list[Document] = [{name: {"$ne": value}} for name, value in UNTOUCHED.items()]
CHUNK = 500
Pipeline = list[Document]
FORMAT = 2
"""Of what is remembered; it is raised whenever the rules of counting change."""
FIELDS = dict.fromkeys(
    (
        *("status", "timeZone", "startedAt", "createdAt", "endedAt", "edited", "lastBookedAt"),
        *("elapsedSeconds", "activeSeconds", "idleSeconds", "tabSwitches", "timeline", BY_HAND),
        *("pausedMs", "pausedAt", "focusScore", "contentId", "tags"),
    ),
    1,
)


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


class DayCache:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._stamps = Stamps()
        self._shared: SharedWork[DaySummary] = SharedWork()

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

    async def read(self, learner: Learner, now: datetime, dates: Dates = NO_DATES) -> DaySummary:
        """Return what this learner did: sums, marks of all dates, all of the wanted `dates`.

        The result is shared: nobody may change it.
        """
        question = (dates, learner.starts_at)
        return await self._shared.result(
            learner.user_id, question, lambda: self._read(learner, now, dates)
        )

    # --- private ----------------------------------------------------------------------------

    async def _read(self, learner: Learner, now: datetime, dates: Dates) -> DaySummary:
        user_id, slices = learner.user_id, Slices()
        while True:
            wanted = {"userId": user_id}
            found = await self._db[COLLECTION].find(wanted, {"days": 0}).to_list(None)
            known = {each["period"]: _by_the_rules_of(each, learner) for each in found}
            kept, live = await self._split(learner, known, now, slices)
            live.add(await self._ended_since(kept.values(), slices))
            studied = DaySummary()
            have = {each.id for each in live.lived}
            for period in await self._overlapping(kept, live.lived, slices):
                # Those of it that were never started are part of what is remembered.
                studied.open += kept.pop(period).never_started
                again = await self._loaded(user_id, period.since, period.until, slices)
                live.lived += [each for each in again.lived if each.id not in have]
            studied.open += live.statuses()
            studied.open += Counter(each.status for each in live.lived if each.status not in FINAL)
            days: StudyDays = {}
            await slices.run(tally_steps(days, live.lived, learner.starts_at))
            await slices.run(studied.adding_days(days, dates), 40)
            for each in kept.values():
                studied.add_kept(each)
                await slices.did(100)
            stamps = {
                _id(user_id, period): known[period.name]["stamp"]
                for period, each in kept.items()
                if any(dates.since <= mark.date < dates.until for mark in each.marks)
            }
            if await self._add_whole(studied, stamps, dates, slices):
                return studied

    async def _split(
        self, learner: Learner, known: dict[str, Document], now: datetime, slices: Slices
    ) -> tuple[dict[Period, Kept], Loaded]:
        """What is remembered, and the sessions of all other periods; and remember more."""
        kept: dict[Period, Kept] = {}
        live = Loaded()
        user_id, today = learner.user_id, now.astimezone(UTC).date()
        for month in await self._months(user_id, known, today):
            document = known.get(month.name)
            if document is not None and document["kept"]:
                kept[month] = read_kept(document["kept"])
                await slices.did(100)
                continue
            if month.is_settled(now, document):
                of_month = await self._loaded(user_id, month.since, month.until, slices)
                await self._keep(learner, month, document, of_month, slices)
                await self._forget_days(user_id, month, known)
                live.add(of_month)
                continue
            days = list(_days(month.since, min(month.until, today + ONE_DAY)))
            for day in days:
                if (found := known.get(day.name)) is not None and found["kept"]:
                    kept[day] = read_kept(found["kept"])
            for since, until in _stretches([day for day in days if day not in kept]):
                stretch = await self._loaded(user_id, since, until, slices, by_day=True)
                live.add(stretch)
                if month.until >= today - 2 * ONE_DAY:
                    await self._keep_days(
                        learner, known, stretch, now, of=Dates(since, until), slices=slices
                    )
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

    async def _loaded(
        self, user_id: str, since: date, until: date, slices: Slices, *, by_day: bool = False
    ) -> Loaded:
        """Return the sessions that were created on these UTC days.

        Those never started are counted by the database, of any number of them at little cost:
        as of the first day, or each of its own (`by_day`).
        """
        loaded = Loaded()
        created = {"userId": user_id, "_id": {"$gte": _bound(since), "$lt": _bound(until)}}
        # Two stages: in one the embedded database would pass over its index.
        touched: Pipeline = [{"$match": created}, {"$match": {"$or": TOUCHED}}]
        untouched: Pipeline = [{"$match": created}, {"$match": UNTOUCHED}]
        # First these: one that is started in between is told by the next read, not twice.
        found = sessions(self._db).aggregate([*touched, {"$project": FIELDS}], batchSize=CHUNK)
        await self._add_lived(loaded, found, slices)
        if by_day and until - since > ONE_DAY:
            found = sessions(self._db).aggregate([*untouched, {"$project": {"status": 1}}])
            async for document in found:
                loaded.never_started[_created_on(document["_id"]), document["status"]] += 1
                await slices.did(2)
            return loaded
        by_status = {"$group": {"_id": "$status", "count": {"$sum": 1}}}
        async for each in sessions(self._db).aggregate([*untouched, by_status]):
            loaded.never_started[since, each["_id"]] += each["count"]
        return loaded

    async def _add_lived(
        self, loaded: Loaded, found: AsyncIterator[Document], slices: Slices
    ) -> None:
        async for document in found:
            loaded.lived.append(lived_of(document))
            await slices.did(10 + len(document.get("timeline", b"")) // 4)

    async def _ended_since(self, kept: Iterable[Kept], slices: Slices) -> Loaded:
        """The sessions that had not ended when their periods were remembered."""
        ids = [id_ for each in kept for id_ in each.open]
        loaded = Loaded()
        for at in range(0, len(ids), CHUNK):
            wanted = {"_id": {"$in": ids[at : at + CHUNK]}}
            await self._add_lived(loaded, sessions(self._db).find(wanted, FIELDS), slices)
        return loaded

    async def _add_whole(
        self, studied: DaySummary, stamps: dict[str, str], dates: Dates, slices: Slices
    ) -> bool:
        """Add all that is remembered of the wanted dates; False if it is another by now."""
        if not stamps:
            return True
        wanted = {"_id": {"$in": list(stamps)}}
        found = self._db[COLLECTION].find(wanted, {"days": 1, "stamp": 1}).batch_size(2)
        seen: dict[str, str] = {}
        async for document in found:
            seen[document["_id"]] = document["stamp"]
            await slices.run(studied.adding_documents(document["days"] or (), dates), 40)
        return seen == stamps

    async def _keep_days(
        self,
        learner: Learner,
        known: dict[str, Document],
        loaded: Loaded,
        now: datetime,
        *,
        of: Dates,
        slices: Slices,
    ) -> None:
        by_day: dict[date, Loaded] = {}
        for each in loaded.lived:
            by_day.setdefault(_created_on(ObjectId(each.id)), Loaded()).lived.append(each)
            await slices.did(2)
        for (day, status), count in loaded.never_started.items():
            by_day.setdefault(day, Loaded()).never_started[day, status] = count
        for period in _days(of.since, of.until):
            document = known.get(period.name)
            if period.is_settled(now, document):
                of_day = by_day.get(period.since, Loaded())
                await self._keep(learner, period, document, of_day, slices)

    async def _keep(
        self,
        learner: Learner,
        period: Period,
        known: Document | None,
        loaded: Loaded,
        slices: Slices,
    ) -> None:
        """Remember a period that is settled, unless it was touched since it was read."""
        found = await kept_of(loaded.lived, loaded.statuses(), learner.starts_at, slices)
        if found is None:
            return
        kept, days = found
        stamp = self._stamps.fresh()
        values = {
            "kept": kept,
            "days": days,
            "built": True,
            "format": FORMAT,
            "startsAt": learner.starts_at,
        }
        user_id = learner.user_id
        id_ = _id(user_id, period)
        if known is not None:
            update = fenced(known["stamp"], stamp, values=values)
            await self._db[COLLECTION].update_one({"_id": id_}, update)
            return
        over = midnight(period.until)
        fresh = {"userId": user_id, "period": period.name, "touchedAt": over}
        with contextlib.suppress(DuplicateKeyError):  # touched, or kept by another process
            await self._db[COLLECTION].insert_one({"_id": id_, **fresh, **values, "stamp": stamp})

    async def _overlapping(
        self, kept: dict[Period, Kept], lived: Iterable[StudySession], slices: Slices
    ) -> list[Period]:
        """The remembered periods of which a session may overlap one of the others."""
        periods = [(each.since_us, each.until_us, period) for period, each in kept.items()]
        periods = sorted(each for each in periods if each[0] < each[1])
        found: set[Period] = set()
        last_us, reaching = 0, None
        for since_us, until_us, period in periods:
            if reaching is not None and since_us < last_us:
                found |= {period, reaching}
            if until_us > last_us:
                last_us, reaching = until_us, period
        begins = [since_us for since_us, _, _ in periods]
        reached = list(accumulate((until_us for _, until_us, _ in periods), max))
        for each in lived:
            await slices.did()
            if not each.runs:
                continue
            at = bisect_left(begins, each.until_us) - 1
            while at >= 0 and reached[at] > each.origin_us:
                if periods[at][1] > each.origin_us:
                    found.add(periods[at][2])
                at -= 1
        return sorted(found)

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


def _by_the_rules_of(document: Document, learner: Learner) -> Document:
    """What is stored of a period, without what is remembered of it by other rules."""
    rules = (document.get("format"), document.get("startsAt"))
    return document if rules == (FORMAT, learner.starts_at) else {**document, "kept": None}


def _id(user_id: str, period: Period) -> str:
    return f"{period.name} {user_id}"


def _created_on(session_id: ObjectId) -> date:
    return session_id.generation_time.astimezone(UTC).date()


def _bound(day: date) -> ObjectId:
    """The smallest id of this day."""
    return ObjectId.from_datetime(midnight(day))
