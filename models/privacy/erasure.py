"""Delete the personal data of a user, and anonymize what statistics are made of.

Invariants:

- It may be interrupted anywhere and repeated. So documents by which others are found are removed
  after those: visitors after their views, and the account last.
- Each statement is small, because seconds are counted and stored meanwhile.
- Sums of pages and days do not change: views keep their page and seconds, events their type and
  instant.
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
from models.page_statistics.visitor_tallies import remove_tallies
from models.pageviews.page_view import ANONYMOUS_VIEW, page_views
from models.pageviews.visitors import BROWSER_SESSIONS, VISITORS, visitors_of
from models.sessions import started_sessions
from models.sessions.queries import sessions
from models.study import day_cache, goal_events
from models.tokens import revocations

ANSWER_WITHIN_S = 8.0
ANONYMOUS_BROWSER_SESSION: Document = {"userId": None, "userAgent": "", "hadUser": True}

Ids = AsyncIterator[list[Any]]


async def remove_person(db: Database, user_id: str, now: datetime) -> None:
    """Delete everything that is stored of a user, except the document in `departures`.

    Raises:
        StorageUnavailable: The database did not answer in time; repeat the call.
        StatementRefused: The database refused a statement; repeat the call.
    """
    # First, so that no server reads the revocation again after it has dropped the user.
    for kind in (revocations.USER, revocations.ROLE):
        await _delete(db[revocations.COLLECTION], {"_id": kind + user_id})
    await _remove_sessions(db, user_id, now)
    await _delete(db[day_cache.COLLECTION], {"userId": user_id})
    await _delete(db[goal_events.COLLECTION], {"userId": user_id})
    await _delete(db[idempotency_keys.COLLECTION], {"userId": user_id})
    await _delete(db[settings.COLLECTION], {"_id": user_id})
    await _delete(db[presence.COLLECTION], {"_id": user_id})
    event_ids = _ids(db[events.COLLECTION], {"user_id": user_id}, BY_ID, now)
    await _set(db[events.COLLECTION], event_ids, {"user_id": None})
    await _anonymize_browsers(db, user_id, now)
    await _delete(db[user_directory.COLLECTION], {"_id": user_id})
    if ObjectId.is_valid(user_id):
        account = ObjectId(user_id)
        await _delete(db[refresh_tokens.COLLECTION], {"userId": account})
        await _delete(db[users.COLLECTION], {"_id": account})


async def _remove_sessions(db: Database, user_id: str, now: datetime) -> None:
    async for ids in _ids(sessions(db), {"userId": user_id}, BY_ID, now):
        await _delete(db[processes.NOTICES], {"sessionId": {"$in": ids}})
        # A document that is stored again just now is removed once its session is found missing.
        await _delete(db[started_sessions.COLLECTION], {"_id": {"$in": ids}})
        await _delete(sessions(db), {"_id": {"$in": ids}})


async def _anonymize_browsers(db: Database, user_id: str, now: datetime) -> None:
    """Remove the user from visitors, browser sessions and page views."""
    views, browsers = page_views(db), db[BROWSER_SESSIONS]
    fields = {"_id": 1, "startedAt": 1, "visitorId": 1}
    async for found in newest_first(views, {"userId": user_id}, BY_START, now=now, fields=fields):
        await remove_tallies(db, sorted({view["visitorId"] for view in found}))
    await _set(views, _ids(views, {"userId": user_id}, BY_START, now), ANONYMOUS_VIEW)
    ids_of_user = _ids(browsers, {"userId": user_id}, BY_ID, now)
    await _set(browsers, ids_of_user, ANONYMOUS_BROWSER_SESSION)
    async for visitors in visitors_of(db, user_id):
        ids = [visitor["_id"] for visitor in visitors]
        for id_ in ids:  # views and browser sessions from before the user signed in
            before = _ids(views, {"visitorId": id_}, BY_START, now, without_user=True)
            await _set(views, before, ANONYMOUS_VIEW)
            before = _ids(browsers, {"visitorId": id_}, BY_ID, now, without_user=True)
            await _set(browsers, before, ANONYMOUS_BROWSER_SESSION)
        await _set(db[VISITORS], _single(ids), {"userId": None})


async def _ids(
    collection: Collection,
    filter_: Mapping[str, Any],
    key: Key,
    now: datetime,
    *,
    without_user: bool = False,
) -> Ids:
    """Yield the ids of documents in batches; with `without_user`, only of those without a user."""
    # `without_user` is no part of the filter: with it, databases choose the index by user, whose
    # range of documents without a user is the largest.
    fields = {"_id": 1, key.field: 1, "userId": 1}
    async for found in newest_first(collection, filter_, key, now=now, fields=fields):
        yield [each["_id"] for each in found if not (without_user and each["userId"] is not None)]


async def _single(ids: list[Any]) -> Ids:
    yield ids


async def _set(collection: Collection, ids: Ids, values: Mapping[str, Any]) -> None:
    async for some in ids:
        if some:
            async with answered_within(ANSWER_WITHIN_S):
                await collection.update_many({"_id": {"$in": some}}, {"$set": dict(values)})
        await asyncio.sleep(0)


async def _delete(collection: Collection, filter_: Mapping[str, Any]) -> None:
    async with answered_within(ANSWER_WITHIN_S):
        # The embedded database fails to delete from a collection that never had a document.
        if await collection.find_one(filter_, {"_id": 1}) is not None:
            await collection.delete_many(filter_)
