"""Remember answers under an `Idempotency-Key`: collection `idempotency_keys`.

Invariants:

- A key belongs to one scope: a user, or an address without one. Its document is inserted before the
  request is carried out, and `_id` is unique on every database. So of requests that are sent at
  once, to any servers, one is carried out.
- Only a success is remembered, for `KEPT_FOR`. A refused request frees its key. A request that
  failed, or whose server died, may be sent again at once, or after `LEASE`.
- The object that a request creates gets the id that is reserved with the key. So a write whose
  answer was lost, also between server and database, creates nothing a second time.
- Only a keyed hash of key and scope is stored.
"""

import hashlib
import hmac
import json
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from bson import ObjectId

from models.base.compare_and_set import Stamps, fenced
from models.base.database import Database, Document, DuplicateKeyError
from models.base.errors import FieldError, Invalid, StorageUnavailable
from models.base.indexes import DAY_S, IndexSpec
from models.sessions.queries import new_id

COLLECTION = "idempotency_keys"
INDEXES = (
    IndexSpec(keys=(("createdAt", 1),), query="the end of a key", expire_after_s=DAY_S),
    IndexSpec(keys=(("userId", 1),), query="one user's keys: leaving"),
)
KEPT_FOR = timedelta(seconds=DAY_S)
LEASE = timedelta(seconds=15)
"""Longer than a request may take (`focusup.asgi.request_handling`)."""
MAX_BODY_CHARS = 64 * 1024
"""More than any answer that is remembered has: the longest is of a session with its notes."""
TRIES = 20


class Answer(NamedTuple):
    """The answer that a client received."""

    status: int
    body: str
    location: str | None


class Claimed(NamedTuple):
    """The right to carry a request out; `makes` is the id of the object that it creates."""

    id_: str
    stamp: str
    makes: ObjectId


class Request(NamedTuple):
    """A request with a key: its scope, and everything that distinguishes it."""

    scope: str
    user_id: str | None
    key: str
    fingerprint: str


def fingerprint(method: str, path: str, body: bytes) -> str:
    """Return what distinguishes requests with the same key.

    JSON bodies with the same content are equal: clients may order fields, escape characters and set
    blanks differently when they send a request again.
    """
    found = hashlib.sha256(f"{method} {path}\0".encode(errors="surrogateescape"))
    with suppress(ValueError, RecursionError):  # what is no JSON is taken as it is
        body = json.dumps(json.loads(body), sort_keys=True).encode()
    found.update(body)
    return found.hexdigest()


class IdempotencyKeys:
    """The keys of all scopes."""

    def __init__(self, db: Database, secret: str) -> None:
        self._db = db
        self._secret = hmac.digest(secret.encode(), b"focusup idempotency", "sha256")
        self._stamps = Stamps()

    async def claim(self, request: Request, now: datetime) -> Claimed | Answer | None:
        """Return the right to carry the request out, or the answer of an earlier one.

        None while an earlier one is carried out.

        Raises:
            Invalid: `idempotency_key_reused`.
        """
        for _ in range(TRIES):
            stamp = self._stamps.fresh()
            fresh = self._fresh(request, stamp, now)
            try:
                await self._db[COLLECTION].insert_one(fresh)
                return Claimed(fresh["_id"], stamp, fresh["makes"])
            except DuplicateKeyError:
                found = await self._db[COLLECTION].find_one({"_id": fresh["_id"]})
            if found is None:  # it has just expired
                continue
            if found["stamp"] == stamp:  # the driver has sent it twice
                return Claimed(fresh["_id"], stamp, fresh["makes"])
            values = {name: value for name, value in fresh.items() if name not in ("_id", "stamp")}
            if now - found["createdAt"] < KEPT_FOR:
                if found["request"] is not None:
                    if found["request"] != request.fingerprint:
                        raise _reused()
                    if found["answer"] is not None:
                        return Answer(**found["answer"])
                    # Clocks of servers differ a little; one that is farther off was set back.
                    if now < found["until"] <= now + 2 * LEASE:
                        return None
                # What was carried out before may still arrive, and has this id.
                values |= {"makes": found["makes"], "createdAt": found["createdAt"]}
            if await self._write(found["_id"], found["stamp"], stamp, values):
                return Claimed(found["_id"], stamp, values["makes"])
        raise StorageUnavailable("contended", "The same request is sent too often at once.")

    async def remember(self, claimed: Claimed, answer: Answer, now: datetime) -> None:
        """Store the answer of a request that has succeeded."""
        if len(answer.body) <= MAX_BODY_CHARS:
            values = {"answer": answer._asdict(), "until": now}
            await self._write(claimed.id_, claimed.stamp, self._stamps.fresh(), values)

    async def release(self, claimed: Claimed, now: datetime, *, refused: bool) -> None:
        """Free the key of a failed request; a refused one may come again with another body."""
        values: Document = {"until": now}
        if refused:
            values["request"] = None
        await self._write(claimed.id_, claimed.stamp, self._stamps.fresh(), values)

    # --- private ----------------------------------------------------------------------------

    def _fresh(self, request: Request, stamp: str, now: datetime) -> Document:
        named = f"{request.scope}\0{request.key}".encode(errors="surrogateescape")
        return {
            "_id": hmac.new(self._secret, named, hashlib.sha256).hexdigest(),
            "userId": request.user_id,
            "request": request.fingerprint,
            "answer": None,
            "makes": new_id(now),
            "createdAt": now,
            "until": now + LEASE,
            "stamp": stamp,
        }

    async def _write(self, id_: str, expected: str, stamp: str, values: Document) -> bool:
        update = fenced(expected, stamp, values=values)
        result = await self._db[COLLECTION].update_one({"_id": id_}, update)
        return bool(result.modified_count)


def _reused() -> Invalid:
    message = "The Idempotency-Key was used for another request; use a new one."
    error = FieldError(field="Idempotency-Key", message="was used for another request")
    return Invalid("idempotency_key_reused", message, [error])
