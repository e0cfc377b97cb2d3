"""Who has left: collection `departures`, a row for each, kept as long as tokens may last.

What must always hold: a row is there before anything is removed, and names its user only
until nothing can be on its way any more and all is removed once again; from then on it
holds a keyed hash, which nobody can undo without the secret. A token of somebody who has
left is refused: each one until that moment, and those from before the departure for good,
those too that only signing out everywhere had ended, whose row goes with the user.
Who has no account here may come back with a newer token, and is nobody's past.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from models.base.database import Database
from models.base.indexes import IndexSpec
from models.base.schema_types import milliseconds
from models.tokens.access_tokens import EARLY_S, LEEWAY_S, Identity
from models.tokens.revocations import OVERLAP, find_signed_out

COLLECTION = "departures"
INDEXES = (
    IndexSpec(keys=(("leftAt", 1),), query="read_new: those who have left lately"),
    IndexSpec(
        keys=(("expiresAt", 1),), query="no token of theirs is good any more", expire_after_s=0
    ),
)
SETTLED_AFTER = timedelta(seconds=30)
"""After that no request of theirs is under way on any server: they hear of a departure
within seconds, and a request has ten."""
EARLY = timedelta(seconds=EARLY_S)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)


class Deletion(NamedTuple):
    key: str
    user_id: str | None
    """None once nothing is known of them any more."""
    had_account: bool
    left_at: datetime
    expires_at: datetime


class Deletions:
    """Those who have left, as far as this process has heard."""

    def __init__(self, db: Database, secret: str, access_ttl_s: float) -> None:
        self._db = db
        self._key = hmac.digest(secret.encode(), b"focusup departure", "sha256")
        self._ttl = timedelta(seconds=access_ttl_s + LEEWAY_S)
        self._known: dict[str, Deletion] = {}
        self._read_at: datetime | None = None

    def is_gone(self, identity: Identity) -> bool:
        """Whether this token was given to somebody who has left since."""
        if not self._known:
            return False
        known = self._known.get(self._hash(identity.user_id))
        if known is None:
            return False
        return known.had_account or known.user_id is not None or self._is_old(identity, known)

    def _is_old(self, identity: Identity, known: Deletion) -> bool:
        """Whether this token is from before the departure, by a clock that may be ahead."""
        if identity.issued_at is None or identity.issued_at <= known.left_at:
            return True
        expires_by_then = identity.expires_at <= known.expires_at - self._ttl
        return identity.issued_at < known.left_at + EARLY and expires_by_then

    def is_under_way(self, identity: Identity) -> bool:
        """Whether something of this user may still be there."""
        known = self._known.get(self._hash(identity.user_id))
        return known is not None and known.user_id is not None

    def unsettled(self, now: datetime) -> list[Deletion]:
        """Those that are to be removed once again by now."""
        return [
            each
            for each in self._known.values()
            if each.user_id is not None and now - each.left_at >= SETTLED_AFTER
        ]

    async def begin(self, identity: Identity, now: datetime, *, had_account: bool) -> None:
        """Somebody leaves: from now on their tokens are refused here."""
        key = self._hash(identity.user_id)
        until = milliseconds(min(max(identity.expires_at, now), LATEST) + self._ttl)
        signed_out = await find_signed_out(self._db, identity.user_id)
        if signed_out is not None:
            until = max(until, signed_out.expires_at)
        if (before := self._known.get(key)) is not None:
            until = max(until, before.expires_at)
        row = {
            "userId": identity.user_id,
            "hadAccount": had_account,
            "leftAt": milliseconds(now),
            # The database removes the row when it has one, which is not before the end.
            "expiresAt": None,
        }
        changes = {"$set": row, "$max": {"tokensUntil": until}}
        await self._db[COLLECTION].update_one({"_id": key}, changes, upsert=True)
        self._known[key] = _departure({"_id": key, **row, "tokensUntil": until})

    async def read_new(self, now: datetime) -> list[str]:
        """Hear of those whom others let go; gives the ids of those not heard of before."""
        since = self._read_at
        wanted = {} if since is None else {"leftAt": {"$gt": since - OVERLAP}}
        rows = await self._db[COLLECTION].find(wanted).to_list(None)
        known_open = [each.key for each in self._known.values() if each.user_id is not None]
        if known_open:
            rows += await self._db[COLLECTION].find({"_id": {"$in": known_open}}).to_list(None)
        heard: dict[str, None] = {}
        for departure in map(_departure, rows):
            before = self._known.get(departure.key)
            is_new = before is None or before.left_at < departure.left_at
            if is_new and departure.user_id is not None:
                heard[departure.user_id] = None
            self._known[departure.key] = departure
        self._read_at = now
        self._known = {
            key: each
            for key, each in self._known.items()
            if each.user_id is not None or each.expires_at > now
        }
        return list(heard)

    async def settle(self, departure: Deletion) -> None:
        """All is removed: forget the user too."""
        changes = {"userId": None, "expiresAt": departure.expires_at}
        await self._db[COLLECTION].update_one({"_id": departure.key}, {"$set": changes})
        self._known[departure.key] = departure._replace(user_id=None)

    def _hash(self, user_id: str) -> str:
        return hmac.new(self._key, user_id.encode(), hashlib.sha256).hexdigest()


def _departure(row: Mapping[str, Any]) -> Deletion:
    return Deletion(
        key=row["_id"],
        user_id=row["userId"],
        had_account=row["hadAccount"],
        left_at=row["leftAt"],
        expires_at=row["tokensUntil"],
    )
