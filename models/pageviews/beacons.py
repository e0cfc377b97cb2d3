"""Store page views that browsers without a socket report by beacons.

Invariants:

- Counters grow by at most the seconds that have passed on this server's clock since the last
  beacon of the view.
- A beacon that is repeated, late or out of order changes nothing.
- A view by socket is never changed.
- Every write is fenced (`models.base.compare_and_set`).
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

from bson import ObjectId
from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from models.base.compare_and_set import Stamps, fenced
from models.base.database import Database, Document, DuplicateKeyError
from models.base.errors import Conflict, StorageUnavailable
from models.base.schema_types import DocumentId, PageName, WireModel
from models.pageviews.attention import Attention
from models.pageviews.page_view import (
    BEACON_LIFE,
    PageNameRecorder,
    PageTitle,
    Params,
    check_details_size,
    new_view,
    page_views,
)
from models.pageviews.visitors import Arrival, LatestView, record_latest_views
from models.sessions.queries import CONTENDED_TRIES
from models.sessions.session import Counter

SECOND = timedelta(seconds=1)
ID_BYTES = 12


class Engagement(WireModel):
    """A browser's report of one view.

    `view` is a key that the browser has made for the view; the seconds are those since the view
    started. A front end on another origin sends the visitor's key as `visitor`.
    """

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
        """Check the size of parameters and title together."""
        check_details_size(info.data.get("params") or {}, value)
        return value


class StoredEngagement(WireModel):
    """The stored counters of the view, after the beacon."""

    view_id: DocumentId
    sequence: int
    visible_seconds: int
    engaged_seconds: int


class Sender(NamedTuple):
    """The client that sent a beacon."""

    visitor_id: str
    user_id: str | None
    """The user of the access token, if one was sent."""
    user_agent: str
    address: str


class Beacons:
    """Stores beacons."""

    def __init__(
        self,
        db: Database,
        *,
        arrive: Callable[[str, str | None, str], Awaitable[Arrival]],
        admit: Callable[[Engagement, str, str, str | None], str],
        coefficient: Callable[[str], float],
    ) -> None:
        """Create it.

        Args:
            db: The database.
            arrive: Records that a visitor starts a view; takes its id, user and user agent.
            admit: Checks the budgets for a new view; takes the beacon, the visitor, the address
                and the user. Returns the name under which the page is counted; raises TooMany.
            coefficient: Returns the attention coefficient of a page.
        """
        self._db = db
        self._arrive = arrive
        self._admit = admit
        self._coefficient = coefficient
        self._stamps = Stamps()
        self._pages = PageNameRecorder(db)
        self._attention = Attention()

    async def store(self, beacon: Engagement, sender: Sender, now: datetime) -> StoredEngagement:
        """Store a beacon, as far as its numbers are possible; return the stored counters.

        Raises:
            Conflict: "not_a_beacon": the view is tracked over a socket.
            TooMany: A budget for new views is used up.
            StorageUnavailable: "contended", or the database did not answer.
        """
        view_id = view_id_of(sender.visitor_id, beacon.view)
        for _ in range(CONTENDED_TRIES):
            stored = await page_views(self._db).find_one({"_id": view_id})
            if stored is None:
                await self._start_view(beacon, view_id, sender, now)
                continue
            if stored["source"] != "beacon":
                raise Conflict("not_a_beacon", "This view is tracked over a WebSocket.")
            values = accepted_changes(stored, beacon, now)
            if values:
                values |= self._limited(stored, values, now)
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
        raise StorageUnavailable(
            "contended", "The view is being changed by another request. Try again."
        )

    def _limited(self, stored: Document, values: Document, now: datetime) -> Document:
        """Return the counters, limited to what the visitor can have viewed in all its views."""
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

    async def _start_view(
        self, beacon: Engagement, view_id: ObjectId, sender: Sender, now: datetime
    ) -> None:
        visitor_id = sender.visitor_id
        page = self._admit(beacon, visitor_id, sender.address, sender.user_id)
        arrival = await self._arrive(visitor_id, sender.user_id, sender.user_agent)
        await self._pages.record([page], now)
        self._attention.start_view(visitor_id, now)
        view = new_view(
            view_id=view_id,
            visitor_id=visitor_id,
            user_id=arrival.user_id,
            browser_session_id=arrival.browser_session_id,
            page=page,
            params=beacon.params,
            title=beacon.title,
            previous_view_id=arrival.last_view_id,
            source="beacon",
            coefficient=self._coefficient(beacon.page),
            visible=True,
            stamp=self._stamps.fresh(),
            owner=None,
            now=now,
        )
        try:
            await page_views(self._db).insert_one(
                {**view, "sequence": beacon.sequence, "calledAt": now}
            )
        except DuplicateKeyError:  # another beacon of this view was stored first
            return
        latest = {visitor_id: LatestView(view_id, arrival.browser_session_id)}
        await record_latest_views(self._db, latest, now)


def view_id_of(visitor_id: str, view_key: str) -> ObjectId:
    """Return the id of a view: the same for each beacon, and different for each visitor."""
    text = f"{visitor_id}.{view_key}".encode("utf-8", "surrogatepass")
    return ObjectId(hashlib.sha256(text).digest()[:ID_BYTES])


def accepted_changes(stored: Document, beacon: Engagement, now: datetime) -> Document:
    """Return the fields of a view that a beacon changes; none if it is old or repeated.

    No counter grows by more seconds than have passed since the last accepted beacon.
    """
    if beacon.sequence <= stored["sequence"] or now - stored["startedAt"] >= BEACON_LIFE:
        return {}
    passed = max((now - stored["calledAt"]) // SECOND, 0)
    visible = min(beacon.visible_seconds, stored["visibleSeconds"] + passed)
    engaged = min(beacon.engaged_seconds, visible, stored["engagedSeconds"] + passed)
    return {
        "sequence": beacon.sequence,
        "visibleSeconds": visible,
        "engagedSeconds": engaged,
        # Whole seconds only, so that the next beacon gets the remaining fraction.
        "calledAt": stored["calledAt"] + passed * SECOND,
        "lastBookedAt": now,
        "updatedAt": now,
    }
