"""Page views of browsers that can't hold a socket and report by beacons.

What must always hold: a client's numbers are believed only as far as our own clock went
on since its last call; a call that comes again, late or out of order changes nothing; a
view by socket is never touched; every write is fenced (`models.base.compare_and_set`).
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated

from bson import ObjectId
from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from models.base.compare_and_set import Stamps, fenced
from models.base.database import Database, Document, DuplicateKeyError
from models.base.errors import Conflict, StorageUnavailable
from models.base.schema_types import DocumentId, PageName, WireModel
from models.pageviews.attention import Attention
from models.pageviews.page_view import (
    BEACON_LIFE,
    NotedPages,
    PageTitle,
    Params,
    new_view,
    page_views,
    refuse_large,
)
from models.pageviews.visitors import Arrival, LatestView, note_views
from models.sessions.queries import CONTENDED_TRIES
from models.sessions.session import Counter

SECOND = timedelta(seconds=1)
ID_BYTES = 12


class Engagement(WireModel):
    """What a browser says of one view: `view` is a key that it has made for it, the seconds
    are those since the view began. `visitor` is the key that a front end on another origin
    keeps itself."""

    view: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    sequence: Counter
    page: PageName
    params: Params = Field(default_factory=dict)
    title: PageTitle | None = None
    visible_seconds: Counter
    engaged_seconds: Counter
    visitor: Annotated[str, StringConstraints(max_length=100)] | None = None

    @field_validator("title")
    @classmethod
    def small_with_params(cls, value: str | None, info: ValidationInfo) -> str | None:
        refuse_large(info.data.get("params") or {}, value)
        return value


class StoredEngagement(WireModel):
    """What is stored of the view now."""

    view_id: DocumentId
    sequence: int
    visible_seconds: int
    engaged_seconds: int


class Beacons:
    def __init__(
        self,
        db: Database,
        *,
        arrive: Callable[[str, str | None, str], Awaitable[Arrival]],
        admit: Callable[[Engagement, str, str, str | None], str],
        coefficient: Callable[[str], float],
    ) -> None:
        """`arrive` notes that a visitor (its user, its user agent) begins to view; `admit`, of what
        was said, the visitor, the address and the user, gives the name under which the page is
        counted, and raises TooMany."""
        self._db = db
        self._arrive = arrive
        self._admit = admit
        self._coefficient = coefficient
        self._stamps = Stamps()
        self._pages = NotedPages(db)
        self._attention = Attention()

    async def take(
        self,
        said: Engagement,
        *,
        visitor_id: str,
        user_id: str | None,
        user_agent: str,
        address: str = "",
        now: datetime,
    ) -> StoredEngagement:
        """Take in what was said, as far as it can be. Raises Conflict, TooMany,
        StorageUnavailable."""
        view_id = view_id_of(visitor_id, said.view)
        for _ in range(CONTENDED_TRIES):
            stored = await page_views(self._db).find_one({"_id": view_id})
            if stored is None:
                await self._begin(
                    said,
                    view_id,
                    visitor_id=visitor_id,
                    user_id=user_id,
                    user_agent=user_agent,
                    address=address,
                    now=now,
                )
                continue
            if stored["source"] != "beacon":
                raise Conflict("not_a_beacon", "This view is counted over a socket.")
            values = taken_in(stored, said, now)
            if values:
                values |= self._attended(stored, values, now)
                update = fenced(stored["stamp"], self._stamps.fresh(), values=values)
                result = await page_views(self._db).update_one({"_id": view_id}, update)
                if not result.modified_count:
                    continue
            now_stored = {**stored, **values}
            return StoredEngagement(
                view_id=view_id,
                sequence=now_stored["sequence"],
                visible_seconds=now_stored["visibleSeconds"],
                engaged_seconds=now_stored["engagedSeconds"],
            )
        raise StorageUnavailable("contended", "The view is being changed elsewhere; try again.")

    def _attended(self, stored: Document, values: Document, now: datetime) -> Document:
        """Return the counters that the visitor can have, with all views by beacon together."""
        visible, engaged = self._attention.grant(
            stored["visitorId"],
            values["visibleSeconds"] - stored["visibleSeconds"],
            values["engagedSeconds"] - stored["engagedSeconds"],
            began_at=stored["startedAt"],
            now=now,
        )
        visible += stored["visibleSeconds"]
        engaged += stored["engagedSeconds"]
        return {"visibleSeconds": visible, "engagedSeconds": min(engaged, visible)}

    async def _begin(
        self,
        said: Engagement,
        view_id: ObjectId,
        *,
        visitor_id: str,
        user_id: str | None,
        user_agent: str,
        address: str,
        now: datetime,
    ) -> None:
        page = self._admit(said, visitor_id, address, user_id)
        arrival = await self._arrive(visitor_id, user_id, user_agent)
        await self._pages.note([page], now)
        self._attention.begins(visitor_id, now)
        begun = new_view(
            view_id=view_id,
            visitor_id=visitor_id,
            user_id=arrival.user_id,
            browser_session_id=arrival.browser_session_id,
            page=page,
            params=said.params,
            title=said.title,
            previous_view_id=arrival.last_view_id,
            source="beacon",
            coefficient=self._coefficient(said.page),
            visible=True,
            stamp=self._stamps.fresh(),
            owner=None,
            now=now,
        )
        try:
            await page_views(self._db).insert_one(
                {**begun, "sequence": said.sequence, "calledAt": now}
            )
        except DuplicateKeyError:  # another call of this view was quicker
            return
        latest = {visitor_id: LatestView(view_id, arrival.browser_session_id)}
        await note_views(self._db, latest, now)


def view_id_of(visitor_id: str, view_key: str) -> ObjectId:
    """The same for each call of a view, and another one for each visitor."""
    text = f"{visitor_id}.{view_key}".encode("utf-8", "surrogatepass")
    return ObjectId(hashlib.sha256(text).digest()[:ID_BYTES])


def taken_in(stored: Document, said: Engagement, now: datetime) -> Document:
    """What a call changes in a view: nothing unless it is newer than the last one taken in,
    and no counter by more seconds than have passed since."""
    if said.sequence <= stored["sequence"] or now - stored["startedAt"] >= BEACON_LIFE:
        return {}
    passed = max((now - stored["calledAt"]) // SECOND, 0)
    visible = min(said.visible_seconds, stored["visibleSeconds"] + passed)
    engaged = min(said.engaged_seconds, visible, stored["engagedSeconds"] + passed)
    return {
        "sequence": said.sequence,
        "visibleSeconds": visible,
        "engagedSeconds": engaged,
        # The fraction of a second that was not granted is left for the next call.
        "calledAt": stored["calledAt"] + passed * SECOND,
        "lastBookedAt": now,
        "updatedAt": now,
    }
