"""Visitors: browsers, each known by an id that we gave it, and their browser sessions.

What must always hold: an id is random, never a fingerprint; it travels with a signature
(its *key*), so that nobody can make one up or take another's; a visitor's views with no
gap over `GAP` belong to one browser session, which has one user at most; a visitor is joined
to a user once a valid token has come along, and stays joined when later calls carry none,
until the token of another user comes.
"""

import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from bson import ObjectId

from models.base.compare_and_set import PerDocument, expression_of
from models.base.database import Database, Document
from models.base.driver_errors import answered_within
from models.base.indexes import IndexSpec
from models.pageviews.page_view import page_views, seen_until

VISITORS = "visitors"
BROWSER_SESSIONS = "browser_sessions"
GAP = timedelta(minutes=30)
MAX_USER_AGENT_CHARS = 512
NOTED_TOGETHER = 50
READ_TOGETHER = 250
LATEST_SESSIONS_READ = 1_000
"""Browser sessions in which a former user of a visitor is looked for."""
ANSWER_WITHIN_S = 8.0
ID_CHARS, SIGNATURE_CHARS = 32, 32
INDEXES = {
    BROWSER_SESSIONS: (
        IndexSpec(
            keys=(("visitorId", 1), ("_id", -1)), query="one visitor's sessions, newest first"
        ),
        IndexSpec(keys=(("userId", 1), ("_id", -1)), query="one user's sessions: export, leaving"),
    ),
    VISITORS: (IndexSpec(keys=(("userId", 1), ("_id", 1)), query="visitors_of: one user's"),),
}


class VisitorKeys:
    """Makes and reads keys, `id.signature`, with a secret of the server."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"focusup visitor", "sha256")

    def new(self) -> str:
        return self.key_of(secrets.token_hex(ID_CHARS // 2))

    def key_of(self, visitor_id: str) -> str:
        signature = hmac.new(self._key, visitor_id.encode(), hashlib.sha256).hexdigest()
        return f"{visitor_id}.{signature[:SIGNATURE_CHARS]}"

    def read(self, key: str | None) -> str | None:
        """The visitor's id; None for no key, and for one that is not ours."""
        if key is None or len(key) != ID_CHARS + 1 + SIGNATURE_CHARS or not key.isascii():
            return None
        visitor_id = key[:ID_CHARS]
        return visitor_id if hmac.compare_digest(key, self.key_of(visitor_id)) else None


class Arrival(NamedTuple):
    """A visitor who begins to view, and what was before."""

    visitor_id: str
    user_id: str | None
    browser_session_id: ObjectId
    last_view_id: ObjectId | None
    """The last view of the same browser session."""


async def find_visitor(db: Database, visitor_id: str) -> Document | None:
    return await db[VISITORS].find_one({"_id": visitor_id})


async def visitors_of(db: Database, user_id: str) -> AsyncIterator[list[Document]]:
    """Those joined to this user, a few at a time, in the order of their ids."""
    after = ""
    while True:
        wanted = {"userId": user_id, "_id": {"$gt": after}}
        async with answered_within(ANSWER_WITHIN_S):
            found = (
                await db[VISITORS].find(wanted).sort("_id", 1).limit(READ_TOGETHER).to_list(None)
            )
        if not found:
            return
        after = found[-1]["_id"]
        yield found


async def arrive(
    db: Database,
    visitor_id: str,
    *,
    user_id: str | None,
    user_agent: str,
    is_open: Callable[[Document], bool],
    now: datetime,
) -> Arrival:
    """Note that the visitor begins to view, in its browser session or in a new one.

    `is_open` tells whether somebody still tracks a view that has no end.
    """
    visitor = await find_visitor(db, visitor_id)
    session_id = last_view_id = None
    if visitor is not None:
        user_id = user_id or visitor["userId"]
        seen_at: datetime = visitor["lastSeenAt"]
        last_view_id = visitor["lastViewId"]
        if last_view_id is not None:
            view = await page_views(db).find_one({"_id": last_view_id})
            if view is not None:
                seen_at = max(seen_at, now if is_open(view) else seen_until(view))
        if now - seen_at <= GAP:
            session_id = await _session_for(db, visitor["browserSessionId"], user_id)
    if session_id is None:
        session_id, last_view_id = ObjectId(), None
        await db[BROWSER_SESSIONS].insert_one(
            {
                "_id": session_id,
                "visitorId": visitor_id,
                "userId": user_id,
                "userAgent": user_agent[:MAX_USER_AGENT_CHARS],
                "startedAt": now,
            }
        )
    values: dict[str, Any] = {"lastSeenAt": now, "browserSessionId": session_id, "userId": user_id}
    fresh = {"firstSeenAt": now, "lastViewId": None}
    await db[VISITORS].update_one(
        {"_id": visitor_id}, {"$set": values, "$setOnInsert": fresh}, upsert=True
    )
    return Arrival(visitor_id, user_id, session_id, last_view_id)


async def _session_for(db: Database, session_id: ObjectId, user_id: str | None) -> ObjectId | None:
    """Return the id of this browser session if this user may continue it, else None.

    A session without a user becomes that of `user_id`.
    """
    session = await db[BROWSER_SESSIONS].find_one({"_id": session_id})
    if session is None or session["userId"] == user_id:
        return None if session is None else session_id
    if session["userId"] is not None or is_nameless(session):
        return None
    await _take_session(db, session_id, user_id)
    return session_id


async def _take_session(db: Database, session_id: ObjectId, user_id: str | None) -> None:
    """Set the user of a browser session that has none. The condition is part of the update."""
    has_none = {"$eq": ["$userId", None]}
    taken = {"userId": {"$cond": [has_none, {"$literal": user_id}, "$userId"]}}
    await db[BROWSER_SESSIONS].update_one({"_id": session_id}, [{"$set": taken}])


def is_nameless(document: Mapping[str, Any]) -> bool:
    """Return whether a view or browser session had a user who has left."""
    return bool(document.get("hadUser"))


class LatestView(NamedTuple):
    view_id: ObjectId
    browser_session_id: ObjectId


async def note_views(db: Database, latest: Mapping[str, LatestView], now: datetime) -> None:
    """Remember the latest view of each of these visitors, by their ids."""
    ids = list(latest)
    for at in range(0, len(ids), NOTED_TOGETHER):
        part = ids[at : at + NOTED_TOGETHER]
        values = {
            "lastViewId": PerDocument((id_, latest[id_].view_id) for id_ in part),
            "browserSessionId": PerDocument((id_, latest[id_].browser_session_id) for id_ in part),
            "lastSeenAt": now,
        }
        pipeline = [{"$set": {name: expression_of(value) for name, value in values.items()}}]
        await db[VISITORS].update_many({"_id": {"$in": part}}, pipeline)


async def join_user(db: Database, visitor_id: str, session_id: ObjectId, user_id: str) -> None:
    """Join the visitor to this user, and its browser session unless that has another user."""
    await db[VISITORS].update_one({"_id": visitor_id}, {"$set": {"userId": user_id}})
    await _take_session(db, session_id, user_id)


async def latest_sessions(db: Database, visitor_id: str) -> list[Document]:
    """Return the newest browser sessions of a visitor, a bounded number of them."""
    found = db[BROWSER_SESSIONS].find({"visitorId": visitor_id}).sort("_id", -1)
    return await found.limit(LATEST_SESSIONS_READ).to_list(None)
