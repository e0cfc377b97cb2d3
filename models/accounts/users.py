"""Store accounts: collection `users`.

Invariants:

- An e-mail address is stored in one spelling (composed, lower case) and belongs to one user, by a
  unique index.
- Of a password only the argon2 hash is stored, which never leaves the server.
- A user of another issuer has no document here.
"""

import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from bson import ObjectId
from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field, StringConstraints

from models.accounts.passwords import MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS
from models.base.database import Database, DuplicateKeyError
from models.base.errors import Conflict
from models.base.indexes import IndexSpec
from models.base.schema_types import (
    NOT_BLANK,
    ONE_SPELLING,
    DocumentId,
    StoredModel,
    UtcDatetime,
    WireModel,
    milliseconds,
)
from models.base.time_zones import TimeZone
from models.tokens.access_tokens import Identity

COLLECTION = "users"
INDEXES: tuple[IndexSpec, ...] = (
    IndexSpec(
        keys=(("email", 1),),
        query="find_user_by_email; and it lets insert_user fail when the address is taken",
        unique=True,
    ),
)

Role = Literal["user", "admin"]

MAX_EMAIL_CHARS = 254  # RFC 5321, with its erratum 1690
LOCAL_NAME = re.compile(r"[@.](local|localhost|home\.arpa)\Z", re.IGNORECASE)


def normalised_email(text: str) -> str:
    """Return the one spelling of an address; it need not exist.

    Nothing is mailed, so names of a local network (`me@nas.local`, `admin@localhost`) and of tests
    (`.test`, RFC 2606) are accepted. Raises ValueError, without repeating the text.
    """
    text = text.strip()
    # The library has no way to let in special names but `.test`.
    stand_in = ".test" if LOCAL_NAME.search(text) else ""
    try:
        address = validate_email(
            text + stand_in,
            check_deliverability=False,
            globally_deliverable=False,
            test_environment=True,
        )
    except EmailNotValidError:
        raise ValueError("must be an e-mail address") from None
    return address.normalized.lower().removesuffix(stand_in)


EmailAddress = Annotated[
    str,
    StringConstraints(max_length=MAX_EMAIL_CHARS, strip_whitespace=True),
    AfterValidator(normalised_email),
    Field(json_schema_extra={"format": "email"}),
]


DisplayName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100),
    NOT_BLANK,
    ONE_SPELLING,
]


def _password(min_chars: int) -> Any:
    return Field(
        min_length=min_chars,
        max_length=MAX_PASSWORD_CHARS,
        repr=False,
        json_schema_extra={"format": "password", "writeOnly": True},
    )


class Signup(WireModel):
    """Body of `POST /api/auth/signup`."""

    email: EmailAddress
    password: Annotated[str, _password(MIN_PASSWORD_CHARS)]
    name: DisplayName | None = None
    time_zone: TimeZone = "UTC"


class Credentials(WireModel):
    """Body of `POST /api/auth/login`."""

    email: EmailAddress
    password: Annotated[str, _password(1)]


class PasswordChange(WireModel):
    """Body of `PUT /api/me/password`."""

    current_password: Annotated[str, _password(1)]
    new_password: Annotated[str, _password(MIN_PASSWORD_CHARS)]


class Leave(WireModel):
    """Body of `DELETE /api/me`.

    It holds the password of the account; users of another issuer, who have no account here, leave
    it empty.
    """

    password: Annotated[str | None, _password(1)] = None


class User(StoredModel):
    """A document of `users`."""

    id: Annotated[DocumentId, Field(alias="_id")]
    email: str
    password_hash: Annotated[str, Field(repr=False)]
    name: str | None = None
    time_zone: str = "UTC"
    role: Role = "user"
    epoch: str = ""
    """Another one each time that all logins end. A login of another epoch is not good any more,
    even where its document is still there."""
    kept_login: str | None = None
    """The login by which the password was changed, which stays good."""
    locked_at: UtcDatetime | None = None
    password_expires_at: UtcDatetime | None = None
    """Of a password that the operator has set."""
    created_at: UtcDatetime
    updated_at: UtcDatetime

    def admits(self, login_id: str, epoch: str) -> bool:
        """Return whether a login of this user is still valid."""
        return self.locked_at is None and (epoch == self.epoch or login_id == self.kept_login)


class UserView(WireModel):
    """A user as clients see it; what is unknown of a user of another issuer is null."""

    id: str
    email: str | None
    name: str | None
    time_zone: str
    role: str
    created_at: UtcDatetime | None
    password_expires_at: Annotated[
        UtcDatetime | None,
        Field(description="Until when the operator's password is good; null for one of your own."),
    ]


def view_user(user: User) -> UserView:
    """Return what a client may see of an account."""
    return UserView(
        id=str(user.id),
        email=user.email,
        name=user.name,
        time_zone=user.time_zone,
        role=user.role,
        created_at=user.created_at,
        password_expires_at=user.password_expires_at,
    )


