"""Tokens that were signed out: collection `revocations`, a row for each login that was ended
and for each user who signed out everywhere.

What must always hold: a row is there before its login is gone, and stays for as long as a
token that it ends may last; whether a token is revoked is answered from memory, so a request
costs no look-up. Each process reads what is new (`read_new`).

A token of ours names its login, and ends with that. Tokens of other issuers name none:
signing out everywhere ends those that were issued (`iat`, in whole seconds) until then. One
that does not say when it was issued ends if it expires no later than the one by which its
user signed out: what the same issuer issues later expires later.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from motor.motor_asyncio import AsyncIOMotorDatabase

from models.indexes import IndexSpec
from models.sessions import Document
from models.sightings import insert_new
from models.tokens import LEEWAY_S, MAX_LIFE_S, Identity
from models.wire import milliseconds

COLLECTION = "revocations"
INDEXES = (
    IndexSpec(keys=(("at", 1),), query="read_new: what was signed out lately"),
    IndexSpec(
        keys=(("expiresAt", 1),), query="no token that it ends is good any more", expire_after_s=0
    ),
)
OVERLAP = timedelta(minutes=1)
"""How far back is read again: a row may be stored late, and the clocks of hosts differ."""
LOGIN_KEPT = timedelta(days=1, seconds=LEEWAY_S)
"""Access tokens of ours last a day at most (`ACCESS_TOKEN_MINUTES`)."""
USER_KEPT = timedelta(seconds=MAX_LIFE_S + LEEWAY_S)
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
        issued_at = identity.issued_at
        if issued_at is None:
            return identity.expires_at <= self.tokens_until
        # Somebody may sign in again within the same second: ours are told apart by login.
        return issued_at <= (self.at if identity.login_id is None else self.at - WHOLE_SECOND)


class Revocations:
    """What was signed out, as far as this process has heard."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._logins: dict[str, datetime] = {}
        """When each may be forgotten."""
        self._users: dict[str, SignedOut] = {}
        self._read_at: datetime | None = None

    def is_revoked(self, identity: Identity) -> bool:
        if identity.login_id is not None and identity.login_id in self._logins:
            return True
        signed_out = self._users.get(identity.user_id)
        return signed_out is not None and signed_out.ends(identity)

    async def read_new(self, now: datetime) -> bool:
        """Hear of what was signed out; whether there was anything new."""
        since = self._read_at
        wanted = {} if since is None else {"at": {"$gt": since - OVERLAP}}
        rows = await self._db[COLLECTION].find(wanted).to_list(None)
        news = [self._note(row) for row in rows]
        self._read_at = now
        if self._logins or self._users:
            self._forget_expired(now)
        return any(news)

    def _note(self, row: Mapping[str, Any]) -> bool:
        id_: str = row["_id"]
        if id_.startswith(LOGIN):
            name = id_.removeprefix(LOGIN)
            is_new = name not in self._logins
            self._logins[name] = row["expiresAt"]
            return is_new
        name = id_.removeprefix(USER)
        signed_out = SignedOut(row["at"], row["tokensUntil"], row["expiresAt"])
        is_new = self._users.get(name) != signed_out
        self._users[name] = signed_out
        return is_new

    def _forget_expired(self, now: datetime) -> None:
        self._logins = {name: until for name, until in self._logins.items() if until > now}
        self._users = {name: row for name, row in self._users.items() if row.expires_at > now}


async def revoke_logins(db: Database, login_ids: Iterable[str], now: datetime) -> None:
    """Access tokens of these logins are good no more; each may be revoked already."""
    at = milliseconds(now)
    rows = [{"_id": LOGIN + id_, "at": at, "expiresAt": at + LOGIN_KEPT} for id_ in login_ids]
    await insert_new(db[COLLECTION], rows)


async def revoke_user(db: Database, identity: Identity, now: datetime) -> None:
    """All tokens of this user that are out are good no more."""
    at = milliseconds(now)
    row = {
        "at": at,
        "tokensUntil": milliseconds(identity.expires_at),
        "expiresAt": at + USER_KEPT,
    }
    await db[COLLECTION].update_one({"_id": USER + identity.user_id}, {"$set": row}, upsert=True)


async def find_signed_out(db: Database, user_id: str) -> datetime | None:
    """When this user signed out everywhere for the last time."""
    row = await db[COLLECTION].find_one({"_id": USER + user_id})
    return None if row is None else row["at"]
