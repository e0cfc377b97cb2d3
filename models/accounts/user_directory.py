"""List every user who signed up, created a session or sent a heartbeat: collection `known_users`.

Invariants:

- Every user with a session has a row, which is inserted before the session. A user of another
  issuer has no account and only appears here.
- Pages go from the newest to the oldest user, without gaps and repetitions.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from bson import ObjectId
from pydantic import Field, StringConstraints

from models.accounts import users
from models.base.database import Database, Document
from models.base.indexes import IndexSpec
from models.base.schema_types import UtcDatetime, WireModel, milliseconds
from models.base.upserts import (
    insert_new,
)
from models.sessions import queries

COLLECTION = "known_users"
INDEXES = (
    IndexSpec(keys=(("first_seen_at", 1),), query="list_users: those first seen in a window"),
)
EPOCH, MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
OLDEST = datetime(2020, 1, 1, tzinfo=UTC)
"""Before there was this product, so nobody is older."""
FIRST_WINDOW, WIDER = timedelta(minutes=10), 8
REMEMBERED = 100_000


class UserDirectory:
    """The users that this process has stored, so that it need not ask the database again."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._noted: dict[str, None] = {}

    async def note(self, user_id: str, now: datetime) -> None:
        """Store a user who may be new."""
        if user_id in self._noted:
            return
        await note_users(self._db, [user_id], now)
        self._noted[user_id] = None
        if len(self._noted) > REMEMBERED:
            del self._noted[next(iter(self._noted))]

    def forget(self, user_id: str) -> None:
        """Drop a deleted user, who is stored again after a return."""
        self._noted.pop(user_id, None)


async def note_users(db: Database, user_ids: Iterable[str], now: datetime) -> None:
    """Store users, who may be stored already."""
    first_seen_at = milliseconds(now)
    rows = [{"_id": id_, "first_seen_at": first_seen_at} for id_ in user_ids]
    await insert_new(db[COLLECTION], rows)


class UserTotals(WireModel):
    """A user with the totals of all sessions; e-mail and name are null without an account."""

    id: str
    email: str | None
    name: str | None
    role: str | None
    first_seen_at: UtcDatetime
    sessions: int
    completed_sessions: int
    focused_seconds: int
    elapsed_seconds: int
    mean_focus_score: float | None


class UsersQuery(WireModel):
    """`cursor` is the `nextCursor` of the previous page."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[str, StringConstraints(pattern=r"^[0-9]{13} .{1,255}$")] | None = None


async def list_users(
    db: Database, query: UsersQuery, now: datetime
) -> tuple[list[UserTotals], str | None]:
    """Return a page of users, newest first, and the cursor of the next page."""
    rows = await _page(db, query, now)
    page, more = rows[: query.limit], len(rows) > query.limit
    ids = [row["_id"] for row in page]
    accounts = await _accounts(db, ids)
    totals = await _totals(db, ids)
    nobody: Document = {}
    users_ = [
        _user(row, accounts.get(row["_id"], nobody), totals.get(row["_id"], nobody)) for row in page
    ]
    return users_, _cursor(page[-1]) if more else None


async def _page(db: Database, query: UsersQuery, now: datetime) -> list[Document]:
    """Return the rows of a page, and one more if there is one.

    The search widens its window of time step by step, because the embedded database reads
    everything that a filter lets through, whatever the limit.
    """
    after = None if query.cursor is None else _after(query.cursor)
    until = now + timedelta(days=1) if after is None else after[0]
    rows: list[Document] = []
    window = FIRST_WINDOW
    upper = {"$lte": until}
    while len(rows) <= query.limit and until > OLDEST:
        since = max(until - window, OLDEST)
        found = db[COLLECTION].find({"first_seen_at": {"$gte": since, **upper}})
        part = [
            row
            for row in await found.to_list(None)
            if after is None or (row["first_seen_at"], row["_id"]) < after
        ]
        rows += sorted(part, key=lambda row: (row["first_seen_at"], row["_id"]), reverse=True)
        until, upper, window = since, {"$lt": since}, window * WIDER
    return rows[: query.limit + 1]


def _cursor(row: Document) -> str:
    return f"{(row['first_seen_at'] - EPOCH) // MILLISECOND:013} {row['_id']}"


def _after(cursor: str) -> tuple[datetime, str]:
    """Return instant and user of the last row of the previous page."""
    at, _, user_id = cursor.partition(" ")
    return EPOCH + int(at) * MILLISECOND, user_id


async def _accounts(db: Database, ids: list[str]) -> dict[str, Document]:
    ours = [ObjectId(id_) for id_ in ids if ObjectId.is_valid(id_)]
    found = db[users.COLLECTION].find({"_id": {"$in": ours}}, {"email": 1, "name": 1, "role": 1})
    return {str(document["_id"]): document for document in await found.to_list(None)}


async def _totals(db: Database, ids: list[str]) -> dict[str, Document]:
    completed = {"$cond": [{"$eq": ["$status", "completed"]}, 1, 0]}
    sums: dict[str, Any] = {
        "sessions": {"$sum": 1},
        "completed": {"$sum": completed},
        "active": {"$sum": "$activeSeconds"},
        "elapsed": {"$sum": "$elapsedSeconds"},
        "score": {"$avg": "$focusScore"},
    }
    found = queries.sessions(db).aggregate(
        [{"$match": {"userId": {"$in": ids}}}, {"$group": {"_id": "$userId", **sums}}]
    )
    return {row["_id"]: row for row in await found.to_list(None)}


def _user(row: Document, account: Document, totals: Document) -> UserTotals:
    score = totals.get("score")
    return UserTotals(
        id=row["_id"],
        email=account.get("email"),
        name=account.get("name"),
        role=account.get("role"),
        first_seen_at=row["first_seen_at"],
        sessions=totals.get("sessions", 0),
        completed_sessions=totals.get("completed", 0),
        focused_seconds=totals.get("active", 0),
        elapsed_seconds=totals.get("elapsed", 0),
        mean_focus_score=None if score is None else round(score, 1),
    )
