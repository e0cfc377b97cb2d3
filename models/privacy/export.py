"""Everything that is known of one person, as they may take it with them.

What must always hold: it is written as it is read, a few documents at a time, so that a
hundred thousand take no more memory than a hundred; others are counted meanwhile; and what
proves who somebody is (hashes of passwords and of refresh tokens) is not in it.

What is derived from the rest (days, months, statistics) is left out, and so is what the
server notes for itself (stamps, owners).
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
from models.pageviews.visitors import BROWSER_SESSIONS, is_nameless, visitors_of
from models.privacy.export_csv import HEADER, csv_row
from models.privacy.export_rows import (
    LISTS,
    ExportedBrowserSession,
    ExportedEvent,
    ExportedLogin,
    ExportedPageView,
    ExportedVisitor,
    ExportHead,
    exported_session,
    goals_set,
    shown,
)
from models.sessions.queries import (
    sessions,
)
from models.sessions.session import SessionView
from models.tokens.access_tokens import Identity
from models.tokens.revocations import find_signed_out

TOGETHER = 100
"""Documents that are read at once."""
PIECE_CHARS = 16_384
LONG_TIMELINE_BYTES = 400
"""So much is written before others have their turn."""
MAX_AT_ONCE = 20
ANSWER_WITHIN_S = 5.0

Texts = AsyncIterator[str]
View = Callable[[Document], SessionView]


class Turn:
    """The reservation of one export; it ends by `release`, or with the last reference to it.

    An answer that is never sent (its client is gone) runs none of its generator, hence none of
    its `finally`: the reference that the generator holds is what ends the reservation then.
    """

    def __init__(self, writing: set[str], user_id: str) -> None:
        self._release = weakref.finalize(self, writing.discard, user_id)

    def release(self) -> None:
        self._release()


class Exports:
    """`view` shows a session as clients see it."""

    def __init__(self, db: Database, learners: SettingsStore, view: View) -> None:
        self._db = db
        self._learners = learners
        self._view = view
        self._writing: set[str] = set()

    def admit(self, identity: Identity) -> "Turn":
        """Reserve the export of this user, until the turn is released.

        Raises Busy when this user, or too many others, are being exported.
        """
        user_id = identity.user_id
        if user_id in self._writing or len(self._writing) >= MAX_AT_ONCE:
            raise Busy("too_busy", "An export is being written already; try again shortly.")
        self._writing.add(user_id)
        return Turn(self._writing, user_id)

    async def head(self, identity: Identity, now: datetime) -> ExportHead:
        """All but the lists."""
        user_id = identity.user_id
        async with answered_within(ANSWER_WITHIN_S):
            user = await users.find_user(self._db, user_id)
            learner = await self._learners.find(user_id)
            known = await self._db[user_directory.COLLECTION].find_one({"_id": user_id})
            seen = await self._db[presence.COLLECTION].find_one({"_id": user_id})
            signed_out = await find_signed_out(self._db, user_id)
        return ExportHead(
            exported_at=now,
            account=view_stranger(identity) if user is None else view_user(user),
            first_seen_at=None if known is None else known["first_seen_at"],
            last_seen_at=None if seen is None else seen["last_seen_at"],
            signed_out_everywhere_at=None if signed_out is None else signed_out.at,
            settings=learner.settings,
            goals=goals_set(learner),
        )

    def json(self, turn: "Turn", head: ExportHead, now: datetime) -> AsyncIterator[bytes]:
        """One JSON object (`ExportBody`), its rows one a line."""
        return self._pieces(turn, self._json(head, now))

    def csv(self, turn: "Turn", user_id: str, now: datetime) -> AsyncIterator[bytes]:
        """The sessions, one a row."""
        return self._pieces(turn, self._csv(user_id, now))

    # --- private ----------------------------------------------------------------------------

    async def _pieces(self, turn: "Turn", texts: Texts) -> AsyncIterator[bytes]:
        """Of a size that is worth sending; others have their turn after each."""
        try:
            waiting: list[str] = []
            length = 0
            async for text in texts:
                waiting.append(text)
                length += len(text)
                if length >= PIECE_CHARS:
                    yield "".join(waiting).encode()
                    waiting, length = [], 0
                    await asyncio.sleep(0)
            yield "".join(waiting).encode()
        finally:
            turn.release()

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
                # It may have thousands of runs, and as many before each of its edits.
                yield await asyncio.to_thread(exported_session, each, view, now)
            else:
                yield exported_session(each, view, now)

    async def _sessions(self, user_id: str, now: datetime) -> AsyncIterator[Document]:
        wanted = {"userId": user_id}
        async for documents in newest_first(
            sessions(self._db), wanted, BY_ID, now=now, most=TOGETHER
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
            yield shown(ExportedLogin, document)

    async def _events(self, user_id: str, now: datetime) -> AsyncIterator[Document]:
        collection, wanted = self._db[events.COLLECTION], {"user_id": user_id}
        async for found in newest_first(collection, wanted, BY_ID, now=now, most=TOGETHER):
            for row in found:
                yield shown(
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
                yield shown(ExportedVisitor, visitor)

    async def _browser_sessions(self, user_id: str, now: datetime) -> AsyncIterator[Document]:
        collection = self._db[BROWSER_SESSIONS]
        async for wanted, of_nobody in self._of_browsers(user_id):
            async for found in newest_first(collection, wanted, BY_ID, now=now, most=TOGETHER):
                for row in _theirs(found, of_nobody=of_nobody):
                    yield shown(ExportedBrowserSession, row)

    async def _page_views(self, user_id: str, now: datetime) -> AsyncIterator[Document]:
        collection = page_views(self._db)
        async for wanted, of_nobody in self._of_browsers(user_id):
            async for found in newest_first(collection, wanted, BY_START, now=now, most=TOGETHER):
                for row in _theirs(found, of_nobody=of_nobody):
                    yield shown(ExportedPageView, row)

    async def _of_browsers(self, user_id: str) -> AsyncIterator[tuple[Document, bool]]:
        """What to look for: all that is the user's, and of each visitor joined to the user
        what is nobody's, which is from before it was joined."""
        yield {"userId": user_id}, False
        async for found in visitors_of(self._db, user_id):
            for visitor in found:
                yield {"visitorId": visitor["_id"]}, True


def _theirs(found: Iterable[Document], *, of_nobody: bool) -> Iterable[Document]:
    return [
        each
        for each in found
        if not (of_nobody and (each["userId"] is not None or is_nameless(each)))
    ]


def _json_text(row: Any) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))
