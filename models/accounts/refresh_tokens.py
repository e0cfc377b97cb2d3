"""Store logins: collection `logins`, one document each, with a chain of refresh tokens.

Invariants:

- A refresh token is `<login id>.<secret>`; the database holds only hashes of secrets.
- Secrets form a chain: each is derived from the one before and from the login's `salt`. Neither an
  old secret without the database nor the database alone gives the next one.
- A secret stays valid until its successor is first used. Until then each use gives the same
  successor, so a lost answer does no harm, however long the outage.
- The use of a secret whose successor was used proves a copy. It ends the login, access tokens
  included (`models.tokens.revocations`). A secret that is not of the chain changes nothing.
- A refusal that depends on a read is preceded by a write of the majority (`_confirm`), so a primary
  that was deposed and does not know it yet cannot give it.

Each function that may end a login takes `tokens_until`, the expiry of its access tokens.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Annotated, Any

from bson import ObjectId
from pydantic import Field

from models.base.database import Database
from models.base.errors import Unauthorized
from models.base.indexes import IndexSpec
from models.base.schema_types import DocumentId, StoredModel, UtcDatetime
from models.tokens.revocations import revoke_logins

COLLECTION = "logins"
INDEXES: tuple[IndexSpec, ...] = (
    IndexSpec(
        keys=(("expiresAt", 1),),
        query="none of ours: the database removes what has expired",
        expire_after_s=0,
    ),
    IndexSpec(keys=(("userId", 1),), query="one user's logins: export, leaving, end_logins"),
)

MAX_LOGINS = 50
"""Of one user; a further one ends the one that was not used for longest."""
TOGETHER = 250
"""How many are ended by one statement: counting goes on between two."""
LONGEST_CHAIN = 1_000
"""How many secrets back a copy is recognised: 4 ms of work, and 41 days of hourly use."""
ID_BYTES = 16
SECRET_BYTES = 32
_TOKEN = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})", re.ASCII)


class Login(StoredModel):
    """A document of `logins`."""

    id: Annotated[str, Field(alias="_id")]
    user_id: DocumentId
    secret_hash: Annotated[str, Field(repr=False)]
    """Of the newest secret that was given out."""
    previous_hash: Annotated[str | None, Field(repr=False)] = None
    """Read by servers of an older version, which run beside this one during an upgrade."""
    salt: Annotated[str | None, Field(repr=False)] = None
    """None in a login of an older version that was never refreshed."""
    rotations: int = 0
    """How many secrets came before this one."""
    epoch: str = ""
    """The user's (`models.accounts.users`) when the login began."""
    created_at: UtcDatetime
    rotated_at: UtcDatetime
    expires_at: UtcDatetime


class Place(Enum):
    """The position of a secret in the chain of a login."""

    CURRENT = auto()
    """Its successor was not given out yet."""
    PREVIOUS = auto()
    """Its successor was given out, and not used yet."""
    SPENT = auto()
    """Its successor was used."""
    FOREIGN = auto()
    """Not of this login."""


