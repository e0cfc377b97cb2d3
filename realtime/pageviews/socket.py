"""Serve a connection of `/ws/pageviews`: the meaning of each message in each state.

Invariants:

- A connection has one view at a time, which ends with the next `view`, with `leave`, or with the
  connection.
- A valid token joins the visitor to its user. An invalid one changes nothing that is counted.
"""

from dataclasses import dataclass

from models.base.errors import DomainError, NotFound
from models.pageviews.storage_budgets import socket_allowances
from models.pageviews.visitors import GAP, Arrival
from models.tokens.access_tokens import Identity
from realtime.engine.tracked import Tracked
from realtime.pageviews.store import TrackedView
from realtime.pageviews.tracking import PageViewTracking
from realtime.protocol.client_messages import Auth, ClientMessage
from realtime.protocol.page_messages import (
    Hidden,
    Leave,
    Left,
    PageUpdates,
    View,
    Viewing,
    Visible,
    parse_page,
)
from realtime.protocol.server_messages import Authenticated
from realtime.sessions.socket import SocketSettings
from realtime.sockets.connection import SocketConnection
from realtime.sockets.transport import SocketTransport

GAP_US = round(GAP.total_seconds() * 1_000_000)


@dataclass(frozen=True, slots=True)
class PageClient:
    """The client of a connection."""

    visitor_id: str
    key: str | None
    """The key that a front end without our cookie has to keep; None with the cookie."""
    identity: Identity | None
    user_agent: str
    address: str = ""
    """The network of the client, for the limits of an address."""


class PageSocket(SocketConnection[TrackedView]):
    """A connection that tracks at most one page view."""

    def __init__(
        self,
        wire: SocketTransport,
        visiting: PageClient,
        service: PageViewTracking,
        settings: SocketSettings,
    ) -> None:
        super().__init__(
            wire,
            registry=service.registry,
            member=visiting.visitor_id,
            engine=service.engine,
            clock=service.clock,
            parse=parse_page,
            tokens=settings.tokens,
            start_within_s=settings.start_within_s,
        )
        self.updates: PageUpdates = "none"
        self._service = service
        self._settings = settings
        self._visiting = visiting
        self._identity = visiting.identity
        self._user_id = None if visiting.identity is None else visiting.identity.user_id
        self._arrival: Arrival | None = None
        self._views = socket_allowances()
        self._previous: TrackedView | None = None
        """The latest view of this connection that has ended."""

    def is_of(self, user_id: str) -> bool:
        """Return whether the connection belongs to this user."""
        return self._user_id == user_id

    @property
    def identity(self) -> Identity | None:
        """The identity of the latest token; None without one."""
        return self._identity

    def released(self, tracked: Tracked, *, ended: bool) -> None:
        """Track nothing after the end of the view, and expect another."""
        if self._tracked is tracked and ended:
            self._previous, self._tracked = self._tracked, None
            self._expect_start()

    # --- messages -----------------------------------------------------------------------

    def _handle(self, message: ClientMessage, now_us: int) -> None:
        match message:
            case View():
                self.hidden_since_us = None if message.visible else now_us
                self._untrack(now_us)
                self._admit(message, now_us)
                if self._is_new(now_us):
                    self._run_exclusive(message, self._arrive(message, now_us))
                else:
                    self._view(message, now_us)
            case Visible():
                self._engine.resume(self._viewed(), now_us)
                self.hidden_since_us = None
            case Hidden():
                self._engine.pause(self._viewed(), now_us)
                self.hidden_since_us = now_us
            case Leave():
                tracked = self._viewed()
                self._untrack(now_us)
                self._expect_start()
                self._run_exclusive(message, self._left(message, tracked))

    def _admit(self, message: View, now_us: int) -> None:
        try:
            self._service.admit(
                message,
                views=self._views,
                arrives=self._is_new(now_us),
                address=self._visiting.address,
                user_id=None if self._identity is None else self._identity.user_id,
                now_us=now_us,
            )
        except DomainError:
            self._expect_start()
            raise

    async def _arrive(self, message: View, now_us: int) -> None:
        visiting = self._visiting
        self._previous = None
        while True:
            identity = self._identity
            self._arrival = await self._service.arrive(
                visiting.visitor_id,
                None if identity is None else identity.user_id,
                visiting.user_agent,
            )
            if self._identity is identity:
                break
            # A token came meanwhile, perhaps that of another user.
        self._user_id = self._arrival.user_id
        self._view(message, now_us)

    def _view(self, message: View, now_us: int) -> None:
        arrival = self._arrival
        if arrival is None:
            raise AssertionError("the visitor has not arrived")
        self.updates = message.updates
        previous = self._previous
        tracked = self._service.begin(
            self,
            arrival._replace(user_id=self._user_id),
            message,
            now_us,
            previous_view_id=(arrival.last_view_id if previous is None else previous.begun["_id"]),
            address=self._visiting.address,
        )
        tracked.of_token = self._identity is not None
        self._track(tracked)
        if self._left_us is not None:
            return
        self._expect_start()
        answer = Viewing(
            id=message.id,
            view_id=str(tracked.tracked_id),
            visitor_id=arrival.visitor_id,
            visitor=self._visiting.key,
            browser_session_id=str(arrival.browser_session_id),
            page=tracked.begun["page"],
            attention_coefficient=tracked.begun["attentionCoefficient"],
            idle_threshold_seconds=tracked.meter.idle_after_us / 1_000_000,
            next_second_in_ms=tracked.next_second_in_ms(self._clock.now_us()),
            server_time=self._server_time(),
        )
        self.push(answer.text())

    async def _left(self, message: Leave, tracked: TrackedView) -> None:
        await self._service.ledger.saved(tracked)
        answer = Left(
            id=message.id,
            view_id=str(tracked.tracked_id),
            visible_seconds=tracked.elapsed,
            engaged_seconds=tracked.active,
            server_time=self._server_time(),
        )
        self.push(answer.text())

    def _renew(self, message: Auth) -> None:
        identity = self._tokens.verify(message.token, self._settings.now())
        before, self._identity = self._identity, identity
        is_another = self._user_id not in (None, identity.user_id)
        self._user_id = identity.user_id
        self._registry.renewed(self, before)
        if self._arrival is not None:
            self._service.join(
                self._arrival.visitor_id, self._arrival.browser_session_id, identity.user_id
            )
        if is_another:
            self._arrival = self._previous = None  # the next view begins a browser session
        # What was viewed with the token of another user stays theirs.
        if self._tracked is not None and not self._tracked.of_token:
            self._tracked.user_id, self._tracked.of_token = identity.user_id, True
            self._engine.changed(self._tracked)
        answer = Authenticated(
            id=message.id, expires_at=identity.expires_at, server_time=self._server_time()
        )
        self.push(answer.text())

    # --- helpers --------------------------------------------------------------------------

    def _viewed(self) -> TrackedView:
        if self._tracked is None:
            raise NotFound("not_started", "Send `view` first.")
        return self._tracked

    def _is_new(self, now_us: int) -> bool:
        """Whether what is viewed now may belong to another browser session."""
        previous = self._previous
        if self._arrival is None or previous is None or previous.ended_at_us is None:
            return True
        return now_us - previous.ended_at_us > GAP_US

    def _untrack(self, at_us: int) -> None:
        tracked, self._tracked = self._tracked, None
        if tracked is not None:
            self._previous = tracked
            self._service.end(tracked, self, at_us)