def view_stranger(identity: Identity) -> UserView:
    """Return what a client may see of a user without an account."""
    return UserView(
        id=identity.user_id,
        email=None,
        name=None,
        time_zone="UTC",
        role=identity.role or "user",
        created_at=None,
        password_expires_at=None,
    )


def new_user(signup: Signup, password_hash: str, now: datetime) -> User:
    """Return the document of a user who signs up at `now`."""
    return User(
        id=ObjectId(),
        email=signup.email,
        password_hash=password_hash,
        name=signup.name,
        time_zone=signup.time_zone,
        created_at=now,
        updated_at=now,
    )


async def insert_user(db: Database, user: User) -> None:
    """Store a new user; raise Conflict `email_taken`."""
    try:
        await db[COLLECTION].insert_one(user.to_document())
    except DuplicateKeyError:
        # The error quotes the address, so it is not passed on.
        raise Conflict("email_taken", "There is an account with this e-mail address.") from None


async def find_user(db: Database, user_id: str) -> User | None:
    """Return an account by id; None if there is none, or the id is not one of ours."""
    account = account_id(user_id)
    return None if account is None else _read(await db[COLLECTION].find_one({"_id": account}))


def account_id(user_id: str) -> ObjectId | None:
    """Return an id as that of an account; None if it cannot be one."""
    is_ours = ObjectId.is_valid(user_id) and user_id == user_id.lower()
    return ObjectId(user_id) if is_ours else None


async def find_user_by_email(db: Database, email: str) -> User | None:
    """Return the account of a normalised address."""
    return _read(await db[COLLECTION].find_one({"email": email}))


async def set_time_zone(db: Database, user_id: str, zone: str) -> None:
    """Set the time zone of an account, if there is one."""
    if ObjectId.is_valid(user_id):
        wanted = {"_id": ObjectId(user_id)}
        await db[COLLECTION].update_one(wanted, {"$set": {"timeZone": zone}})


async def set_role(db: Database, user: User, role: Role) -> None:
    """Give an account a role, which its tokens have from the next refresh on."""
    await db[COLLECTION].update_one({"_id": user.id}, {"$set": {"role": role}})


async def end_epoch(db: Database, user_id: ObjectId) -> None:
    """Invalidate all present logins of a user."""
    values = {"epoch": _fresh_epoch(), "keptLogin": None}
    await db[COLLECTION].update_one({"_id": user_id}, {"$set": values})


async def lock(db: Database, user_id: ObjectId, now: datetime) -> None:
    """Refuse sign-ins of a user, and invalidate all logins."""
    values = {"lockedAt": now, "epoch": _fresh_epoch(), "keptLogin": None}
    await db[COLLECTION].update_one({"_id": user_id}, {"$set": values})


async def unlock(db: Database, user_id: ObjectId) -> None:
    """Allow sign-ins of a user again; logins from before stay invalid."""
    await db[COLLECTION].update_one({"_id": user_id}, {"$set": {"lockedAt": None}})


async def replace_password(
    db: Database,
    user: User,
    password_hash: str,
    now: datetime,
    *,
    expires_at: datetime | None = None,
    kept_login: str | None = None,
) -> bool:
    """Store another password and end all logins but `kept_login`, in one write.

    Returns:
        Whether it was stored: not if the password was changed since `user` was read.
    """
    values = {
        "passwordHash": password_hash,
        "passwordExpiresAt": None if expires_at is None else milliseconds(expires_at),
        "epoch": _fresh_epoch(),
        "keptLogin": kept_login,
        "updatedAt": milliseconds(now),
    }
    unchanged = {"$eq": ["$passwordHash", {"$literal": user.password_hash}]}
    fields = {
        name: {"$cond": [unchanged, {"$literal": value}, f"${name}"]}
        for name, value in values.items()
    }
    result = await db[COLLECTION].update_one({"_id": user.id}, [{"$set": fields}])
    return result.modified_count == 1


async def list_admins(db: Database) -> list[User]:
    """Return all admin accounts, by address."""
    found = await db[COLLECTION].find({"role": "admin"}).to_list(None)
    return sorted((User.from_document(document) for document in found), key=lambda u: u.email)


async def replace_password_hash(db: Database, user: User, password_hash: str) -> None:
    """Store a better hash of the same password, unless the hash was changed since."""
    unchanged = {"$eq": ["$passwordHash", {"$literal": user.password_hash}]}
    value = {"$cond": [unchanged, {"$literal": password_hash}, "$passwordHash"]}
    await db[COLLECTION].update_one({"_id": user.id}, [{"$set": {"passwordHash": value}}])


def _fresh_epoch() -> str:
    return secrets.token_hex(8)


def _read(document: Mapping[str, Any] | None) -> User | None:
    return None if document is None else User.from_document(dict(document))
