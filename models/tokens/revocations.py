"""Revoke access tokens: collection `revocations`, shared by all servers.

There is a row for each login that was ended, for each user who signed out everywhere, is locked or
lost a role, and one for all users.

Invariants:

- A row is stored before its login is deleted, and stays for as long as a token that it ends may
  last.
- Whether a token is revoked is answered from memory, so a request costs no look-up. Each process
  reads new rows (`read_new`), a few at a time; rows that were read count, even if the reading
  breaks off.

A token of ours names its login, and ends with it. Tokens of other issuers name none: signing out
everywhere ends the tokens that were issued until then (`iat`, in whole seconds). A token without
`iat`, or with one ahead of our clock, ends if it expires no later than the token that its user
signed out with, because a later token of the same issuer expires later.

A user's row lasts as long as any token may (`MAX_LIFE_S`), since other issuers choose how long
their tokens last. Memory holds `MOST_USERS` rows. Beyond that, the oldest are replaced by one
instant, until which every token counts as revoked; a client with a refresh token then gets a new
one unnoticed.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from models.base.database import Database, Document
from models.base.indexes import IndexSpec
from models.base.paging import Key, newest_first
from models.base.schema_types import milliseconds
from models.base.upserts import insert_new
from models.tokens.access_tokens import EARLY_S, MAX_LIFE_S, Identity

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
EARLY = timedelta(seconds=EARLY_S)
USER_KEPT = timedelta(seconds=MAX_LIFE_S) + EARLY
MOST_USERS = 100_000
"""About 40 MB."""
WHOLE_SECOND = timedelta(seconds=1)
NEVER = datetime(9000, 1, 1, tzinfo=UTC)
LOGIN, USER, ROLE, EVERYBODY = "login:", "user:", "role:", "everybody"


class SignedOut(NamedTuple):
    """A row of a user who signed out everywhere, is locked or lost a role."""

    at: datetime
    tokens_until: datetime
    """When the token expires by which it was done."""
    expires_at: datetime
    kept_login: str | None = None
    """The login that changed the password, and stays."""
    locked: bool = False
    """Whatever is issued later; of a role: it is lost."""

    def ends(self, identity: Identity) -> bool:
        """Return whether the row ends a token."""
        if self.locked:
            return True
        if identity.login_id is not None and identity.login_id == self.kept_login:
            return False
        expires_by_then = identity.expires_at <= self.tokens_until
        if identity.issued_at is None:
            return expires_by_then
        issued_at = milliseconds(identity.issued_at)
        if identity.login_id is not None:
            # Somebody may sign in again within the same second: ours are told apart by login.
            return issued_at <= self.at - WHOLE_SECOND
        return issued_at <= self.at or (issued_at <= self.at + EARLY and expires_by_then)


class Revocations:
    """The revocations that this process knows."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._logins: dict[str, datetime] = {}
        """When each may be forgotten."""
        self._users: dict[str, SignedOut] = {}
        """By the id of the row: of users, and of everybody."""
        self._roles: dict[str, SignedOut] = {}
        self._before: datetime | None = None
        """Until then every token counts as signed out: the rows are too many for memory."""
        self._read_at: datetime | None = None
        self._read_far_at: datetime | None = None
        self._forgot_at: datetime | None = None

    @property
    def were_read(self) -> bool:
        """Whether all revocations before the start of this process are known."""
        return self._read_at is not None

    def is_revoked(self, identity: Identity) -> bool:
        """Return whether a token is revoked."""
        if identity.login_id is not None and LOGIN + identity.login_id in self._logins:
            return True
        if self._before is not None and _issued_by(identity, self._before):
            return True
        rows = (self._users.get(USER + identity.user_id), self._users.get(EVERYBODY))
        return any(row is not None and row.ends(identity) for row in rows)

    def has_lost_role(self, identity: Identity) -> bool:
        """Return whether the role of a token was taken away since."""
        lost = self._roles.get(ROLE + identity.user_id)
        if lost is None or not lost.locked:
            return False
        # Ours name the role of the account, so none of them may; others choose what they name.
        return identity.login_id is not None or _issued_by(identity, lost.at + EARLY)

    async def read_new(self, now: datetime) -> AsyncGenerator[list[str], None]:
        """Read new rows, and yield their ids (`row_ids`).

        Raises:
            StorageUnavailable: The database does not answer.
            StatementRefused: The database refuses the read.
        """
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
        """Drop a deleted user, whom `models.privacy.deletions` refuses."""
        self._users.pop(USER + user_id, None)
        self._roles.pop(ROLE + user_id, None)

    def _note(self, row: Mapping[str, Any]) -> bool:
        """Take a row; return whether it is new."""
        id_: str = row["_id"]
        if id_.startswith(LOGIN):
            is_new = id_ not in self._logins
            self._logins[id_] = row["expiresAt"]
            return is_new
        signed_out = _signed_out(row)
        if self._before is not None and signed_out.at <= self._before and not signed_out.locked:
            return False
        rows = self._roles if id_.startswith(ROLE) else self._users
        is_new = rows.get(id_) != signed_out
        rows[id_] = signed_out
        if len(self._users) > MOST_USERS:
            self._forget_oldest()
        return is_new

    def _forget_oldest(self) -> None:
        """Replace a tenth of the users' rows by an instant; locked users stay."""
        oldest_first = sorted((row.at, id_) for id_, row in self._users.items() if not row.locked)
        oldest = oldest_first[: max(1, MOST_USERS // 10)]
        for at, id_ in oldest:
            del self._users[id_]
            self._before = at

    def _forget_expired(self, now: datetime) -> None:
        self._logins = {id_: until for id_, until in self._logins.items() if until > now}
        self._users = {id_: row for id_, row in self._users.items() if row.expires_at > now}
        self._roles = {id_: row for id_, row in self._roles.items() if row.expires_at > now}


def row_ids(identity: Identity) -> list[str]:
    """Return the ids of the rows that may end a token."""
    rows = [EVERYBODY, USER + identity.user_id]
    return rows if identity.login_id is None else [*rows, LOGIN + identity.login_id]


async def revoke_logins(
    db: Database, login_ids: Iterable[str], now: datetime, tokens_until: datetime
) -> None:
    """Revoke the access tokens of logins, the last of which expires at `tokens_until`.

    Each may be revoked already.
    """
    row = {"at": milliseconds(now), "expiresAt": _rounded_up(tokens_until + LOGIN_KEPT)}
    there = await insert_new(db[COLLECTION], [{"_id": LOGIN + id_, **row} for id_ in login_ids])
    if there:
        await db[COLLECTION].update_many({"_id": {"$in": there}}, {"$max": row})


async def revoke_user(
    db: Database,
    user_id: str,
    now: datetime,
    tokens_until: datetime,
    *,
    kept_login: str | None = None,
) -> None:
    """Revoke all issued tokens of a user but those of `kept_login`.

    Tokens without `iat` are revoked if they expire by `tokens_until`.
    """
    await _sign_out(db, USER + user_id, now, tokens_until, {"keptLogin": kept_login})


async def revoke_role(db: Database, user_id: str, now: datetime) -> None:
    """Take the role from the issued tokens of a user."""
    await _sign_out(db, ROLE + user_id, now, now, {"locked": True})


async def grant_role(db: Database, user_id: str, now: datetime) -> None:
    """Take back `revoke_role`."""
    values = {"locked": False, "at": milliseconds(now)}
    await db[COLLECTION].update_one({"_id": ROLE + user_id}, {"$set": values})


async def revoke_everybody(db: Database, now: datetime, tokens_until: datetime) -> None:
    """Revoke all issued tokens of all users."""
    await _sign_out(db, EVERYBODY, now, tokens_until)


async def lock_user(db: Database, user_id: str, now: datetime, tokens_until: datetime) -> None:
    """Refuse every token of a user, of any issuer, until `unlock_user`."""
    await _sign_out(db, USER + user_id, now, tokens_until, {"locked": True}, until=NEVER)


async def unlock_user(db: Database, user_id: str, now: datetime) -> None:
    """Accept tokens of a user that are issued from now on."""
    at = milliseconds(now)
    values = {"locked": False, "at": at, "expiresAt": at + USER_KEPT}
    await db[COLLECTION].update_one({"_id": USER + user_id}, {"$set": values})


async def _sign_out(
    db: Database,
    id_: str,
    now: datetime,
    tokens_until: datetime,
    values: Document | None = None,
    *,
    until: datetime | None = None,
) -> None:
    at = milliseconds(now)
    row = {
        "at": at,
        "tokensUntil": _rounded_up(tokens_until),
        "expiresAt": until or at + USER_KEPT,
    }
    # What ended once stays so, whatever the clock or the token of the second time.
    changes: dict[str, Any] = {"$max": row}
    if values:
        changes["$set"] = values
    await db[COLLECTION].update_one({"_id": id_}, changes, upsert=True)


def _rounded_up(instant: datetime) -> datetime:
    """Round up to the millisecond, which the database keeps."""
    return milliseconds(instant + timedelta(microseconds=999))


async def find_signed_out(db: Database, user_id: str) -> SignedOut | None:
    """Return when a user last signed out everywhere."""
    row = await db[COLLECTION].find_one({"_id": USER + user_id})
    return None if row is None else _signed_out(row)


def _signed_out(row: Mapping[str, Any]) -> SignedOut:
    return SignedOut(
        row["at"],
        row["tokensUntil"],
        row["expiresAt"],
        row.get("keptLogin"),
        bool(row.get("locked")),
    )


def _issued_by(identity: Identity, instant: datetime) -> bool:
    return identity.issued_at is None or milliseconds(identity.issued_at) <= instant
