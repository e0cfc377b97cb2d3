"""Reading of a peer without being held up by it: in pieces, and within budgets.

Invariants:

- a peer that sends much waits in its own buffers: it is parsed in pieces of `PIECE_BYTES`, at
  most `READ_BYTES` in each `READ_WINDOW_S`, and what peers send beyond `OWN_BYTES` each is
  taken from one budget that all share;
- nothing is read of a peer whose bytes still wait, so that no more than one reading is held.
"""

import asyncio
from abc import abstractmethod

from realtime.sockets.token_bucket import TokenBucket

READ_BYTES = 32 * 1024
READ_WINDOW_S = 0.05
OWN_BYTES = 4 * 1024
"""What a peer may send in such a window without a share of what is common: as much as a
hundred signs of activity in it."""
SHARED_BYTES_PER_S = 2 * 1024 * 1024
PIECE_BYTES = 1024
PIECES_AT_ONCE = 8
"""What is parsed of one peer before all others have their turn."""


def shared_reading(now_s: float) -> TokenBucket:
    """Return what the connections that send much have in common, in bytes."""
    return TokenBucket(2 * SHARED_BYTES_PER_S * READ_WINDOW_S, SHARED_BYTES_PER_S, now_s)


class PacedReader(asyncio.Protocol):
    """A protocol whose bytes come in pieces; a subclass sets `_transport` and takes them."""

    _transport: asyncio.Transport | None

    def __init__(self, shared: TokenBucket | None) -> None:
        """`shared` is what this connection has in common with others (`shared_reading`)."""
        self._loop = asyncio.get_running_loop()
        self._transport = None
        self._window_s = self._loop.time()
        self._window_bytes = 0
        self._shared = shared or shared_reading(self._window_s)
        self._held = bytearray()
        """What was read and waits for its turn."""
        self._turn: asyncio.Handle | None = None
        """When it goes on; nothing is read until then."""
        self._deaf = False
        """Whether nothing of what the peer sends is parsed any more."""

    @abstractmethod
    def _parse(self, data: bytes, now_s: float) -> None:
        """Take a piece, at most `PIECE_BYTES`."""

    def data_received(self, data: bytes) -> None:
        size = len(data)
        if self._turn is None and size <= PIECE_BYTES:
            # As `_take_piece`, without the call: nearly everything comes this way.
            now_s = self._loop.time()
            if now_s - self._window_s >= READ_WINDOW_S:
                self._window_s, self._window_bytes = now_s, size
            else:
                self._window_bytes += size
            if not self._deaf:
                self._parse(data, now_s)
            if self._window_bytes > OWN_BYTES and not self._may_go_on():
                self._wait(READ_WINDOW_S)
        else:
            self._held += data
            if self._turn is None:
                self._go_on()

    def _take_piece(self, data: bytes) -> None:
        now_s = self._loop.time()
        if now_s - self._window_s >= READ_WINDOW_S:
            self._window_s, self._window_bytes = now_s, 0
        self._window_bytes += len(data)
        if not self._deaf:
            self._parse(data, now_s)

    def _may_go_on(self) -> bool:
        """Whether more of this peer may be taken within this window."""
        if self._window_bytes <= OWN_BYTES:
            return True
        now_s = self._loop.time()
        return self._window_bytes <= READ_BYTES and self._shared.take(now_s, PIECE_BYTES)

    def _wait(self, for_s: float) -> None:
        """Read nothing of the peer, and go on with what is held later."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._turn is None:
            transport.pause_reading()
        later = self._loop.call_later
        self._turn = later(for_s, self._go_on) if for_s else self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        held = self._held
        if self._loop.time() - self._window_s >= READ_WINDOW_S:
            self._window_bytes = 0
        for _ in range(PIECES_AT_ONCE):
            if self._deaf:
                held.clear()
            if not held or self._transport is None:
                break
            if not self._may_go_on():
                self._wait(READ_WINDOW_S)
                return
            self._take_piece(bytes(held[:PIECE_BYTES]))
            del held[:PIECE_BYTES]
        if held:
            self._wait(0)
        elif self._window_bytes > READ_BYTES:
            self._wait(READ_WINDOW_S)
        else:
            self._read_on()

    def _read_on(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _stop_reading(self) -> None:
        """The connection is gone."""
        self._held.clear()
        if self._turn is not None:
            self._turn.cancel()