async def start_login(
    db: Database, user_id: ObjectId, now: datetime, refresh_ttl_s: float, *, epoch: str = ""
) -> tuple[Login, str]:
    """Store a new login of a user; return it with its first refresh token."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    login = Login(
        id=secrets.token_urlsafe(ID_BYTES),
        user_id=user_id,
        secret_hash=_hash(secret),
        salt=secrets.token_urlsafe(SECRET_BYTES),
        epoch=epoch,
        created_at=now,
        rotated_at=now,
        expires_at=now + timedelta(seconds=refresh_ttl_s),
    )
    await db[COLLECTION].insert_one(login.to_document())
    return login, f"{login.id}.{secret}"


async def find_login(
    db: Database, refresh_token: str, now: datetime, tokens_until: datetime
) -> Login:
    """Return the login that a refresh token may refresh.

    Raises:
        Unauthorized: `refresh_token_invalid`. A spent token has ended the login by then.
    """
    login_id, secret = _split(refresh_token)
    login = await _read(db, login_id)
    if _place(login, secret) is not Place.CURRENT:
        await _confirm(db, login_id)
        login = await _read(db, login_id)
    if login is None or login.expires_at <= now:
        raise _refused()
    match _place(login, secret):
        case Place.SPENT:
            await end_login(db, login_id, now, tokens_until)
            raise _refused()
        case Place.FOREIGN:
            raise _refused()
    return login


async def rotate_login(
    db: Database,
    login: Login,
    refresh_token: str,
    now: datetime,
    refresh_ttl_s: float,
    *,
    tokens_until: datetime,
) -> str:
    """Use a token on the login that `find_login` returned; return the next token.

    Raises:
        Unauthorized: `refresh_token_invalid`, the login ended in the meantime.
    """
    _, secret = _split(refresh_token)
    if _place(login, secret) is Place.CURRENT:
        salt = login.salt or secrets.token_urlsafe(SECRET_BYTES)
        following = _next_secret(secret, salt)
        values = {
            "secretHash": _hash(following),
            "previousHash": login.secret_hash,
            "salt": salt,
            "rotations": login.rotations + 1,
            "rotatedAt": now,
            "expiresAt": now + timedelta(seconds=refresh_ttl_s),
        }
        if await _replace_secret(db, login, values):
            return f"{login.id}.{following}"
        # Another request did so at the same moment: return the secret that it was given.
        login = await find_login(db, refresh_token, now, tokens_until)
    if login.salt is None:
        raise _refused()
    return f"{login.id}.{_next_secret(secret, login.salt)}"


async def end_login(db: Database, login_id: str, now: datetime, tokens_until: datetime) -> None:
    """Delete a login with its refresh and access tokens; it may be gone already."""
    await revoke_logins(db, [login_id], now, tokens_until)
    await db[COLLECTION].delete_one({"_id": login_id})


async def end_login_of_token(
    db: Database, refresh_token: str, now: datetime, tokens_until: datetime
) -> None:
    """End the login of a refresh token, whichever secret of its chain it carries.

    Other texts change nothing: the id of a login is in its access tokens, so it proves nothing.
    """
    match = _TOKEN.fullmatch(refresh_token)
    if match is None:
        return
    if _place(await _read(db, match[1]), match[2]) is not Place.FOREIGN:
        await end_login(db, match[1], now, tokens_until)


async def end_logins(
    db: Database,
    user_id: ObjectId,
    now: datetime,
    tokens_until: datetime,
    *,
    but: str | None = None,
) -> None:
    """End all present logins of a user but `but`, a few at a time."""
    found = await db[COLLECTION].find({"userId": user_id}, {"_id": 1}).to_list(None)
    await _end_all(db, (each["_id"] for each in found if each["_id"] != but), now, tokens_until)


async def end_oldest_logins(
    db: Database, user_id: ObjectId, now: datetime, tokens_until: datetime, most: int = MAX_LOGINS
) -> None:
    """End all logins of a user but the `most` that were used last."""
    fields = {"_id": 1, "rotatedAt": 1}
    found = await db[COLLECTION].find({"userId": user_id}, fields).to_list(None)
    newest_last = sorted(found, key=lambda each: each["rotatedAt"])
    if len(newest_last) > most:
        await _end_all(db, (each["_id"] for each in newest_last[:-most]), now, tokens_until)


async def end_every_login(db: Database, now: datetime, tokens_until: datetime) -> int:
    """End the logins of all users, a few at a time; return how many there were."""
    ended = 0
    while found := await db[COLLECTION].find({}, {"_id": 1}).limit(TOGETHER).to_list(None):
        await _end_all(db, (each["_id"] for each in found), now, tokens_until)
        ended += len(found)
    return ended


async def _end_all(db: Database, ids: Iterable[str], now: datetime, tokens_until: datetime) -> None:
    every = list(ids)
    for start in range(0, len(every), TOGETHER):
        some = every[start : start + TOGETHER]
        await revoke_logins(db, some, now, tokens_until)
        await db[COLLECTION].delete_many({"_id": {"$in": some}})


async def _read(db: Database, login_id: str) -> Login | None:
    document = await db[COLLECTION].find_one({"_id": login_id})
    return None if document is None else Login.from_document(document)


async def _confirm(db: Database, login_id: str) -> None:
    """Write nothing, acknowledged by the majority, so that the next read was not rolled back."""
    await db[COLLECTION].update_one({"_id": login_id}, [{"$set": {"secretHash": "$secretHash"}}])


async def _replace_secret(db: Database, login: Login, values: dict[str, Any]) -> bool:
    # The comparison is in the update: see `models.base.compare_and_set` for why not in the filter.
    unchanged = {"$eq": ["$secretHash", login.secret_hash]}
    fields = {
        name: {"$cond": [unchanged, {"$literal": value}, f"${name}"]}
        for name, value in values.items()
    }
    result = await db[COLLECTION].update_one({"_id": login.id}, [{"$set": fields}])
    return result.modified_count == 1


def _place(login: Login | None, secret: str) -> Place:
    if login is None:
        return Place.FOREIGN
    if hmac.compare_digest(login.secret_hash, _hash(secret)):
        return Place.CURRENT
    if login.salt is None:
        return Place.FOREIGN
    following = secret
    for steps in range(1, min(max(login.rotations, 1), LONGEST_CHAIN) + 1):
        following = _next_secret(following, login.salt)
        if hmac.compare_digest(login.secret_hash, _hash(following)):
            return Place.PREVIOUS if steps == 1 else Place.SPENT
    return Place.FOREIGN


def _next_secret(secret: str, salt: str) -> str:
    digest = hmac.digest(secret.encode(), salt.encode(), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _hash(secret: str) -> str:
    # A secret of 256 random bits needs no slow hash.
    return hashlib.sha256(secret.encode()).hexdigest()


def _split(refresh_token: str) -> tuple[str, str]:
    match = _TOKEN.fullmatch(refresh_token)
    if match is None:
        raise _refused()
    return match[1], match[2]


def _refused() -> Unauthorized:
    return Unauthorized("refresh_token_invalid", "The refresh token is unknown, used or expired.")
