"""Tokens that were signed out: collection `revocations`, a row for each login that was ended
and for each user who signed out everywhere.

What must always hold: a row is there before its login is gone, and stays for as long as a
token that it ends may last; whether a token is revoked is answered from memory, so a request
costs no look-up. Each process reads what is new (`read_new`), a few rows at a time, and
what it has read counts, even where the reading breaks off.

A token of ours names its login, and ends with that. Tokens of other issuers name none:
signing out everywhere ends those that were issued (`iat`, in whole seconds) until then. One
that does not say when it was issued, or says so by a clock that is ahead of ours, ends if it
expires no later than the one by which its user signed out: what the same issuer issues later
expires later.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from motor.motor_asyncio import AsyncIOMotorDatabase

from models.indexes import IndexSpec
from models.sessions import Document
from models.sightings import insert_new
from models.tokens import LEEWAY_S, MAX_LIFE_S, Identity
from models.windows import Key, newest_first
from models.wire import milliseconds

COLLECTION = "revocations"
INDEXES = (
    IndexSpec(keys=(("at", 1),), query="read_new: what was signed out lately"),
    IndexSpec(
        keys=(("expiresAt", 1),), query="no token that it ends is good any more", expire_after_s=0
    ),
)
BY_AT = Key("at", lambda instant: instant, unique=False)
OVERLAP = timedelta(minutes=5)
"""How far back is read again: a row may be stored late, and the clocks of hosts differ."""
OVERLAP_EVERY = timedelta(seconds=10)
NARROW = timedelta(seconds=15)
"""How far back in between, since each row is read so often: a request takes ten seconds at
most, and clocks that keep time are within five."""
FORGET_EVERY = timedelta(minutes=1)
LOGIN_KEPT = timedelta(minutes=1)
"""Longer than its tokens last: a request under way may issue one more."""
LEEWAY = timedelta(seconds=LEEWAY_S)
USER_KEPT = timedelta(seconds=MAX_LIFE_S) + LEEWAY
WHOLE_SECOND = timedelta(seconds=1)
LOGIN, USER = "login:", "user:"

Database = AsyncIOMotorDatabase[Document]


class SignedOut(NamedTuple):
    """A user who signed out everywhere."""

    at: datetime
    tokens_until: datetime
    """When the token expires by which it was done."""
    expires_at: datetime

    def ends(self, identity: Identity) -> bool:
        expires_by_then = identity.expires_at <= self.tokens_until
        if identity.issued_at is None:
            return expires_by_then
        issued_at = milliseconds(identity.issued_at)
        if identity.login_id is not None:
            # Somebody may sign in again within the same second: ours are told apart by login.
            return issued_at <= self.at - WHOLE_SECOND
        return issued_at <= self.at or (issued_at <= self.at + LEEWAY and expires_by_then)


class Revocations:
    """What was signed out, as far as this process has heard."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._logins: dict[str, datetime] = {}
        """When each may be forgotten."""
        self._users: dict[str, SignedOut] = {}
        self._read_at: datetime | None = None
        self._read_far_at: datetime | None = None
        self._forgot_at: datetime | None = None

    @property
    def were_read(self) -> bool:
        """Whether all that was signed out before this process began is known."""
        return self._read_at is not None

    def is_revoked(self, identity: Identity) -> bool:
        if identity.login_id is not None and LOGIN + identity.login_id in self._logins:
            return True
        signed_out = self._users.get(USER + identity.user_id)
        return signed_out is not None and signed_out.ends(identity)

    async def read_new(self, now: datetime) -> AsyncGenerator[list[str], None]:
        """Hear of what was signed out: the ids of rows that were not known (`row_ids`), which
        count from then on. Raises StorageUnavailable, StatementRefused."""
        far_at = self._read_far_at
        is_far = far_at is None or abs(now - far_at) >= OVERLAP_EVERY
        since = self._read_at and self._read_at - (OVERLAP if is_far else NARROW)
        async for rows in newest_first(self._db[COLLECTION], {}, BY_AT, now=now, since=since):
            news = [row["_id"] for row in rows if row["expiresAt"] > now and self._note(row)]
            if news:
                yield news
        self._read_at = now
        if is_far:
            self._read_far_at = now
        if self._forgot_at is None or abs(now - self._forgot_at) >= FORGET_EVERY:
            self._forgot_at = now
            self._forget_expired(now)

    def forget_user(self, user_id: str) -> None:
        """They have left, which `models.departures` knows."""
        self._users.pop(USER + user_id, None)

    def _note(self, row: Mapping[str, Any]) -> bool:
        """Whether it says something new."""
        id_: str = row["_id"]
        if id_.startswith(LOGIN):
            is_new = id_ not in self._logins
            self._logins[id_] = row["expiresAt"]
            return is_new
        signed_out = _signed_out(row)
        is_new = self._users.get(id_) != signed_out
        self._users[id_] = signed_out
        return is_new

    def _forget_expired(self, now: datetime) -> None:
        self._logins = {id_: until for id_, until in self._logins.items() if until > now}
        self._users = {id_: row for id_, row in self._users.items() if row.expires_at > now}


def row_ids(identity: Identity) -> list[str]:
    """The rows that may end this token."""
    user = USER + identity.user_id
    return [user] if identity.login_id is None else [user, LOGIN + identity.login_id]


async def revoke_logins(
    db: Database, login_ids: Iterable[str], now: datetime, tokens_until: datetime
) -> None:
    """Access tokens of these logins, of which the last expires at `tokens_until`, are good no
    more; each may be revoked already."""
    row = {"at": milliseconds(now), "expiresAt": _rounded_up(tokens_until + LOGIN_KEPT)}
    there = await insert_new(db[COLLECTION], [{"_id": LOGIN + id_, **row} for id_ in login_ids])
    if there:
        await db[COLLECTION].update_many({"_id": {"$in": there}}, {"$max": row})


async def revoke_user(db: Database, identity: Identity, now: datetime) -> None:
    """All tokens of this user that are out are good no more."""
    at = milliseconds(now)
    row = {
        "at": at,
        "tokensUntil": _rounded_up(identity.expires_at),
        "expiresAt": at + USER_KEPT,
    }
    # What ended once stays so, whatever the clock or the token of the second time.
    await db[COLLECTION].update_one({"_id": USER + identity.user_id}, {"$max": row}, upsert=True)


def _rounded_up(instant: datetime) -> datetime:
    """To the millisecond, which is what the database keeps."""
    return milliseconds(instant + timedelta(microseconds=999))


async def find_signed_out(db: Database, user_id: str) -> SignedOut | None:
    """When this user signed out everywhere for the last time."""
    row = await db[COLLECTION].find_one({"_id": USER + user_id})
    return None if row is None else _signed_out(row)


def _signed_out(row: Mapping[str, Any]) -> SignedOut:
    return SignedOut(row["at"], row["tokensUntil"], row["expiresAt"])
