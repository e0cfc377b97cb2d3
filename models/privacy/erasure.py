"""Removing a person: what is theirs alone goes, what statistics are made of stays nameless.

What must always hold: it may be cut off anywhere and done again, and then finishes; so what
leads to other documents goes after them, visitors after their views, and the account last.
Each statement is small, since counting goes on meanwhile. Sums of pages and days stay as
they are: views keep their page and seconds, events their type and instant.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId

from models.accounts import idempotency_keys, refresh_tokens, settings, user_directory, users
from models.activity import events, presence
from models.base.database import Collection, Database, Document
from models.base.driver_errors import answered_within
from models.base.paging import BY_ID, BY_START, Key, newest_first
from models.cluster import processes
from models.page_statistics.visitor_tallies import forget_tallies
from models.pageviews.page_view import NAMELESS_VIEW, page_views
from models.pageviews.visitors import BROWSER_SESSIONS, VISITORS, visitors_of
from models.sessions import started_sessions
from models.sessions.queries import (
    sessions,
)
from models.study import day_cache, goal_events
from models.tokens import revocations

ANSWER_WITHIN_S = 8.0
NAMELESS_BROWSER: Document = {"userId": None, "userAgent": "", "hadUser": True}

Ids = AsyncIterator[list[Any]]


async def remove_person(db: Database, user_id: str, now: datetime) -> None:
    """Everything that is known of this user, but for the row in `departures`.

    Raises StorageUnavailable, StatementRefused; then it has to be done again.
    """
    # First, before a server that has just forgotten the user reads it again.
    for kind in (revocations.USER, revocations.ROLE):
        await _delete(db[revocations.COLLECTION], {"_id": kind + user_id})
    await _remove_sessions(db, user_id, now)
    await _delete(db[day_cache.COLLECTION], {"userId": user_id})
    await _delete(db[goal_events.COLLECTION], {"userId": user_id})
    await _delete(db[idempotency_keys.COLLECTION], {"userId": user_id})
    await _delete(db[settings.COLLECTION], {"_id": user_id})
    await _delete(db[presence.COLLECTION], {"_id": user_id})
    theirs = _ids(db[events.COLLECTION], {"user_id": user_id}, BY_ID, now)
    await _set(db[events.COLLECTION], theirs, {"user_id": None})
    await _leave_browsers(db, user_id, now)
    await _delete(db[user_directory.COLLECTION], {"_id": user_id})
    if ObjectId.is_valid(user_id):
        account = ObjectId(user_id)
        await _delete(db[refresh_tokens.COLLECTION], {"userId": account})
        await _delete(db[users.COLLECTION], {"_id": account})


async def _remove_sessions(db: Database, user_id: str, now: datetime) -> None:
    async for ids in _ids(sessions(db), {"userId": user_id}, BY_ID, now):
        await _delete(db[processes.NOTICES], {"sessionId": {"$in": ids}})
        # Should one be noted again just now, it is forgotten when it is seen to be gone.
        await _delete(db[started_sessions.COLLECTION], {"_id": {"$in": ids}})
        await _delete(sessions(db), {"_id": {"$in": ids}})


async def _leave_browsers(db: Database, user_id: str, now: datetime) -> None:
    """Visitors, browser sessions and page views belong to nobody any more."""
    views, browsers = page_views(db), db[BROWSER_SESSIONS]
    seen = {"_id": 1, "startedAt": 1, "visitorId": 1}
    async for found in newest_first(views, {"userId": user_id}, BY_START, now=now, fields=seen):
        await forget_tallies(db, sorted({view["visitorId"] for view in found}))
    await _set(views, _ids(views, {"userId": user_id}, BY_START, now), NAMELESS_VIEW)
    await _set(browsers, _ids(browsers, {"userId": user_id}, BY_ID, now), NAMELESS_BROWSER)
    async for visitors in visitors_of(db, user_id):
        ids = [visitor["_id"] for visitor in visitors]
        for id_ in ids:  # what they viewed before they signed in
            before = _ids(views, {"visitorId": id_}, BY_START, now, of_nobody=True)
            await _set(views, before, NAMELESS_VIEW)
            before = _ids(browsers, {"visitorId": id_}, BY_ID, now, of_nobody=True)
            await _set(browsers, before, NAMELESS_BROWSER)
        await _set(db[VISITORS], _at_once(ids), {"userId": None})


async def _ids(
    collection: Collection,
    wanted: Mapping[str, Any],
    key: Key,
    now: datetime,
    *,
    of_nobody: bool = False,
) -> Ids:
    """`of_nobody` leaves out what has a user. Not by the filter: it would make a database
    choose the index of all that belongs to nobody."""
    fields = {"_id": 1, key.field: 1, "userId": 1}
    async for found in newest_first(collection, wanted, key, now=now, fields=fields):
        yield [each["_id"] for each in found if not (of_nobody and each["userId"] is not None)]


async def _at_once(ids: list[Any]) -> Ids:
    yield ids


async def _set(collection: Collection, ids: Ids, values: Mapping[str, Any]) -> None:
    async for some in ids:
        if some:
            async with answered_within(ANSWER_WITHIN_S):
                await collection.update_many({"_id": {"$in": some}}, {"$set": dict(values)})
        await asyncio.sleep(0)


async def _delete(collection: Collection, wanted: Mapping[str, Any]) -> None:
    async with answered_within(ANSWER_WITHIN_S):
        # The embedded database fails to delete from a collection that never had a document.
        if await collection.find_one(wanted, {"_id": 1}) is not None:
            await collection.delete_many(wanted)
