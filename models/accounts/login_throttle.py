"""Limit guesses at passwords and sign-ups: collection `attempts`, shared by all servers.

There is a row for each address, and one for each account at an address.

Invariants:

- An attempt is stored, by one atomic write, before a password is compared. So attempts at once pass
  no more often than attempts one by one, and without the write nothing is compared.
- The result does not depend on whether an account exists.
- A refused attempt changes nothing. So a user is refused for `LONGEST_S` at most at a time, also
  when clocks jump, and never because of another address.
- Rows are named by keyed hashes: neither address nor account can be read from them.

Instants are whole milliseconds, because the embedded database cannot add to dates.
"""

import hashlib
import hmac
import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from models.base.database import Database, Document, DuplicateKeyError
from models.base.driver_errors import StatementRefused, StorageUnavailable, translated
from models.base.errors import TooMany
from models.base.indexes import IndexSpec

COLLECTION = "attempts"
INDEXES = (
    IndexSpec(
        keys=(("expiresAt", 1),),
        query="none of ours: the database removes what counts no more",
        expire_after_s=0,
    ),
)
PERIOD_S = 600
"""An address gets back all of its attempts within this time."""
FREE = 5
"""Guesses at one account from one address before there is a wait."""
LOGINS = 60
"""Attempts at one account from one address within `PERIOD_S`, right ones too: each costs a hash,
for which others wait."""
WAITS_S = (5, 10, 20, 40, 80, 160, 320, 640)
EVERY_MS = PERIOD_S * 1000 // LOGINS
LONGEST_S = 900
FORGOTTEN_AFTER_S = 86_400


class Guess(NamedTuple):
    """A stored attempt: the rows that it counts in."""

    account_key: str
    address_key: str
    at: datetime


