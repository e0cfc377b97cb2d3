"""Read a learner's days from their sessions; cache the periods that are over.

Invariants:

- The result is as if every session were read now.
- Cached of a period (collection `study_periods`) are the sums of its sessions that had ended, the
  ids of those that had been started and had not ended, which are read each time, and how many
  had not been started.
- Each change, deletion or first start of a session, and each end of one that was never started,
  is announced first (`touch`), which drops the cached sums of its periods.
- A period is cached no sooner than `SETTLED_AFTER` after its end and after the last announcement,
  and only if none came since before its sessions were read.
- Periods whose sessions overlap in time are read together, since a second in which two sessions
  were tracked counts once.
- Sums that were cached by other rules than those of `FORMAT` and of the learner's days are not
  used.
- An answer never waits for the cache: sums are stored after it.

A learner's days are computed once at a time (`models.concurrency.shared_work`), in slices
(`models.concurrency.slices`).
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextvars import Context
from datetime import UTC, date, datetime

import structlog
from bson import ObjectId

from models.accounts.settings import Learner
from models.base.compare_and_set import Stamps, fenced
from models.base.database import Database, Document, DuplicateKeyError
from models.base.driver_errors import StatementRefused, StorageUnavailable, answered_within
from models.base.indexes import IndexSpec
from models.concurrency.shared_work import SharedWork
from models.concurrency.slices import Slices
from models.sessions.queries import sessions
from models.sessions.session import FINAL
from models.sessions.timeline import BY_HAND
from models.study.day_summary import (
    DaySummary,
    Kept,
    Loaded,
    kept_of,
    lived_of,
    overlapping,
    read_kept,
)
from models.study.periods import (
    MONTH_LENGTH,
    NO_DATES,
    Dates,
    Load,
    Period,
    day_of,
    days_between,
    month_of,
    months_until,
    named_month,
    plan_reading,
)
from scoring.local_days import ONE_DAY
from scoring.study_days import StudyDays, tally_steps
from scoring.utc_days import midnight

COLLECTION = "study_periods"
INDEXES = (IndexSpec(keys=(("userId", 1),), query="read: all periods of a learner"),)
UNTOUCHED: Document = {"startedAt": None, "endedAt": None, "edited": False}
"""Neither started, nor ended, nor changed by hand in what is counted: such sessions are counted by
their status alone, and are not read."""
TOUCHED: list[Document] = [{name: {"$ne": value}} for name, value in UNTOUCHED.items()]
CHUNK = 500
STORE_WITHIN_S = 10.0
"""How long the cache may take to store one reading."""
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

log = structlog.get_logger(__name__)


class DayCache:
    """The days of all learners."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._stamps = Stamps()
        self._shared: SharedWork[DaySummary] = SharedWork()
        self._storing: dict[str, asyncio.Task[None]] = {}

    async def touch(self, session: Document, now: datetime) -> None:
        """Announce that a session is about to be changed or deleted: drop its cached periods."""
        created = _created_on(session["_id"])
        for period in (month_of(created), day_of(created)):
            if period.since <= now.astimezone(UTC).date() < period.until:
                continue  # nothing of it is cached yet
            fresh = {"touchedAt": now, "kept": None, "days": None, "stamp": self._stamps.fresh()}
            first = {"userId": session["userId"], "period": period.name}
            wanted = {"_id": _id(session["userId"], period)}
            try:
                await self._upsert(wanted, fresh, first)
            except DuplicateKeyError:  # made at the same instant
                await self._upsert(wanted, fresh, first)

    async def read(self, learner: Learner, now: datetime, dates: Dates = NO_DATES) -> DaySummary:
        """Return what a learner did: sums, marks of all dates, and the whole `dates`.

        The result is shared between callers, which must not change it.
        """
        question = (dates, learner.starts_at)
        return await self._shared.result(
            learner.user_id, question, lambda: self._read(learner, now, dates)
        )

    async def stored(self) -> None:
        """Wait until everything that was read so far is in the cache."""
        await asyncio.gather(*self._storing.values())

    async def close(self) -> None:
        """Stop storing; the next reading, here or in another process, stores it instead."""
        for task in list(self._storing.values()):
            task.cancel()
        await asyncio.gather(*self._storing.values(), return_exceptions=True)

    # --- reading ----------------------------------------------------------------------------

    async def _read(self, learner: Learner, now: datetime, dates: Dates) -> DaySummary:
        user_id, slices, today = learner.user_id, Slices(), now.astimezone(UTC).date()
        while True:
            found = await self._db[COLLECTION].find({"userId": user_id}, {"days": 0}).to_list(None)
            known = {each["period"]: _by_the_rules_of(each, learner) for each in found}
            plan = plan_reading(await self._months(user_id, known, today), known, now, today)
            kept: dict[Period, Kept] = {}
            for period, document in plan.cached.items():
                kept[period] = read_kept(document)
                await slices.did(100)
            loaded = [(load, await self._loaded(user_id, load, slices)) for load in plan.loads]
            live = Loaded()
            for _, each in loaded:
                live.add(each)
            live.add(await self._ended_since(kept.values(), slices))
            summary = await self._summed(learner, dates, kept, live, slices)
            stamps = {
                _id(user_id, period): known[period.name]["stamp"]
                for period, each in kept.items()
                if any(dates.since <= mark.date < dates.until for mark in each.marks)
            }
            if await self._add_whole(summary, stamps, dates, slices):
                self._store_later(learner, known, loaded)
                return summary

    async def _summed(
        self,
        learner: Learner,
        dates: Dates,
        kept: dict[Period, Kept],
        live: Loaded,
        slices: Slices,
    ) -> DaySummary:
        """Add up cached periods and sessions; take the periods that have to be read from `kept`."""
        summary = DaySummary()
        have = {each.id for each in live.lived}
        for period in await overlapping(kept, live.lived, slices):
            # The cached counts hold those of its sessions that were never started.
            summary.open += kept.pop(period).never_started
            again = await self._loaded(learner.user_id, _whole(period), slices)
            live.lived += [each for each in again.lived if each.id not in have]
        summary.open += live.statuses()
        summary.open += Counter(each.status for each in live.lived if each.status not in FINAL)
        days: StudyDays = {}
        await slices.run(tally_steps(days, live.lived, learner.starts_at))
        await slices.run(summary.adding_days(days, dates), 40)
        for cached in kept.values():
            summary.add_kept(cached)
            await slices.did(100)
        return summary

    async def _months(
        self, user_id: str, known: Mapping[str, Document], today: date
    ) -> Sequence[Period]:
        """Return every month that may have sessions.

        Months are cached in order of time, so what lies before the last one that was ever cached
        and is not known has none.
        """
        names = [name for name in known if len(name) == MONTH_LENGTH]
        cached = [named_month(name).until for name in names if known[name].get("built")]
        if cached:
            return months_until(today, names, max(cached))
        oldest = sessions(self._db).find({"userId": user_id}, {"_id": 1}).sort("_id", 1).limit(1)
        ids = await oldest.to_list(None)
        return months_until(today, names, _created_on(ids[0]["_id"])) if ids else []

    async def _loaded(self, user_id: str, load: Load, slices: Slices) -> Loaded:
        """Read the sessions that were created on the days of `load`.

        The database counts those that were never started, however many, at little cost.
        """
        loaded, (since, until) = Loaded(), (load.since, load.until)
        created = {"userId": user_id, "_id": {"$gte": _bound(since), "$lt": _bound(until)}}
        # Two stages: in one the embedded database would pass over its index.
        touched: Pipeline = [{"$match": created}, {"$match": {"$or": TOUCHED}}]
        untouched: Pipeline = [{"$match": created}, {"$match": UNTOUCHED}]
        # In this order a session that is started in between is missing once, not counted twice.
        found = sessions(self._db).aggregate([*touched, {"$project": FIELDS}], batchSize=CHUNK)
        await self._add_lived(loaded, found, slices)
        if load.by_day and until - since > ONE_DAY:
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
            await slices.before(10 + len(document.get("timeline", b"")) // 4)
            loaded.lived.append(lived_of(document))

    async def _ended_since(self, kept: Iterable[Kept], slices: Slices) -> Loaded:
        """Read the sessions that had not ended when their periods were cached."""
        ids = [id_ for each in kept for id_ in each.open]
        loaded = Loaded()
        for at in range(0, len(ids), CHUNK):
            wanted = {"_id": {"$in": ids[at : at + CHUNK]}}
            await self._add_lived(loaded, sessions(self._db).find(wanted, FIELDS), slices)
        return loaded

    async def _add_whole(
        self, summary: DaySummary, stamps: dict[str, str], dates: Dates, slices: Slices
    ) -> bool:
        """Add the cached days among `dates`; return False if a period has another stamp by now."""
        if not stamps:
            return True
        wanted = {"_id": {"$in": list(stamps)}}
        found = self._db[COLLECTION].find(wanted, {"days": 1, "stamp": 1}).batch_size(2)
        seen: dict[str, str] = {}
        async for document in found:
            seen[document["_id"]] = document["stamp"]
            await slices.run(summary.adding_documents(document["days"] or (), dates), 40)
        return seen == stamps

    # --- storing ----------------------------------------------------------------------------

    def _store_later(
        self,
        learner: Learner,
        known: Mapping[str, Document],
        loaded: Sequence[tuple[Load, Loaded]],
    ) -> None:
        """Store what can be cached, after the answer; nothing while the former store runs."""
        user_id = learner.user_id
        settled = [(load, each) for load, each in loaded if load.to_cache]
        if not settled or user_id in self._storing:
            return
        # It outlives the request that began it, so it inherits none of its limits.
        work = self._store(learner, known, settled)
        task = self._storing[user_id] = asyncio.create_task(work, context=Context())
        task.add_done_callback(lambda _: self._storing.pop(user_id))

    async def _store(
        self,
        learner: Learner,
        known: Mapping[str, Document],
        loaded: Sequence[tuple[Load, Loaded]],
    ) -> None:
        slices = Slices()
        try:
            async with answered_within(STORE_WITHIN_S):
                for load, sessions_of_load in loaded:
                    by_period = await _by_period(load, sessions_of_load, slices)
                    for period in load.to_cache:
                        of_period = by_period.get(period, Loaded())
                        await self._keep(learner, period, known.get(period.name), of_period, slices)
                        if period.is_month:
                            await self._forget_days(learner.user_id, period, known)
        except (StorageUnavailable, StatementRefused):
            pass  # the next reading stores it
        except Exception:
            log.exception("day_cache_store_failed")

    async def _keep(
        self,
        learner: Learner,
        period: Period,
        known: Document | None,
        loaded: Loaded,
        slices: Slices,
    ) -> None:
        """Cache a settled period, unless it was touched since its document was read."""
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
        with contextlib.suppress(DuplicateKeyError):  # touched, or cached by another process
            await self._db[COLLECTION].insert_one({"_id": id_, **fresh, **values, "stamp": stamp})

    async def _forget_days(
        self, user_id: str, month: Period, known: Mapping[str, Document]
    ) -> None:
        """Drop the cached days of a cached month; one that is needed later is read anew."""
        days = [day for day in days_between(month.since, month.until) if day.name in known]
        if days:
            wanted = {"_id": {"$in": [_id(user_id, day) for day in days]}}
            await self._db[COLLECTION].delete_many(wanted)

    async def _upsert(self, wanted: Document, fresh: Document, first: Document) -> None:
        update = {"$set": fresh, "$setOnInsert": first}
        await self._db[COLLECTION].update_one(wanted, update, upsert=True)


async def _by_period(load: Load, loaded: Loaded, slices: Slices) -> dict[Period, Loaded]:
    """Distribute the sessions of a load over the periods that are cached of it."""
    if not load.by_day:
        return dict.fromkeys(load.to_cache, loaded)
    found: dict[Period, Loaded] = {}
    for each in loaded.lived:
        day = day_of(_created_on(ObjectId(each.id)))
        found.setdefault(day, Loaded()).lived.append(each)
        await slices.did(2)
    for (date_, status), count in loaded.never_started.items():
        found.setdefault(day_of(date_), Loaded()).never_started[date_, status] = count
    return found


def _whole(period: Period) -> Load:
    return Load(period.since, period.until, by_day=False, to_cache=())


def _by_the_rules_of(document: Document, learner: Learner) -> Document:
    """Return the document of a period, without sums that were cached by other rules."""
    rules = (document.get("format"), document.get("startsAt"))
    return document if rules == (FORMAT, learner.starts_at) else {**document, "kept": None}


def _id(user_id: str, period: Period) -> str:
    return f"{period.name} {user_id}"


def _created_on(session_id: ObjectId) -> date:
    return session_id.generation_time.astimezone(UTC).date()


def _bound(day: date) -> ObjectId:
    """Return the smallest session id of a day."""
    return ObjectId.from_datetime(midnight(day))
