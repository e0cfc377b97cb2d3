"""Keep the open connections, and send viewers what happens to their session.

Invariants:

- Each message is encoded once, however many tabs receive it.
- Every viewer of a session is told of its end, whoever ended it.
- The number of sockets is bounded, per user and in all.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Any, Literal, Protocol

from models.tokens.access_tokens import Identity
from models.tokens.revocations import row_ids
from realtime.engine.clock import Clock
from realtime.engine.metrics import SocketMetrics
from realtime.engine.tracked import Tracked, TrackedSession, Viewer
from realtime.protocol.client_messages import MessageId
from realtime.protocol.close_codes import CloseCode
from realtime.protocol.server_messages import Paused, Resumed, TargetReached, count_message
from realtime.sockets.receive_limits import shared_reading
from scoring.focus import score_points

StatusMessage = Literal["paused", "resumed"]


class Socket(Viewer, Protocol):
    """A viewer with a connection of its own."""

    def cut(self) -> None:
        """Close the connection at once, without a close frame."""
        ...

    def is_of(self, user_id: str) -> bool:
        """Return whether the connection belongs to this user."""
        ...

    @property
    def hidden_since_us(self) -> int | None:
        """When the page was hidden; None while it is visible."""
        ...

    @property
    def identity(self) -> Identity | None:
        """The identity of the latest token; None without one."""
        ...


class Room:
    """The number of sockets of all kinds, and how many the process has descriptors for."""

    def __init__(self, most: int | None) -> None:
        """Create it; with None, only the limits of each kind hold."""
        self._most = most
        self.taken = 0

    @property
    def is_full(self) -> bool:
        """Whether no further socket may be opened."""
        return self._most is not None and self.taken >= self._most


class Registry:
    """The open connections of one socket."""

    def __init__(self, *, max_per_user: int, max_in_all: int) -> None:
        self.figures = SocketMetrics()
        self._max_per_user = max_per_user
        self._max_in_all = max_in_all
        self._by_user: dict[str, set[Socket]] = {}
        self.room = Room(None)
        """Shared between the sockets of all kinds."""
        self.reading = shared_reading(0.0)
        """The budget that connections share which send much."""
        self._by_row: dict[str, set[Socket]] = {}
        """Connections by the revocation rows that may end their tokens."""
        self._count = 0
        self._empty = asyncio.Event()

    async def emptied(self) -> None:
        """Wait until the last socket is gone."""
        if self._count:
            self._empty.clear()
            await self._empty.wait()

    def __len__(self) -> int:
        return self._count

    def admit(self, viewer: Socket, user_id: str) -> CloseCode | None:
        """Add a new socket, or return the code to close it with.

        If the user has too many sockets, the one that has been hidden longest is closed instead.
        """
        if self._count >= self._max_in_all or self.room.is_full:
            return CloseCode.OVERLOAD
        if len(self._by_user.get(user_id, ())) >= self._max_per_user:
            stalest = self._hidden_longest(user_id)
            if stalest is None:
                return CloseCode.TOO_MANY
            # At once, not when it is gone: a peer that never closes must not let them pile up.
            self.dismiss(stalest, user_id)
            stalest.close(CloseCode.TAKEN_OVER, "another page of the user needs the place")
        self._by_user.setdefault(user_id, set()).add(viewer)
        self._count += 1
        self.room.taken += 1
        self._find_by(viewer.identity, viewer)
        return None

    def dismiss(self, viewer: Socket, user_id: str) -> None:
        """Remove a socket; nothing happens if it is not there."""
        theirs = self._by_user.get(user_id)
        if theirs is not None and viewer in theirs:
            theirs.discard(viewer)
            self._count -= 1
            self.room.taken -= 1
            self._find_no_more_by(viewer.identity, viewer)
            if not theirs:
                del self._by_user[user_id]
            if not self._count:
                self._empty.set()

    def renewed(self, viewer: Socket, before: Identity | None) -> None:
        """Note that an admitted socket has another token than before."""
        self._find_no_more_by(before, viewer)
        self._find_by(viewer.identity, viewer)

    def close_all(self, code: CloseCode, reason: str) -> None:
        """Close every socket."""
        for viewer in self._all():
            viewer.close(code, reason)

    def close_of(self, user_id: str, code: CloseCode, reason: str) -> None:
        """Close every socket of this user."""
        for viewer in self._all():
            if viewer.is_of(user_id):
                viewer.close(code, reason)

    def close_if(
        self,
        revoked: Iterable[str],
        is_refused: Callable[[Identity], bool],
        code: CloseCode,
        reason: str,
    ) -> None:
        """Close every socket whose token is refused because of these rows of `revocations`."""
        found = {viewer for row_id in revoked for viewer in self._by_row.get(row_id, ())}
        for viewer in found:
            identity = viewer.identity
            if identity is not None and is_refused(identity):
                viewer.close(code, reason)

    def cut_all(self) -> None:
        """Close every connection at once."""
        for viewer in self._all():
            viewer.cut()

    def push_all(self, text: str) -> None:
        """Push a text to every socket."""
        for viewer in self._all():
            viewer.push(text)

    def push_to(self, user_id: str, text: str) -> None:
        """Push a text to every socket of a user."""
        for viewer in list(self._by_user.get(user_id, ())):
            viewer.push(text)

    def _hidden_longest(self, user_id: str) -> Socket | None:
        hidden = {
            viewer: viewer.hidden_since_us
            for viewer in self._by_user.get(user_id, ())
            if viewer.hidden_since_us is not None
        }
        return min(hidden, key=hidden.__getitem__, default=None)

    def _all(self) -> list[Socket]:
        return [viewer for viewers in self._by_user.values() for viewer in viewers]

    def _find_by(self, identity: Identity | None, viewer: Socket) -> None:
        if identity is not None:
            for row_id in row_ids(identity):
                self._by_row.setdefault(row_id, set()).add(viewer)

    def _find_no_more_by(self, identity: Identity | None, viewer: Socket) -> None:
        if identity is not None:
            for row_id in row_ids(identity):
                found = self._by_row.get(row_id, set())
                found.discard(viewer)
                if not found:
                    self._by_row.pop(row_id, None)

    def announce(self, batch: Iterable[TrackedSession]) -> None:
        """Send the viewers of these sessions what was booked."""
        for tracked in batch:
            changed, tracked.state_changed = tracked.state_changed, False
            tick = state = None
            for viewer in tracked.viewers:
                if viewer.updates == "tick":
                    tick = tick or count_text("tick", tracked)
                    viewer.push_count(tick)
                elif changed and viewer.updates == "change":
                    state = state or count_text("state", tracked)
                    viewer.push_count(state)
            self._send_target_reached(tracked)

    def retarget(self, tracked: TrackedSession, target_minutes: float) -> None:
        """Set another target, which the session may have reached already."""
        tracked.target_minutes = target_minutes
        if not tracked.ended:
            self._send_target_reached(tracked)

    @staticmethod
    def _send_target_reached(tracked: TrackedSession) -> None:
        if tracked.reaches_target():
            tell(tracked, TargetReached(**counts(tracked)).text())

    @staticmethod
    def ended(tracked: Tracked, text: str, *, but: Collection[Viewer] = ()) -> None:
        """Release every viewer, and send the end to all but the viewers in `but`."""
        viewers, tracked.viewers = tracked.viewers, set()
        for viewer in viewers:
            viewer.released(tracked, ended=True)
            if viewer not in but:
                viewer.push(text)

    @staticmethod
    def lost(tracked: Tracked, code: CloseCode, reason: str, text: str | None = None) -> None:
        """Release every viewer and close its connection, after a last text."""
        viewers, tracked.viewers = tracked.viewers, set()
        for viewer in viewers:
            viewer.released(tracked, ended=True)
            if text is not None:
                viewer.push(text)
            viewer.close(code, reason)


def tell(tracked: Tracked, text: str, *, but: Viewer | None = None) -> None:
    """Push a text to the viewers of an item, or to all but one."""
    for viewer in tracked.viewers:
        if viewer is not but:
            viewer.push(text)


def counts(tracked: TrackedSession) -> dict[str, Any]:
    """Return the counters of a session as fields of a message."""
    return {
        "session_id": str(tracked.tracked_id),
        "elapsed_seconds": tracked.elapsed,
        "active_seconds": tracked.active,
        "idle_seconds": tracked.idle,
        "tab_switches": tracked.tab_switches,
    }


def status_text(
    type_: StatusMessage,
    tracked: TrackedSession,
    clock: Clock,
    id_: MessageId | None = None,
) -> str:
    """Return the text of the message `paused` or `resumed`."""
    now_us = clock.now_us()
    fields = {"id": id_, **counts(tracked), "server_time": clock.wall(now_us)}
    if type_ == "paused":
        return Paused(**fields).text()
    return Resumed(**fields, next_second_in_ms=tracked.next_second_in_ms(now_us)).text()


def count_text(type_: Literal["tick", "state"], tracked: TrackedSession) -> str:
    """Return the text of the message `tick` or `state`."""
    return count_message(
        type_,
        session_id=str(tracked.tracked_id),
        active_seconds=tracked.active,
        idle_seconds=tracked.idle,
        tab_switches=tracked.tab_switches,
        idle=tracked.idle_now,
        focus_score=score_points(
            tracked.elapsed,
            tracked.active,
            tracked.idle,
            tracked.tab_switches,
            tracked.target_minutes,
        ),
    )
