"""Export all personal data of a user, as JSON or CSV.

Derived data (days, months, statistics) is left out, and so are internal fields (stamps, owners).

Invariants:

- Documents are written as they are read, a few at a time, so that memory does not grow with their
  number, and other tasks run in between.
- No credential is exported: neither hashes of passwords nor of refresh tokens.
"""

import asyncio
import json
import weakref
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from typing import Any

from bson import ObjectId

from models.accounts import refresh_tokens, user_directory, users
from models.accounts.settings import SettingsStore
from models.accounts.users import view_stranger, view_user
from models.activity import events, presence
from models.base.database import Database, Document
from models.base.driver_errors import answered_within
from models.base.errors import Busy
from models.base.paging import BY_ID, BY_START, newest_first
from models.pageviews.page_view import page_views
from models.pageviews.visitors import BROWSER_SESSIONS, had_deleted_user, visitors_of
from models.privacy.export_csv import HEADER, csv_row
from models.privacy.export_rows import (
    LISTS,
    ExportedBrowserSession,
    ExportedEvent,
    ExportedLogin,
    ExportedPageView,
    ExportedVisitor,
    ExportHead,
    exported_goals,
    exported_row,
    exported_session,
)
from models.sessions.queries import sessions
from models.sessions.session import SessionView
from models.tokens.access_tokens import Identity
from models.tokens.revocations import find_signed_out

READ_TOGETHER = 100
"""Documents that are read at once."""
CHUNK_CHARS = 16_384
"""Least size of a chunk that is sent; other tasks run after each."""
LONG_TIMELINE_BYTES = 400
"""A longer stored timeline is unpacked in a thread."""
MAX_AT_ONCE = 20
"""Exports that are written at the same time."""
ANSWER_WITHIN_S = 5.0

Texts = AsyncIterator[str]
View = Callable[[Document], SessionView]


class ExportReservation:
    """The reservation of one export; it ends by `release`, or with the last reference to it.

    If the client disconnects before the response starts, the generator never runs, and so does
    not its `finally`. The reservation then ends when the generator, which refers to it, is freed.
    """

    def __init__(self, writing: set[str], user_id: str) -> None:
        self._release = weakref.finalize(self, writing.discard, user_id)

    def release(self) -> None:
        """End the reservation; does nothing if it has ended."""
        self._release()


