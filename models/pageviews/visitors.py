"""Store visitors and their browser sessions: collections `visitors` and `browser_sessions`.

A visitor is a browser, identified by an id that the server has issued.

Invariants:

- An id is random, not a fingerprint. Clients send it with a signature (together: the *key*), so
  that it can neither be invented nor guessed.
- Views of a visitor without a gap of more than `GAP` belong to one browser session, which has at
  most one user.
- A visitor is joined to the user of the last valid access token that was sent with a view;
  requests without a token do not change that.
"""

import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, NotRequired, TypedDict, cast

from bson import ObjectId

from models.base.compare_and_set import PerDocument, expression_of
from models.base.database import CollectionOf, Database, Document
from models.base.driver_errors import answered_within
from models.base.indexes import IndexSpec
from models.pageviews.page_view import page_views, untracked_end

VISITORS = "visitors"
BROWSER_SESSIONS = "browser_sessions"
GAP = timedelta(minutes=30)
"""The longest time between two views of a browser session."""
MAX_USER_AGENT_CHARS = 512
UPDATED_TOGETHER = 50
READ_TOGETHER = 250
LATEST_SESSIONS_READ = 1_000
"""Browser sessions of a visitor that are searched for a former user."""
ANSWER_WITHIN_S = 8.0
ID_CHARS, SIGNATURE_CHARS = 32, 32
INDEXES = {
    BROWSER_SESSIONS: (
        IndexSpec(
            keys=(("visitorId", 1), ("_id", -1)), query="one visitor's sessions, newest first"
        ),
        IndexSpec(keys=(("userId", 1), ("_id", -1)), query="one user's sessions: export, deletion"),
    ),
    VISITORS: (IndexSpec(keys=(("userId", 1), ("_id", 1)), query="visitors_of: one user's"),),
}


class VisitorDocument(TypedDict):
    """A document of `visitors`."""

    _id: str
    userId: str | None
    firstSeenAt: datetime
    lastSeenAt: datetime
    browserSessionId: ObjectId
    lastViewId: ObjectId | None


class BrowserSessionDocument(TypedDict):
    """A document of `browser_sessions`."""

    _id: ObjectId
    visitorId: str
    userId: str | None
    userAgent: str
    startedAt: datetime
    hadUser: NotRequired[bool]
    """True if the user has deleted their account."""


def visitors(db: Database) -> CollectionOf[VisitorDocument]:
    """Return the collection of visitors."""
    return cast("CollectionOf[VisitorDocument]", db[VISITORS])


def browser_sessions(db: Database) -> CollectionOf[BrowserSessionDocument]:
    """Return the collection of browser sessions."""
    return cast("CollectionOf[BrowserSessionDocument]", db[BROWSER_SESSIONS])


class VisitorKeys:
    """Issues and checks keys, `id.signature` (HMAC-SHA-256), with a secret of the server."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"focusup visitor", "sha256")

    def new(self) -> str:
        """Return the key of a new visitor."""
        return self.key_of(secrets.token_hex(ID_CHARS // 2))

    def key_of(self, visitor_id: str) -> str:
        """Return the key of a visitor."""
        signature = hmac.new(self._key, visitor_id.encode(), hashlib.sha256).hexdigest()
        return f"{visitor_id}.{signature[:SIGNATURE_CHARS]}"

    def read(self, key: str | None) -> str | None:
        """Return the visitor's id; None for no key, or one that this server has not issued."""
        if key is None or len(key) != ID_CHARS + 1 + SIGNATURE_CHARS or not key.isascii():
            return None
        visitor_id = key[:ID_CHARS]
        return visitor_id if hmac.compare_digest(key, self.key_of(visitor_id)) else None


class Arrival(NamedTuple):
    """A visitor that starts a view, with the browser session that the view belongs to."""

    visitor_id: str
    user_id: str | None
    browser_session_id: ObjectId
    last_view_id: ObjectId | None
    """The last view of the same browser session."""


async def find_visitor(db: Database, visitor_id: str) -> VisitorDocument | None:
    """Return the document of a visitor."""
    return await visitors(db).find_one({"_id": visitor_id})


