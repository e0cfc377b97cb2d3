"""People with an account of our own: collection `users`.

What must always hold: an e-mail address is stored in one spelling (composed, lower case)
and belongs to one user, by a unique index and not by looking first; a password is stored
only as its argon2 hash, which never leaves this house. A user of another issuer has no
document here, and needs none.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from bson import ObjectId
from email_validator import EmailNotValidError, validate_email
from motor.motor_asyncio import AsyncIOMotorDatabase
from pydantic import AfterValidator, Field, StringConstraints
from pymongo.errors import DuplicateKeyError

from models.errors import Conflict
from models.indexes import IndexSpec
from models.passwords import MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS
from models.time_zones import TimeZone
from models.tokens import Identity
from models.wire import NOT_BLANK, ONE_SPELLING, DocumentId, StoredModel, UtcDatetime, WireModel

Database = AsyncIOMotorDatabase[dict[str, Any]]

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


def normalised_email(text: str) -> str:
    """The one spelling of an address; no look-up, so it need not exist.

    Raises ValueError when it is none, without repeating it.
    """
    try:
        # Nothing is sent there: names ending in .test (RFC 2606) are for smoke tests.
        address = validate_email(text, check_deliverability=False, test_environment=True)
        return address.normalized.lower()
    except EmailNotValidError:
        raise ValueError("must be an e-mail address") from None


EmailAddress = Annotated[
    str,
    StringConstraints(max_length=MAX_EMAIL_CHARS),
    AfterValidator(normalised_email),
    Field(json_schema_extra={"format": "email"}),
]


DisplayName = Annotated[
    str, StringConstraints(min_length=1, max_length=100), NOT_BLANK, ONE_SPELLING
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


class Leave(WireModel):
    """Body of `DELETE /api/me`: who has an account here names its password. It may be left
    out by others, whose token says all there is to know of them here."""

    password: Annotated[str | None, _password(1)] = None


class User(StoredModel):
    """A document of `users`."""

    id: Annotated[DocumentId, Field(alias="_id")]
    email: str
    password_hash: Annotated[str, Field(repr=False)]
    name: str | None = None
    time_zone: str = "UTC"
    role: Role = "user"
    created_at: UtcDatetime
    updated_at: UtcDatetime


class UserView(WireModel):
    """A user as the wire shows one; what we cannot know of another issuer's is null."""

    id: str
    email: str | None
    name: str | None
    time_zone: str
    role: str
    created_at: UtcDatetime | None


def view_user(user: User) -> UserView:
    """What a client may see of an account."""
    return UserView(
        id=str(user.id),
        email=user.email,
        name=user.name,
        time_zone=user.time_zone,
        role=user.role,
        created_at=user.created_at,
    )


def view_stranger(identity: Identity) -> UserView:
    """What a client may see of a user who has no account here."""
    return UserView(
        id=identity.user_id,
        email=None,
        name=None,
        time_zone="UTC",
        role=identity.role or "user",
        created_at=None,
    )


def new_user(signup: Signup, password_hash: str, now: datetime) -> User:
    """The document of somebody who signs up at `now`."""
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
    """Store a new user; raises Conflict `email_taken`."""
    try:
        await db[COLLECTION].insert_one(user.to_document())
    except DuplicateKeyError:
        # The error quotes the address, so it is not passed on.
        raise Conflict("email_taken", "There is an account with this e-mail address.") from None


async def find_user(db: Database, user_id: str) -> User | None:
    """The account with this id; None when there is none, or the id is not one of ours."""
    if not ObjectId.is_valid(user_id) or user_id != user_id.lower():
        return None
    return _read(await db[COLLECTION].find_one({"_id": ObjectId(user_id)}))


async def find_user_by_email(db: Database, email: str) -> User | None:
    """The account with this address, which must be in its one spelling."""
    return _read(await db[COLLECTION].find_one({"email": email}))


async def set_time_zone(db: Database, user_id: str, zone: str) -> None:
    """Of an account here; of nobody otherwise."""
    if ObjectId.is_valid(user_id):
        wanted = {"_id": ObjectId(user_id)}
        await db[COLLECTION].update_one(wanted, {"$set": {"timeZone": zone}})


async def set_role(db: Database, email: str, role: Role) -> bool:
    """Give the account with this address (in its one spelling) a role, which its tokens
    carry from the next sign-in or refresh on; False when there is none."""
    user = await find_user_by_email(db, email)
    if user is None:
        return False
    await db[COLLECTION].update_one({"_id": user.id}, {"$set": {"role": role}})
    return True


async def list_admins(db: Database) -> list[User]:
    """Every account that is an admin's, by address."""
    found = await db[COLLECTION].find({"role": "admin"}).to_list(None)
    return sorted((User.from_document(document) for document in found), key=lambda u: u.email)


async def replace_password_hash(db: Database, user: User, password_hash: str) -> None:
    """Store a better hash of the same password, unless the stored one changed meanwhile."""
    unchanged = {"$eq": ["$passwordHash", {"$literal": user.password_hash}]}
    value = {"$cond": [unchanged, {"$literal": password_hash}, "$passwordHash"]}
    await db[COLLECTION].update_one({"_id": user.id}, [{"$set": {"passwordHash": value}}])


def _read(document: Mapping[str, Any] | None) -> User | None:
    return None if document is None else User.from_document(dict(document))
