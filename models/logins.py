"""Logins: collection `logins`, one document for each, a family of refresh tokens.

What must always hold: a refresh token reads `<login id>.<secret>`, and the database knows
only the hash of its secret; each use replaces the secret by compare-and-set, so of two
uses at once one rotates; a secret that was replaced is proof that somebody has a copy,
and ends the login for both, access tokens included (`models.revocations`).
Whoever may end one says until when its access tokens last (`tokens_until`).

Two honest uses of one secret do happen: two tabs at once, or a reply that got lost. So
for `REUSE_GRACE_S` the secret before the current one still works, and gives the *same*
new secret, which is derived from the old one and from a `salt` stored at the rotation.
Whoever has only the old secret, or only the database, cannot derive it.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from typing import Annotated, Any

from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase
from pydantic import Field

from models.errors import Unauthorized
from models.indexes import IndexSpec
from models.revocations import revoke_logins
from models.wire import DocumentId, StoredModel, UtcDatetime

Database = AsyncIOMotorDatabase[dict[str, Any]]

COLLECTION = "logins"
INDEXES: tuple[IndexSpec, ...] = (
    IndexSpec(
        keys=(("expiresAt", 1),),
        query="none of ours: the database removes what has expired",
        expire_after_s=0,
    ),
    IndexSpec(keys=(("userId", 1),), query="one user's logins: export, leaving, end_all_logins"),
)

REUSE_GRACE_S = 10.0  # longer than a client waits before it asks again, too short for a thief
ID_BYTES = 16
SECRET_BYTES = 32
_TOKEN = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})", re.ASCII)


class Login(StoredModel):
    """A document of `logins`."""

    id: Annotated[str, Field(alias="_id")]
    user_id: DocumentId
    secret_hash: Annotated[str, Field(repr=False)]
    previous_hash: Annotated[str | None, Field(repr=False)] = None
    salt: Annotated[str | None, Field(repr=False)] = None
    created_at: UtcDatetime
    rotated_at: UtcDatetime
    expires_at: UtcDatetime


async def start_login(
    db: Database, user_id: ObjectId, now: datetime, refresh_ttl_s: float
) -> tuple[Login, str]:
    """Store a new login of `user_id`; gives it with its first refresh token."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    login = Login(
        id=secrets.token_urlsafe(ID_BYTES),
        user_id=user_id,
        secret_hash=_hash(secret),
        created_at=now,
        rotated_at=now,
        expires_at=now + timedelta(seconds=refresh_ttl_s),
    )
    await db[COLLECTION].insert_one(login.to_document())
    return login, f"{login.id}.{secret}"


async def find_login(
    db: Database, refresh_token: str, now: datetime, tokens_until: datetime
) -> Login:
    """The login that the token may refresh now.

    Raises Unauthorized `refresh_token_invalid` for anything else, and ends the login
    first when the token is one of its older ones.
    """
    login_id, secret = _split(refresh_token)
    document = await db[COLLECTION].find_one({"_id": login_id})
    if document is None:
        raise _refused()
    login = Login.from_document(document)
    if login.expires_at <= now:
        raise _refused()
    if not _is_current(login, secret) and not _is_in_grace(login, secret, now):
        await end_login(db, login_id, now, tokens_until)
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
    """Replace the secret of a login just found with this token; gives the next token.

    Raises Unauthorized `refresh_token_invalid` when the login ended meanwhile.
    """
    _, secret = _split(refresh_token)
    if _is_current(login, secret):
        salt = secrets.token_urlsafe(SECRET_BYTES)
        following = _next_secret(secret, salt)
        values = {
            "secretHash": _hash(following),
            "previousHash": login.secret_hash,
            "salt": salt,
            "rotatedAt": now,
            "expiresAt": now + timedelta(seconds=refresh_ttl_s),
        }
        if await _replace_secret(db, login, values):
            return f"{login.id}.{following}"
        # Somebody else did at the same moment: give the secret that they were given.
        login = await find_login(db, refresh_token, now, tokens_until)
    if login.salt is None:
        raise _refused()
    return f"{login.id}.{_next_secret(secret, login.salt)}"


async def end_login(db: Database, login_id: str, now: datetime, tokens_until: datetime) -> None:
    """Delete a login, so that neither its refresh token nor its access tokens are good any
    more; whether it is there or not."""
    await revoke_logins(db, [login_id], now, tokens_until)
    await db[COLLECTION].delete_one({"_id": login_id})


async def end_login_of_token(
    db: Database, refresh_token: str, now: datetime, tokens_until: datetime
) -> None:
    """End the login of a refresh token, whichever of its secrets it carries: only who holds
    its tokens knows the id. Unknown ones change nothing, and leave nothing behind."""
    match = _TOKEN.fullmatch(refresh_token)
    if match and await db[COLLECTION].find_one({"_id": match[1]}, {"_id": 1}) is not None:
        await end_login(db, match[1], now, tokens_until)


async def end_all_logins(
    db: Database, user_id: ObjectId, now: datetime, tokens_until: datetime
) -> None:
    """End every login that this user has now."""
    found = await db[COLLECTION].find({"userId": user_id}, {"_id": 1}).to_list(None)
    ids = [document["_id"] for document in found]
    await revoke_logins(db, ids, now, tokens_until)
    if ids:
        await db[COLLECTION].delete_many({"_id": {"$in": ids}})


async def _replace_secret(db: Database, login: Login, values: dict[str, Any]) -> bool:
    # The comparison is in the update: see `models.fence` for why not in the filter.
    unchanged = {"$eq": ["$secretHash", login.secret_hash]}
    fields = {
        name: {"$cond": [unchanged, {"$literal": value}, f"${name}"]}
        for name, value in values.items()
    }
    result = await db[COLLECTION].update_one({"_id": login.id}, [{"$set": fields}])
    return result.modified_count == 1


def _next_secret(secret: str, salt: str) -> str:
    digest = hmac.digest(secret.encode(), salt.encode(), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _is_current(login: Login, secret: str) -> bool:
    return hmac.compare_digest(login.secret_hash, _hash(secret))


def _is_in_grace(login: Login, secret: str, now: datetime) -> bool:
    if login.previous_hash is None or now - login.rotated_at > timedelta(seconds=REUSE_GRACE_S):
        return False
    return hmac.compare_digest(login.previous_hash, _hash(secret))


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
