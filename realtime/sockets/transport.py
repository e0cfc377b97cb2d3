"""Serve an open WebSocket over a transport of asyncio: frames, pings, slow readers, closing.

Invariants:

- Nothing waits. Received frames are handled, and pushed texts are written, within the call; a
  connection has no task and no queue.
- The listener is told once that the peer is gone: when it closes, when its connection ends or is
  reset, or when it leaves a ping unanswered. A proxy goes on acknowledging for a dead peer, so TCP
  alone does not tell.
- The output for a slow reader is bounded. Of counts only the newest waits. A peer that reads
  nothing for `SLOW_AFTER_S`, or lets `OUTBOX_BYTES` pile up, is cut off.
- A peer that sends much waits in its own buffers (`realtime.sockets.receive_limits`).
- Each frame is within a limit before it is parsed any further. Short texts above `TEXTS_PER_S` that
  say `activity` are skipped, since a second is as active without them. All other frames above that
  rate, control frames and fragments may be `FRAMES_AT_ONCE`, then `FRAMES_PER_S`; beyond that the
  connection is closed.
- Of more than `PINGS` that were read together only the newest is answered (RFC 6455, 5.5.3).
- Everything after a message that is too large, or another breach of RFC 6455, is discarded.
"""

import asyncio
import contextlib
import logging
import socket
from typing import Any, Protocol, cast

import structlog
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode, apply_mask  # type: ignore[attr-defined]
from websockets.protocol import SEND_EOF, Side, State

from realtime.engine.metrics import LOST, ClosedBy, SocketMetrics
from realtime.protocol.close_codes import CloseCode
from realtime.sockets.frames import Frames, framed_size, text_frame
from realtime.sockets.receive_limits import PacedReader
from realtime.sockets.token_bucket import TokenBucket

MAX_MESSAGE_BYTES = 16 * 1024
PING_EVERY_S = 10.0
PONG_WITHIN_S = 18.0
"""How long a ping may stay unanswered: a dead peer is noticed 18 to 28 s after its last sign."""
USER_TIMEOUT_MS = 30_000
KERNEL_BYTES = 64 * 1024
"""The receive buffer of the system, which takes megabytes by default."""
OUTBOX_BYTES = 64 * 1024
HIGH_WATER_BYTES = 16 * 1024
SLOW_AFTER_S = 20.0
CLOSE_GRACE_S = 2.0
"""How long a peer has to answer our close frame before the connection is cut. Its data must be read
in the meantime, or its system may discard the close frame."""
TEXTS_AT_ONCE, TEXTS_PER_S = 200, 100
FRAMES_AT_ONCE, FRAMES_PER_S = 100, 20
PINGS = 16
ACTIVITY = b'"activity"'

FINAL_TEXT, FINAL_PONG = 0x81, 0x8A
SHORT, UNMASKED = 6 + 125, 0x80 - 6
"""The size of a masked frame with a one-byte length is its second byte less `UNMASKED`."""
PING = Frame(Opcode.PING, b"").serialize(mask=False)

log = structlog.get_logger(__name__)
_silent = logging.getLogger("focusup.wire")
_silent.disabled = True


class Listener(Protocol):
    """The owner of a connection. No method may block."""

    def received(self, text: str) -> None:
        """Handle a text of the peer."""
        ...

    def gone(self) -> None:
        """Note, once, that the peer is gone; texts that are pushed later are lost."""
        ...