class LoginThrottle:
    """The attempts of all addresses; each has `per_address` in `PERIOD_S`."""

    def __init__(
        self, db: Database, secret: str, *, per_address: int, enabled: bool = True
    ) -> None:
        self._rows = db[COLLECTION]
        self._key = hmac.digest(secret.encode(), b"focusup attempt", "sha256")
        self._burst = per_address
        self._every_ms = max(1, PERIOD_S * 1000 // per_address)
        self._enabled = enabled

    async def sign_up(self, network: str, now: datetime) -> None:
        """Count a sign-up of an address; raise TooMany."""
        if self._enabled:
            await self._pass_address(self._hash("signup", network), _ms(now))

    async def guess(self, network: str, account: str, now: datetime) -> Guess:
        """Count an attempt of an address at an account; raise TooMany."""
        keys = self._hash("login", network, account), self._hash("guess", network)
        guess = Guess(*keys, now)
        if self._enabled:
            await self._pass_address(guess.address_key, _ms(now))
            try:
                await self._pass_account(guess.account_key, _ms(now))
            except TooMany:
                await self._give_back(guess.address_key)
                raise
        return guess

    async def was_right(self, guess: Guess) -> None:
        """Forget the earlier attempts, because the password was right.

        Never raises: if the database does not answer, the row expires by itself.
        """
        if self._enabled:
            with suppress(StorageUnavailable, StatementRefused), translated():
                expires_at = _instant(_ms(guess.at) + PERIOD_S * 1000)
                values = {"failures": 0, "untilMs": _ms(guess.at), "expiresAt": expires_at}
                await self._rows.update_one({"_id": guess.account_key}, {"$set": values})
                await self._give_back(guess.address_key)

    async def was_not_judged(self, guess: Guess, now: datetime) -> None:
        """Take an attempt back, because nothing was compared. Never raises."""
        if self._enabled:
            with suppress(StorageUnavailable, StatementRefused), translated():
                await self._rows.update_one(
                    {"_id": guess.account_key},
                    {
                        "$inc": {"failures": -1, "wholeMs": -EVERY_MS},
                        "$set": {"untilMs": _ms(now)},
                    },
                )
                await self._give_back(guess.address_key)

    async def _give_back(self, address_key: str) -> None:
        await self._rows.update_one({"_id": address_key}, {"$inc": {"untilMs": -self._every_ms}})

    async def _pass_address(self, key: str, now_ms: int) -> None:
        """Apply the generic cell rate algorithm: at `untilMs` the whole allowance is back."""
        whole_ms = self._burst * self._every_ms
        latest_ms = now_ms + whole_ms - self._every_ms
        until = _within("$untilMs", now_ms, now_ms + whole_ms)
        passes = {"$lte": [until, latest_ms]}
        changes = {
            "untilMs": {"$add": [until, self._every_ms]},
            "expiresAt": {"$literal": _instant(now_ms + whole_ms)},
        }
        first = {"untilMs": now_ms + self._every_ms, "expiresAt": _instant(now_ms + whole_ms)}
        if not await self._note(key, passes, changes, first):
            await self._refuse(key, now_ms, before_ms=whole_ms - self._every_ms)

    async def _pass_account(self, key: str, now_ms: int) -> None:
        """Apply doubling waits from attempt `FREE` on, and `LOGINS` in all, by `wholeMs`."""
        whole_ms = LOGINS * EVERY_MS
        whole = _within("$wholeMs", now_ms, now_ms + whole_ms)
        longest_ms, forgotten_ms = LONGEST_S * 1000, now_ms - FORGOTTEN_AFTER_S * 1000
        until = _within("$untilMs", now_ms, now_ms + longest_ms)
        is_forgotten = {"$lt": ["$atMs", forgotten_ms]}
        branches = [
            {"case": {"$lt": ["$failures", FREE - 1 + place]}, "then": now_ms + wait_s * 1000}
            for place, wait_s in enumerate((0, *WAITS_S))
        ]
        waits = {"$switch": {"branches": branches, "default": now_ms + longest_ms}}
        expires_at = _instant(now_ms + FORGOTTEN_AFTER_S * 1000)
        changes = {
            "failures": {"$cond": [is_forgotten, 1, {"$add": ["$failures", 1]}]},
            "untilMs": {"$cond": [is_forgotten, now_ms, waits]},
            "atMs": now_ms,
            "wholeMs": {"$add": [whole, EVERY_MS]},
            "expiresAt": {"$literal": expires_at},
        }
        first = {
            "failures": 1,
            "untilMs": now_ms,
            "atMs": now_ms,
            "wholeMs": now_ms + EVERY_MS,
            "expiresAt": expires_at,
        }
        latest_ms = now_ms + whole_ms - EVERY_MS
        passes = {"$and": [{"$lte": [until, now_ms]}, {"$lte": [whole, latest_ms]}]}
        if not await self._note(key, passes, changes, first):
            await self._refuse(key, now_ms, before_ms=0)

    async def _note(self, key: str, passes: Document, changes: Document, first: Document) -> bool:
        """Store an attempt if it passes; return whether it does."""
        # `models.base.compare_and_set` says why the comparison is in the update, not the filter.
        fields = {
            name: {"$cond": [passes, value, f"${name}"]} for name, value in changes.items()
        } | {"count": {"$cond": [passes, {"$add": ["$count", 1]}, "$count"]}}
        for _ in range(2):
            result = await self._rows.update_one({"_id": key}, [{"$set": fields}])
            if result.matched_count:
                return bool(result.modified_count)
            with suppress(DuplicateKeyError):  # another one was the first, just now
                await self._rows.insert_one({"_id": key, **first, "count": 1})
                return True
        return False  # it was there and is gone again: it has just expired

    async def _refuse(self, key: str, now_ms: int, *, before_ms: int) -> None:
        row = await self._rows.find_one({"_id": key}) or {"untilMs": now_ms}
        until_ms = row["untilMs"] - before_ms
        if "wholeMs" in row:
            until_ms = max(until_ms, row["wholeMs"] - (LOGINS - 1) * EVERY_MS)
        wait_s = math.ceil((until_ms - now_ms) / 1000)
        raise TooMany(
            "too_many_attempts",
            "Too many attempts; see Retry-After.",
            retry_after_s=min(max(wait_s, 1), LONGEST_S),
        )

    def _hash(self, *parts: str) -> str:
        message = "\0".join(parts).encode(errors="surrogateescape")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def _within(until: str, now_ms: int, latest_ms: int) -> dict[str, Any]:
    """Clamp to now or later; a value beyond the longest wait is a clock error and counts as now."""
    return {"$cond": [{"$gt": [until, latest_ms]}, now_ms, {"$max": [until, now_ms]}]}


def _ms(now: datetime) -> int:
    return int(now.timestamp() * 1000)


def _instant(ms: int) -> datetime:
    return datetime.fromtimestamp(0, tz=UTC) + timedelta(milliseconds=ms)
