"""Read a peer in pieces and within budgets, so that it holds up no other connection.

Invariants:

- A peer that sends much waits in its own buffers: it is parsed in pieces of `PIECE_BYTES`, and
  what peers send beyond `OWN_AT_ONCE` and `OWN_BYTES_PER_S` each is taken from one budget
  that all share. So the work that many connections make does not grow with what they send;
- A peer that has to wait costs nothing in the meantime: nothing is read of it, and nothing that it
  has sent is lost. It waits for the common budget, or for its own where that comes first;
- Nothing is read of a peer whose bytes still wait, so no more than one reading is held.
"""

import asyncio
from abc import abstractmethod

from realtime.sockets.token_bucket import TokenBucket

OWN_AT_ONCE, OWN_BYTES_PER_S = 4 * 1024, 1024
"""What a peer may send without a share of what is common: 160 signs of activity, and 40 a
second after that."""
SHARED_AT_ONCE, SHARED_BYTES_PER_S = 64 * 1024, 512 * 1024
PIECE_BYTES = 1024
PIECES_AT_ONCE = 8
"""What is parsed of one peer before all others have their turn."""
BYTE_S = 1 / OWN_BYTES_PER_S
AHEAD_S = OWN_AT_ONCE / OWN_BYTES_PER_S


def shared_reading(now_s: float) -> TokenBucket:
    """Return what the connections that send much have in common, in bytes."""
    return TokenBucket(SHARED_AT_ONCE, SHARED_BYTES_PER_S, now_s)


class PacedReader(asyncio.Protocol):
    """A protocol whose bytes come in pieces; a subclass sets `_transport` and takes them."""

    _transport: asyncio.Transport | None

    def __init__(self, shared: TokenBucket | None) -> None:
        """`shared` is what this connection has in common with others (`shared_reading`)."""
        self._loop = asyncio.get_running_loop()
        self._transport = None
        self._paid_s = now_s = self._loop.time()
        """Until when the peer has used its own budget (GCRA): `AHEAD_S` from now at most."""
        self._shared = shared or shared_reading(now_s)
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
        """Parse what was read, or hold it until its turn."""
        if self._deaf:
            return
        size = len(data)
        if self._turn is None and size <= PIECE_BYTES:
            # As `_take_piece`, without the call: nearly everything comes this way.
            now_s, paid_s = self._loop.time(), self._paid_s
            self._paid_s = paid_s = (paid_s if paid_s > now_s else now_s) + size * BYTE_S
            self._parse(data, now_s)
            if paid_s > now_s + AHEAD_S and (wait_s := self._to_wait_s(now_s)) > 0:
                self._wait(wait_s)
        else:
            self._held += data
            if self._turn is None:
                self._go_on()

    def _take_piece(self, data: bytes) -> float:
        """Return in how many seconds the next one may be taken."""
        now_s = self._loop.time()
        self._paid_s = max(self._paid_s, now_s) + len(data) * BYTE_S
        self._parse(data, now_s)
        return self._to_wait_s(now_s)

    def _to_wait_s(self, now_s: float) -> float:
        """Pay what is beyond the peer's own budget; how long that takes."""
        over_s = self._paid_s - now_s - AHEAD_S
        if over_s <= 0:
            return 0.0
        over = over_s * OWN_BYTES_PER_S
        wait_s = self._shared.owe(now_s, over)
        if wait_s > over_s:
            self._shared.give_back(over)
            return over_s
        self._paid_s -= over_s
        return wait_s

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
        for _ in range(PIECES_AT_ONCE):
            if self._deaf:
                held.clear()
            if not held or self._transport is None:
                break
            piece = bytes(held[:PIECE_BYTES])
            del held[:PIECE_BYTES]
            if (wait_s := self._take_piece(piece)) > 0 and not self._deaf:
                self._wait(wait_s)
                return
        if held and not self._deaf:
            self._wait(0)
        else:
            self._read_on()

    def _read_on(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _stop_reading(self) -> None:
        """Discard what is held, because the connection is gone."""
        self._held.clear()
        if self._turn is not None:
            self._turn.cancel()