class SocketTransport(PacedReader):
    """One connection, after its handshake; `connection_id` names it in the logs."""

    def __init__(
        self, connection_id: str, figures: SocketMetrics, shared: TokenBucket | None = None
    ) -> None:
        """Create it; `shared` is the read budget that connections share which send much."""
        super().__init__(shared)
        self.connection_id = connection_id
        self._figures = figures
        self.kept: Any = None
        """An object that must live as long as the connection."""
        self._framing = Frames(Side.SERVER, max_size=MAX_MESSAGE_BYTES, logger=_silent)
        self._listener: Listener | None = None
        self._unparsed = 0
        """Bytes within the parser, 0 between two frames. (It stays above 0 if a client encodes
        lengths longer than needed; then each frame goes through the parser.)"""
        self._parts: bytearray | None = None
        self._pings: list[bytes] = []
        """The payloads of unanswered pings."""
        self._count: str | None = None
        self._pinged_s: float | None = None
        self._texts = TEXTS_AT_ONCE
        self._texts_s = self._paid_s
        self._frames = TokenBucket(FRAMES_AT_ONCE, FRAMES_PER_S, self._paid_s)
        self._beat: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._full = False
        """Whether the write buffer is above its high-water mark."""
        self._ending = False

    def listen(self, listener: Listener) -> None:
        """Set the listener, before anything can arrive."""
        self._listener = listener

    @property
    def open(self) -> bool:
        """Whether texts can still be sent."""
        return self._transport is not None and self._framing.state is State.OPEN

    # --- out --------------------------------------------------------------------------

    def push(self, text: str) -> None:
        """Send a text, in order. Never raises."""
        if not self.open:
            return
        if self._count is not None:  # a count that was made before this text is sent before it
            count, self._count = self._count, None
            self._write(text_frame(count))
        self._write(text_frame(text))

    def push_count(self, text: str) -> None:
        """Send a count, unless a newer one replaces it before it could be sent."""
        if self._full:
            self._count = text
        elif self.open:
            self._write(text_frame(text))

    def close(self, code: CloseCode, reason: str) -> None:
        """Send the waiting count, then a close frame."""
        if not self.open:
            return
        if self._count is not None:
            self._write(text_frame(self._count))
        with contextlib.suppress(InvalidState):
            self._framing.send_close(int(code), reason)
        self._flush()
        self._end()

    def cut(self) -> None:
        """Close the connection at once, without a close frame."""
        if self._transport is not None:
            self._transport.abort()
        self._tell_gone()

    # --- asyncio.Protocol ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read and to ping."""
        # No check of the type: uvloop's transports do not derive from asyncio's.
        self._transport = stream = cast(asyncio.Transport, transport)
        stream.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        connection = stream.get_extra_info("socket")
        if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
        self._beat = self._loop.call_later(PING_EVERY_S, self._ping)

    def _parse(self, data: bytes, now_s: float) -> None:
        # The fast path of nearly all frames, short and complete: the parser costs four times more.
        at, size = 0, len(data)
        while size - at >= 6 and self._unparsed == 0 and self._parts is None and not self._ending:
            end = at + data[at + 1] - UNMASKED
            if end > size or not at + 6 <= end <= at + SHORT:
                break
            if data[at] == FINAL_TEXT:
                self._texts -= 1
                text = apply_mask(data[at + 6 : end], data[at + 2 : at + 6])
                if self._texts >= 0 or self._is_within(text, now_s):
                    self._receive(text)
            elif data[at] == FINAL_PONG:
                if self._frames.take(now_s):
                    self._pinged_s = None
                else:
                    self._flooded()
            else:
                break
            at = end
        if at < size and not self._deaf:
            self._take_all(data[at:] if at else data, now_s)

    def _is_within(self, text: Any, now_s: float) -> bool:
        """Return whether a text is handled although the burst is used up."""
        gained = int((now_s - self._texts_s) * TEXTS_PER_S)
        if gained > 0:
            self._texts = min(TEXTS_AT_ONCE, gained) - 1
            self._texts_s = max(
                self._texts_s + gained / TEXTS_PER_S, now_s - TEXTS_AT_ONCE / TEXTS_PER_S
            )
            return True
        self._texts = 0
        if len(text) <= SHORT and ACTIVITY in bytes(text):
            return False
        if self._frames.take(now_s):
            return True
        self._flooded()
        return False

    def _take_all(self, data: bytes, now_s: float) -> None:
        framing = self._framing
        framing.receive_data(data)
        self._unparsed += len(data)
        if framing.writes:
            self._flush()
        for frame in framing.events_received():
            if isinstance(frame, Frame):
                self._unparsed -= framed_size(len(frame.data))
                if not self._handle(frame, now_s):
                    return
        self._answer_pings()
        if framing.state is not State.OPEN and not self._ending:
            self._end()
            self._tell_gone()

    def eof_received(self) -> bool:
        """End the connection after the peer has ended its side."""
        self._framing.receive_eof()
        self._flush()
        self._end()
        self._tell_gone()
        return False

    def pause_writing(self) -> None:
        """Give a slow reader some time."""
        self._full = True
        if not self._ending:
            self._deadline = self._loop.call_later(SLOW_AFTER_S, self.cut)

    def resume_writing(self) -> None:
        """Send the count that has waited for the slow reader."""
        self._full = False
        if not self._ending and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._count is not None and self.open:
            count, self._count = self._count, None
            self._write(text_frame(count))

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell the listener, and stop all timers."""
        self._transport = None
        self._stop_reading()
        for timer in (self._beat, self._deadline):
            if timer is not None:
                timer.cancel()
        self._tell_gone()
        self._note_end()
        self.kept = None

    # --- in ---------------------------------------------------------------------------

    def _handle(self, frame: Frame, now_s: float) -> bool:
        """Handle a frame; return False if it was beyond its limit."""
        opcode = frame.opcode
        if opcode is Opcode.TEXT and frame.fin and not self._ending:
            self._texts -= 1
            self._answer_pings()
            if self._texts >= 0 or self._is_within(frame.data, now_s):
                self._receive(frame.data)
            return not self._deaf
        if opcode is not Opcode.CLOSE and not self._frames.take(now_s):
            self._flooded()
            return False
        if opcode is Opcode.TEXT and not frame.fin:
            self._parts = bytearray(frame.data)
        elif opcode is Opcode.CONT and self._parts is not None:
            self._parts += frame.data
            if frame.fin:
                whole, self._parts = self._parts, None
                self._answer_pings()
                self._receive(whole)
        elif opcode is Opcode.BINARY:
            self._fail(CloseCode.NOT_TEXT, "text frames only")
        elif opcode is Opcode.PING:
            self._pings.append(bytes(frame.data))
        elif opcode is Opcode.PONG:
            self._pinged_s = None
        return True

    def _answer_pings(self) -> None:
        if not self._pings:
            return
        answered, self._pings = self._pings, []
        for data in answered if len(answered) <= PINGS else answered[-1:]:
            if self.open:
                self._write(Frame(Opcode.PONG, data).serialize(mask=False))

    def _flooded(self) -> None:
        """Close a peer that sends too many frames, and discard the rest unparsed."""
        self._fail(CloseCode.TOO_MANY, "too many frames")
        self._deaf = True

    def _receive(self, data: Any) -> None:
        # The close frame of the peer may have been parsed already; earlier texts still count.
        if self._listener is None or self._ending:
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._fail(CloseCode.NOT_UTF8, "not UTF-8")
            return
        try:
            self._listener.received(text)
        except Exception:
            log.exception("socket_failed", connection=self.connection_id)
            self._fail(CloseCode.OUR_BUG, "internal error")

    # --- helpers ----------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        if self._full and (waiting := transport.get_write_buffer_size()) > OUTBOX_BYTES:
            if waiting > 2 * OUTBOX_BYTES:
                return
            # Later, because the caller iterates over the viewers, which closing would change.
            self._loop.call_soon(self.close, CloseCode.TOO_MANY, "the client does not read")
        transport.write(data)

    def _flush(self) -> None:
        """Write the frames that the parser asks for, or end the connection."""
        transport = self._transport
        for data in self._framing.data_to_send():
            if transport is None or transport.is_closing():
                break
            if data is not SEND_EOF and data:
                self._write(data)
            elif transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()

    def _ping(self) -> None:
        now_s, wait_s = self._loop.time(), PING_EVERY_S
        if self._pinged_s is not None:
            left_s = self._pinged_s + PONG_WITHIN_S - now_s
            if left_s <= 0:
                self.cut()
                return
            wait_s = min(wait_s, left_s)
        elif self.open:
            self._pinged_s = now_s
            self._write(PING)
        self._beat = self._loop.call_later(wait_s, self._ping)

    def _fail(self, code: CloseCode, reason: str) -> None:
        self.close(code, reason)
        self._tell_gone()

    def _end(self) -> None:
        """Cut the connection soon, after the close frame was sent."""
        if self._ending or self._transport is None:
            return
        self._ending = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(CLOSE_GRACE_S, self.cut)

    def _note_end(self) -> None:
        framing = self._framing
        received, sent = framing.close_rcvd, framing.close_sent
        by: ClosedBy = "nobody"
        code = LOST
        if received is not None and framing.close_rcvd_then_sent is not False:
            by, code = "client", int(received.code)
        elif sent is not None:
            by, code = "server", int(sent.code)
        self._figures.closed(by, code)
        log.debug("socket_closed", connection=self.connection_id, by=by, code=code)

    def _tell_gone(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.gone()