class Exports:
    """Writes exports, one at a time for each user."""

    def __init__(self, db: Database, learners: SettingsStore, view: View) -> None:
        """Create exports from a database; `view` returns a session document as clients see it."""
        self._db = db
        self._learners = learners
        self._view = view
        self._writing: set[str] = set()

    def reserve(self, identity: Identity) -> ExportReservation:
        """Reserve the export of a user.

        Raises:
            Busy: "too_busy": an export of this user, or too many other ones, are being written.
        """
        user_id = identity.user_id
        if user_id in self._writing or len(self._writing) >= MAX_AT_ONCE:
            raise Busy("too_busy", "Another export is in progress. Try again in a moment.")
        self._writing.add(user_id)
        return ExportReservation(self._writing, user_id)

    async def head(self, identity: Identity, now: datetime) -> ExportHead:
        """Return the part of an export that comes before the lists."""
        user_id = identity.user_id
        async with answered_within(ANSWER_WITHIN_S):
            user = await users.find_user(self._db, user_id)
            learner = await self._learners.find(user_id)
            entry = await self._db[user_directory.COLLECTION].find_one({"_id": user_id})
            seen = await self._db[presence.COLLECTION].find_one({"_id": user_id})
            signed_out = await find_signed_out(self._db, user_id)
        return ExportHead(
            exported_at=now,
            account=view_stranger(identity) if user is None else view_user(user),
            first_seen_at=None if entry is None else entry["first_seen_at"],
            last_seen_at=None if seen is None else seen["last_seen_at"],
            signed_out_everywhere_at=None if signed_out is None else signed_out.at,
            settings=learner.settings,
            goals=exported_goals(learner),
        )

    def json(
        self, reservation: ExportReservation, head: ExportHead, now: datetime
    ) -> AsyncIterator[bytes]:
        """Write one JSON object (`ExportBody`), with one list element a line."""
        return self._chunks(reservation, self._json(head, now))

    def csv(
        self, reservation: ExportReservation, user_id: str, now: datetime
    ) -> AsyncIterator[bytes]:
        """Write the sessions as CSV, one a row."""
        return self._chunks(reservation, self._csv(user_id, now))

    # --- private ----------------------------------------------------------------------------

    async def _chunks(self, reservation: ExportReservation, texts: Texts) -> AsyncIterator[bytes]:
        """Join texts to chunks that are worth sending; release the reservation at the end."""
        try:
            buffer: list[str] = []
            length = 0
            async for text in texts:
                buffer.append(text)
                length += len(text)
                if length >= CHUNK_CHARS:
                    yield "".join(buffer).encode()
                    buffer, length = [], 0
                    await asyncio.sleep(0)
            yield "".join(buffer).encode()
        finally:
            reservation.release()

    async def _csv(self, user_id: str, now: datetime) -> Texts:
        yield HEADER
        async for document in self._sessions(user_id, now):
            yield csv_row(self._view(document))

    async def _json(self, head: ExportHead, now: datetime) -> Texts:
        user_id = head.account.id
        rows = (
            self._logins(user_id),
            self._exported_sessions(user_id, now),
            self._events(user_id, now),
            self._visitors(user_id),
            self._browser_sessions(user_id, now),
            self._page_views(user_id, now),
        )
        yield head.model_dump_json().removesuffix("}")
        for name, of_list in zip(LISTS, rows, strict=True):
            yield f',\n"{name}":['
            separator = "\n"
            async for row in of_list:
                yield separator + _json_text(row)
                separator = ",\n"
            yield "]"
        yield "}\n"

    async def _exported_sessions(self, user_id: str, now: datetime) -> AsyncIterator[Document]:
        async for each in self._sessions(user_id, now):
            view = self._view(each)
            if each.get("edits") or len(each.get("timeline", b"")) > LONG_TIMELINE_BYTES:
                # It may have thousands of runs, and as many again for each edit.
                yield await asyncio.to_thread(exported_session, each, view, now)
            else:
                yield exported_session(each, view, now)

    async def _sessions(self, user_id: str, now: datetime) -> AsyncIterator[Document]:
        filter_ = {"userId": user_id}
        async for documents in newest_first(
            sessions(self._db), filter_, BY_ID, now=now, most=READ_TOGETHER
        ):
            for document in documents:
                yield document

    async def _logins(self, user_id: str) -> AsyncIterator[Document]:
        if not ObjectId.is_valid(user_id):
            return
        async with answered_within(ANSWER_WITHIN_S):
            found = self._db[refresh_tokens.COLLECTION].find({"userId": ObjectId(user_id)})
            documents = await found.to_list(None)
        for document in documents:
            yield exported_row(ExportedLogin, document)

    async def _events(self, user_id: str, now: datetime) -> AsyncIterator[Document]:
        collection, filter_ = self._db[events.COLLECTION], {"user_id": user_id}
        async for found in newest_first(collection, filter_, BY_ID, now=now, most=READ_TOGETHER):
            for row in found:
                yield exported_row(
                    ExportedEvent,
                    {
                        "type": row["event_type"],
                        "actionName": row["action_name"],
                        "createdAt": row["created_at"],
                    },
                )

    async def _visitors(self, user_id: str) -> AsyncIterator[Document]:
        async for found in visitors_of(self._db, user_id):
            for visitor in found:
                yield exported_row(ExportedVisitor, visitor)

    async def _browser_sessions(self, user_id: str, now: datetime) -> AsyncIterator[Document]:
        collection = self._db[BROWSER_SESSIONS]
        async for filter_, without_user in self._browser_filters(user_id):
            async for found in newest_first(
                collection, filter_, BY_ID, now=now, most=READ_TOGETHER
            ):
                for row in _owned(found, without_user=without_user):
                    yield exported_row(ExportedBrowserSession, row)

    async def _page_views(self, user_id: str, now: datetime) -> AsyncIterator[Document]:
        collection = page_views(self._db)
        async for filter_, without_user in self._browser_filters(user_id):
            async for found in newest_first(
                collection, filter_, BY_START, now=now, most=READ_TOGETHER
            ):
                for row in _owned(found, without_user=without_user):
                    yield exported_row(ExportedPageView, row)

    async def _browser_filters(self, user_id: str) -> AsyncIterator[tuple[Document, bool]]:
        """Yield filters, each with whether to drop documents that have a user.

        They find the user's documents, and those of the user's visitors from before they were
        joined to a user.
        """
        yield {"userId": user_id}, False
        async for found in visitors_of(self._db, user_id):
            for visitor in found:
                yield {"visitorId": visitor["_id"]}, True


def _owned(found: Iterable[Document], *, without_user: bool) -> Iterable[Document]:
    """Return the documents of a filter of `_browser_filters` that belong to the user."""
    return [
        each
        for each in found
        if not (without_user and (each["userId"] is not None or had_deleted_user(each)))
    ]


def _json_text(row: Any) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))
