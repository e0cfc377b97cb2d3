"""Store which users deleted their account or data: collection `departures`.

A deletion has two passes: the second one, `SETTLED_AFTER` the first, removes what requests that
were under way have written in between. Its document is kept as long as the user's access tokens
could be valid.

Invariants:

- The document is stored before anything is removed. It names the user until the second pass is
  complete; from then on it holds only a keyed hash, which cannot be reversed without the secret.
- All access tokens of a deleted user are refused until the second pass is complete; those issued
  before the deletion are refused for good. That includes tokens that were only invalid because
  the user had signed out everywhere, since that record is removed with the user.
- A user without an account on this server (of an external issuer) may return with a newer token,
  and is then unrelated to the deleted one.
"""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypedDict, cast

from models.base.database import CollectionOf, Database
from models.base.indexes import IndexSpec
from models.base.schema_types import milliseconds
from models.tokens.access_tokens import EARLY_S, LEEWAY_S, Identity
from models.tokens.revocations import OVERLAP, find_signed_out

COLLECTION = "departures"
INDEXES = (
    IndexSpec(keys=(("leftAt", 1),), query="read_new: the latest deletions"),
    IndexSpec(
        keys=(("expiresAt", 1),),
        query="all access tokens of the user have expired",
        expire_after_s=0,
    ),
)
SETTLED_AFTER = timedelta(seconds=30)
"""By then no request of the user is under way on any server: each server reads of a deletion
within seconds, and a request may take ten."""
EARLY = timedelta(seconds=EARLY_S)
"""How far the clock of an issuer of tokens may be ahead."""
LATEST = datetime(9000, 1, 1, tzinfo=UTC)


class DeletionDocument(TypedDict):
    """A document of `departures`; its id is the keyed hash of the user's id."""

    _id: str
    userId: str | None
    hadAccount: bool
    leftAt: datetime
    tokensUntil: datetime
    """When all access tokens from before the deletion have expired."""
    expiresAt: datetime | None
    """When the database removes the document; None until the second pass is complete."""


def deletion_documents(db: Database) -> CollectionOf[DeletionDocument]:
    """Return the collection."""
    return cast("CollectionOf[DeletionDocument]", db[COLLECTION])


class Deletion(NamedTuple):
    """The deletion of one user."""

    key: str
    """The keyed hash of the user's id."""
    user_id: str | None
    """None once the second pass is complete."""
    had_account: bool
    deleted_at: datetime
    expires_at: datetime
    """When all access tokens from before the deletion have expired."""


class Deletions:
    """The deletions that this process knows, and those that it starts."""

    def __init__(self, db: Database, secret: str, access_ttl_s: float) -> None:
        self._db = db
        self._key = hmac.digest(secret.encode(), b"focusup departure", "sha256")
        self._ttl = timedelta(seconds=access_ttl_s + LEEWAY_S)
        self._known: dict[str, Deletion] = {}
        self._read_at: datetime | None = None

    def is_deleted(self, identity: Identity) -> bool:
        """Return whether an access token is refused because its user was deleted."""
        if not self._known:
            return False
        deletion = self._known.get(self._hash(identity.user_id))
        if deletion is None:
            return False
        return (
            deletion.had_account or deletion.user_id is not None or self._is_old(identity, deletion)
        )

    def _is_old(self, identity: Identity, deletion: Deletion) -> bool:
        """Return whether a token was issued before the deletion, by a clock that may be ahead."""
        if identity.issued_at is None or identity.issued_at <= deletion.deleted_at:
            return True
        expires_by_then = identity.expires_at <= deletion.expires_at - self._ttl
        return identity.issued_at < deletion.deleted_at + EARLY and expires_by_then

    def is_pending(self, identity: Identity) -> bool:
        """Return whether the second pass of this user's deletion is still to be done."""
        deletion = self._known.get(self._hash(identity.user_id))
        return deletion is not None and deletion.user_id is not None

    def due_for_second_pass(self, now: datetime) -> list[Deletion]:
        """Return deletions whose second pass is due."""
        return [
            each
            for each in self._known.values()
            if each.user_id is not None and now - each.deleted_at >= SETTLED_AFTER
        ]

    async def begin(self, identity: Identity, now: datetime, *, had_account: bool) -> None:
        """Store a deletion; from now on this process refuses the user's access tokens."""
        key = self._hash(identity.user_id)
        until = milliseconds(min(max(identity.expires_at, now), LATEST) + self._ttl)
        signed_out = await find_signed_out(self._db, identity.user_id)
        if signed_out is not None:
            until = max(until, signed_out.expires_at)
        if (before := self._known.get(key)) is not None:
            until = max(until, before.expires_at)
        deletion = Deletion(key, identity.user_id, had_account, milliseconds(now), until)
        values = {
            "userId": deletion.user_id,
            "hadAccount": had_account,
            "leftAt": deletion.deleted_at,
            "expiresAt": None,  # the document must outlive the second pass
        }
        changes = {"$set": values, "$max": {"tokensUntil": until}}
        await deletion_documents(self._db).update_one({"_id": key}, changes, upsert=True)
        self._known[key] = deletion

    async def read_new(self, now: datetime) -> list[str]:
        """Read deletions that other processes started or completed.

        Returns:
            The ids of users whose deletion this process did not know.
        """
        since = self._read_at
        filter_ = {} if since is None else {"leftAt": {"$gt": since - OVERLAP}}
        rows = await deletion_documents(self._db).find(filter_).to_list(None)
        known_open = [each.key for each in self._known.values() if each.user_id is not None]
        if known_open:
            rows += (
                await deletion_documents(self._db).find({"_id": {"$in": known_open}}).to_list(None)
            )
        new: dict[str, None] = {}
        for deletion in map(_deletion_in, rows):
            before = self._known.get(deletion.key)
            is_new = before is None or before.deleted_at < deletion.deleted_at
            if is_new and deletion.user_id is not None:
                new[deletion.user_id] = None
            self._known[deletion.key] = deletion
        self._read_at = now
        self._known = {
            key: each
            for key, each in self._known.items()
            if each.user_id is not None or each.expires_at > now
        }
        return list(new)

    async def complete(self, deletion: Deletion) -> None:
        """Remove the id of a user whose second pass is complete."""
        changes = {"userId": None, "expiresAt": deletion.expires_at}
        await deletion_documents(self._db).update_one({"_id": deletion.key}, {"$set": changes})
        self._known[deletion.key] = deletion._replace(user_id=None)

    def _hash(self, user_id: str) -> str:
        return hmac.new(self._key, user_id.encode(), hashlib.sha256).hexdigest()


def _deletion_in(document: DeletionDocument) -> Deletion:
    return Deletion(
        key=document["_id"],
        user_id=document["userId"],
        had_account=document["hadAccount"],
        deleted_at=document["leftAt"],
        expires_at=document["tokensUntil"],
    )