async def visitors_of(db: Database, user_id: str) -> AsyncIterator[list[VisitorDocument]]:
    """Yield the visitors that are joined to a user in batches, in order of their ids."""
    after = ""
    while True:
        filter_ = {"userId": user_id, "_id": {"$gt": after}}
        async with answered_within(ANSWER_WITHIN_S):
            found = (
                await visitors(db).find(filter_).sort("_id", 1).limit(READ_TOGETHER).to_list(None)
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
    """Record that a visitor starts a view, in its last browser session or in a new one.

    Args:
        db: The database.
        visitor_id: The visitor, new or not.
        user_id: The user of the request, if it carried an access token.
        user_agent: That of the request.
        is_open: Returns whether a process tracks a view.
        now: The present.
    """
    visitor = await find_visitor(db, visitor_id)
    session_id = last_view_id = None
    if visitor is not None:
        user_id = user_id or visitor["userId"]
        last_view_id = visitor["lastViewId"]
        if now - await _last_seen_at(db, visitor, is_open, now) <= GAP:
            session_id = await _session_for(db, visitor["browserSessionId"], user_id)
    if session_id is None:
        session_id, last_view_id = ObjectId(), None
        await browser_sessions(db).insert_one(
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
    await visitors(db).update_one(
        {"_id": visitor_id}, {"$set": values, "$setOnInsert": fresh}, upsert=True
    )
    return Arrival(visitor_id, user_id, session_id, last_view_id)


async def _last_seen_at(
    db: Database, visitor: VisitorDocument, is_open: Callable[[Document], bool], now: datetime
) -> datetime:
    """Return when a visitor was last seen, also by its last view."""
    seen_at = visitor["lastSeenAt"]
    if visitor["lastViewId"] is None:
        return seen_at
    view = await page_views(db).find_one({"_id": visitor["lastViewId"]})
    if view is None:
        return seen_at
    return max(seen_at, now if is_open(view) else untracked_end(view))


async def _session_for(db: Database, session_id: ObjectId, user_id: str | None) -> ObjectId | None:
    """Return the id of a browser session if a user may continue it, else None.

    A browser session without a user is joined to `user_id`.
    """
    session = await browser_sessions(db).find_one({"_id": session_id})
    if session is None or session["userId"] == user_id:
        return None if session is None else session_id
    if session["userId"] is not None or had_deleted_user(session):
        return None
    await _join_session(db, session_id, user_id)
    return session_id


async def _join_session(db: Database, session_id: ObjectId, user_id: str | None) -> None:
    """Join a browser session to a user, unless it has one."""
    # The condition is part of the update, since the embedded database scans for a filter that
    # names more than `_id`.
    has_none = {"$eq": ["$userId", None]}
    values = {"userId": {"$cond": [has_none, {"$literal": user_id}, "$userId"]}}
    await browser_sessions(db).update_one({"_id": session_id}, [{"$set": values}])


def had_deleted_user(document: Mapping[str, Any]) -> bool:
    """Return whether the user of a view or browser session has deleted their account."""
    return bool(document.get("hadUser"))


class LatestView(NamedTuple):
    """The latest view of a visitor, and its browser session."""

    view_id: ObjectId
    browser_session_id: ObjectId


async def record_latest_views(
    db: Database, latest: Mapping[str, LatestView], now: datetime
) -> None:
    """Record the latest views of visitors, by the visitors' ids."""
    ids = list(latest)
    for at in range(0, len(ids), UPDATED_TOGETHER):
        part = ids[at : at + UPDATED_TOGETHER]
        values = {
            "lastViewId": PerDocument((id_, latest[id_].view_id) for id_ in part),
            "browserSessionId": PerDocument((id_, latest[id_].browser_session_id) for id_ in part),
            "lastSeenAt": now,
        }
        pipeline = [{"$set": {name: expression_of(value) for name, value in values.items()}}]
        await visitors(db).update_many({"_id": {"$in": part}}, pipeline)


async def join_user(db: Database, visitor_id: str, session_id: ObjectId, user_id: str) -> None:
    """Join a visitor to a user, and its browser session unless that has a user."""
    await visitors(db).update_one({"_id": visitor_id}, {"$set": {"userId": user_id}})
    await _join_session(db, session_id, user_id)


async def latest_sessions(db: Database, visitor_id: str) -> list[BrowserSessionDocument]:
    """Return the newest browser sessions of a visitor, at most `LATEST_SESSIONS_READ`."""
    found = browser_sessions(db).find({"visitorId": visitor_id}).sort("_id", -1)
    return await found.limit(LATEST_SESSIONS_READ).to_list(None)
