"""When a request that has arrived may run, so that nobody's requests hold up those of others.

Invariants:

- a connection that asks now and then waits for nobody, however much others ask: what
  connections ask beyond `AT_ONCE` and `PER_S` each runs at `ALL_PER_S` together, and is
  refused where it would wait for more than `ASKED_WAITS_S`. Where an address asks more than
  `ASKED_AT_ONCE` and `ASKED_PER_S`, each request there counts as `IN_A_CROWD`;
- connections that an address opens beyond `OPENED_AT_ONCE` and `OPENED_PER_S` begin with
  nothing of that, so that opening one for each request gains nothing;
- handshakes of an address beyond `HANDSHAKES_AT_ONCE` wait their turn at the number that is
  set, for `HANDSHAKE_WAITS_S` at most, and are refused beyond that. Those beyond
  `HANDSHAKES_FREE` run at `HANDSHAKES_PER_S` of all addresses together, since a hundred
  that run at once hold up everybody for as long as they take;
- memory is bounded: what was said of an address is forgotten when it has not come for long.

Behind a trusted proxy all of it is by the address of the client: the connection is the
proxy's.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from realtime.sockets.token_bucket import TokenBucket
from routes.http.client_address import network_of

AT_ONCE, PER_S = 100, 20
ASKED_AT_ONCE, ASKED_PER_S, IN_A_CROWD = 500, 50, 20
ALL_PER_S = 300
"""About a third of a core."""
ASKED_WAITS_S = 5.0
OPENED_AT_ONCE, OPENED_PER_S = 500, 50
HANDSHAKES_AT_ONCE = 500
HANDSHAKES_FREE, HANDSHAKES_FREE_PER_S = 20, 5
HANDSHAKES_PER_S = 250
"""About a third of a core."""
HANDSHAKE_WAITS_S = 10.0
MAX_ADDRESSES = 20_000

ClientOf = Callable[[str, str], str]
"""The address of a client, by that of the connection and by X-Forwarded-For."""


@dataclass(slots=True)
class _Address:
    opened: TokenBucket
    asked: TokenBucket
    handshakes: TokenBucket
    free: TokenBucket
    """Handshakes that wait for none of others."""


class Admission:
    """Of all connections of a process. The time is an argument, in seconds."""

    def __init__(self, client_of: ClientOf, *, handshakes_per_minute: float) -> None:
        self._client_of = client_of
        self._handshakes_per_s = handshakes_per_minute / 60
        self._addresses: dict[str, _Address] = {}
        self._all = TokenBucket(ALL_PER_S / 10, ALL_PER_S, 0.0)
        self._all_handshakes = TokenBucket(HANDSHAKES_FREE, HANDSHAKES_PER_S, 0.0)

    def opened(self, peer: str, now_s: float) -> TokenBucket:
        """A connection was opened: what it may ask before it waits."""
        own = TokenBucket(AT_ONCE, PER_S, now_s)
        if not self._of(peer, now_s).opened.take(now_s):
            own.take(now_s, AT_ONCE)
        return own

    def wait_s(
        self,
        peer: str,
        headers: Iterable[tuple[bytes, bytes]],
        own: TokenBucket | None,
        now_s: float,
        *,
        is_handshake: bool,
    ) -> float | None:
        """Return how long a request waits before it runs; None if it is refused.

        `own` is the connection's allowance; None where it is a proxy's.
        """
        forwarded = b",".join(v for name, v in headers if name == b"x-forwarded-for")
        client = self._client_of(peer, forwarded.decode("latin1")) or peer
        if is_handshake:
            return self._handshake_wait_s(self._of(client, now_s), now_s)
        is_few = self._of(client, now_s).asked.take(now_s)
        cost = 1 if is_few else IN_A_CROWD
        if is_few if own is None else own.take(now_s, cost):
            return 0.0
        return _turn(self._all, now_s, ASKED_WAITS_S)

    def _handshake_wait_s(self, client: _Address, now_s: float) -> float | None:
        wait_s = _turn(client.handshakes, now_s, HANDSHAKE_WAITS_S)
        if wait_s is None or client.free.take(now_s):
            return wait_s
        turn_s = _turn(self._all_handshakes, now_s, HANDSHAKE_WAITS_S)
        return None if turn_s is None else max(wait_s, turn_s)

    def _of(self, address: str, now_s: float) -> _Address:
        name = network_of(address)
        found = self._addresses.pop(name, None)
        if found is None:
            found = _Address(
                TokenBucket(OPENED_AT_ONCE, OPENED_PER_S, now_s),
                TokenBucket(ASKED_AT_ONCE, ASKED_PER_S, now_s),
                TokenBucket(HANDSHAKES_AT_ONCE, self._handshakes_per_s, now_s),
                TokenBucket(HANDSHAKES_FREE, HANDSHAKES_FREE_PER_S, now_s),
            )
            if len(self._addresses) >= MAX_ADDRESSES:
                del self._addresses[next(iter(self._addresses))]
        self._addresses[name] = found  # as the last
        return found


def _turn(allowance: TokenBucket, now_s: float, most_s: float) -> float | None:
    """Return how long until it is one's turn; None, and no turn, where that is too long."""
    wait_s = allowance.owe(now_s)
    if wait_s <= most_s:
        return wait_s
    allowance.give_back()
    return None
