"""Clients that mean harm: floods, broken frames, readers that do not read, too many sockets.

Each is cut off by the rules, costs next to no memory, and holds up nobody beside it.
"""

import asyncio
import contextlib
import json
import math
import os
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from benchmarks.load import ACTIVITY
from tests.support.bystanders import Seen, watched
from tests.support.figures import Figures
from tests.support.live_server import LiveServer, running_server
from tests.support.nginx import nginx
from tests.support.peer_watch import (
    Neighbours,
    is_booked,
    memory_mb,
    neighbours,
    process_of,
    released,
    sessions_of,
)
from tests.support.raw_socket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    RawSocket,
    frame,
    message,
    opened,
)
from tests.support.socket_client import SocketClient, connected, new_session, stored

WARM_UP_MESSAGES, FLOOD_MESSAGES = 20_000, 200_000
AT_ONCE = 1_000
GROWTH_MB = 20.0
TICK_P99_S = 1.2
SLOW_USERS, SLOW_PER_USER = 10, 10
LET_GO_WITHIN_S = 30.0
LINGER_S = 3.0
"""How long a connection that is refused may stay, for its peer to read why."""


class Growth:
    """The largest memory seen, above where it began."""

    def __init__(self, server: LiveServer) -> None:
        self._server = server
        self._began_mb = memory_mb(server)
        self.peak_mb = 0.0

    async def watch(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(0.1)

    def look(self) -> None:
        self.peak_mb = max(self.peak_mb, memory_mb(self._server) - self._began_mb)


@asynccontextmanager
async def growth(server: LiveServer) -> AsyncIterator[Growth]:
    found = Growth(server)
    watching = asyncio.create_task(found.watch())
    try:
        yield found
    finally:
        watching.cancel()
        found.look()


def check_neighbours(beside: Neighbours) -> None:
    assert beside.p99_s < TICK_P99_S, sorted(beside.gaps_s)[-10:]


# --- floods -------------------------------------------------------------------------------


async def flood(server: LiveServer, user: str, count: int) -> None:
    """So many signs of activity as fast as they are taken; the session stays exact."""
    session = new_session(server, user)
    socket = await opened(server, user)
    sent_s = time.monotonic()
    await socket.send(message("start", sessionId=session, updates="none"))
    await socket.next_message("started")
    started_s = time.monotonic()
    for _ in range(count // AT_ONCE):
        await socket.send(ACTIVITY * AT_ONCE)
    stopping_s = time.monotonic()
    await socket.send(message("stop"))
    ended = (await socket.next_message("stopped", within_s=60))["session"]
    stopped_s = time.monotonic()
    socket.end()
    assert is_booked(ended["elapsedSeconds"], stopping_s - started_s, stopped_s - sent_s)
    assert (ended["idleSeconds"], ended["awaySeconds"]) == (0, 0)


async def test_a_flood_of_activity(tmp_path: Path, user: str, figures: Figures) -> None:
    with running_server(tmp_path) as server:
        async with neighbours(server, "neighbour") as beside:
            await flood(server, user, WARM_UP_MESSAGES)
            before = process_of(server).cpu_times()
            began_s = time.monotonic()
            async with growth(server) as above:
                await flood(server, user, FLOOD_MESSAGES)
            took_s = time.monotonic() - began_s
            after = process_of(server).cpu_times()
            await asyncio.sleep(1.5)  # so that a tick held up at the end is seen
        cpu_s = after.user + after.system - before.user - before.system
        figures(
            cpu_us_per_message=cpu_s / FLOOD_MESSAGES * 1e6,
            took_s=took_s,
            above_mb=above.peak_mb,
            tick_p99_s=beside.p99_s,
        )
        assert above.peak_mb < GROWTH_MB
        check_neighbours(beside)


@pytest.mark.parametrize("type_", ["ping", "tabSwitch", "pause", "resume", "start"])
async def test_any_other_flood_ends_with_4429(
    live_server: LiveServer, user: str, type_: str
) -> None:
    session = new_session(live_server, user)
    socket = await opened(live_server, user)
    await socket.send(message("start", sessionId=session, updates="none"))
    await socket.next_message("started")
    await socket.send(message(type_, sessionId=session) * 300)
    assert await socket.closed() == 4429
    socket.end()
    found, _ = await released(live_server, user, session, within_s=2)
    assert found["status"] in (("paused",) if type_ == "pause" else ("active",))
    assert found["tabSwitches"] <= 200


# --- broken frames ------------------------------------------------------------------------


def deflated(text: bytes) -> bytes:
    """As permessage-deflate (RFC 7692) has it."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


SWITCH = b'{"type":"tabSwitch"}'
BROKEN: dict[str, tuple[bytes, int]] = {
    "compressed": (frame(deflated(SWITCH), rsv=4), 1002),
    "inflates to 16 MB": (frame(deflated(b" " * (16 << 20)), rsv=4)[:20_000], 1002),
    "another reserved bit": (frame(SWITCH, rsv=1), 1002),
    "unmasked": (frame(SWITCH, masked=False), 1002),
    "reserved opcode": (frame(SWITCH, 0x3), 1002),
    "reserved control opcode": (frame(b"", 0xB), 1002),
    "continues nothing": (frame(SWITCH, CONTINUATION), 1002),
    "begins anew within": (frame(SWITCH, fin=False) + frame(SWITCH), 1002),
    "fragmented ping": (frame(b"", PING, fin=False), 1002),
    "ping of 126 bytes": (frame(b"x" * 126, PING), 1002),
    "close of 1 byte": (frame(b"\x03", CLOSE), 1002),
    "close with a code that is none": (frame(b"\x03\xed", CLOSE), 1002),
    "binary": (frame(SWITCH, BINARY), 1003),
    "not UTF-8": (frame(b'"\xff\xfe"'), 1007),
    "half a character": (frame(b'"\xe2\x82'), 1007),
    "announces 2^62 bytes": (b"\x81\xff" + (1 << 62).to_bytes(8, "big"), 1009),
    "announces 2^63 bytes": (b"\x81\xff" + (1 << 63).to_bytes(8, "big"), 1009),
    "a byte too many": (frame(b" " * (16 * 1024 + 1)), 1009),
}


@pytest.mark.parametrize("following", [b"", frame(SWITCH)], ids=["alone", "followed"])
@pytest.mark.parametrize("kind", BROKEN)
async def test_a_broken_frame_ends_the_connection(
    live_server: LiveServer, user: str, kind: str, following: bytes
) -> None:
    data, code = BROKEN[kind]
    session = new_session(live_server, user)
    socket = await opened(live_server, user)
    await socket.send(message("start", sessionId=session, updates="none"))
    await socket.next_message("started")
    with contextlib.suppress(ConnectionError):  # what follows it is thrown away
        await socket.send(data + following)
    assert await socket.closed() == code
    socket.end()
    found, _ = await released(live_server, user, session, within_s=2)
    assert found["status"] == "active"
    with live_server.rest(user) as rest:  # whose answer has all that was counted
        ended = rest.put(f"/api/sessions/{session}/end").json()["session"]
    assert ended["tabSwitches"] == 0
    assert "Traceback" not in live_server.log()


async def test_what_was_broken_does_not_linger(live_server: LiveServer, user: str) -> None:
    """Though its peer neither answers the close nor hangs up."""
    sockets = [await opened(live_server, user) for _ in range(len(BROKEN) // 2)]
    for socket, (data, _) in zip(sockets, BROKEN.values(), strict=False):
        await socket.send(data)
    began_s = time.monotonic()
    await asyncio.gather(*(socket.ended() for socket in sockets))
    assert time.monotonic() - began_s < LINGER_S
    for socket in sockets:
        socket.end()


async def test_compression_is_never_negotiated(live_server: LiveServer, user: str) -> None:
    for offer in ("permessage-deflate", "permessage-deflate; client_max_window_bits, x-other"):
        socket = await opened(live_server, user, extensions=offer)
        assert b"extensions" not in socket.head.lower()
        socket.end()


# --- fragments ----------------------------------------------------------------------------


async def keep_sending(socket: RawSocket, data: bytes, times: int) -> int:
    """Until the server ends the connection: how many bytes it took."""
    taken = 0
    with contextlib.suppress(ConnectionError):
        for _ in range(times):
            await socket.send(data)
            taken += len(data)
    return taken


async def test_fragments_after_a_message_too_large(
    live_server: LiveServer, user: str, figures: Figures
) -> None:
    session = new_session(live_server, user)
    socket = await opened(live_server, user)
    await socket.send(message("start", sessionId=session, updates="none"))
    await socket.next_message("started")
    async with growth(live_server) as above:
        await socket.send(frame(b" " * 8_192, TEXT, fin=False))
        part = frame(b" " * 8_192, CONTINUATION, fin=False)
        began_s = time.monotonic()
        sending = asyncio.create_task(keep_sending(socket, part, 20_000))
        assert await socket.closed() == 1009
        found, _ = await released(live_server, user, session, within_s=2)
        taken = await asyncio.wait_for(sending, 10)
        lived_s = time.monotonic() - began_s
    socket.end()
    figures(above_mb=above.peak_mb, sent_mb=taken / 1e6, cut_after_s=lived_s)
    assert lived_s < LINGER_S
    assert above.peak_mb < GROWTH_MB
    assert (found["tabSwitches"], found["status"]) == (0, "active")


async def test_a_message_in_a_hundred_thousand_fragments(
    live_server: LiveServer, user: str, figures: Figures
) -> None:
    """Empty ones, which never make it too large: they are not parsed beyond their allowance."""
    async with connected(live_server, user) as beside:
        await beside.start(new_session(live_server, user))
        await beside.next("tick")
        socket = await opened(live_server, user)
        await socket.send(frame(b'{"type":', TEXT, fin=False))
        async with growth(live_server) as above:
            taken = await keep_sending(socket, frame(b"", CONTINUATION, fin=False) * 1000, 100)
            assert await socket.closed() == 4429
        socket.end()
        ticks = [message_["elapsedSeconds"] for message_ in await beside.silence(0.1)]
    figures(above_mb=above.peak_mb, sent_mb=taken / 1e6)
    assert above.peak_mb < GROWTH_MB
    assert ticks == list(range(2, len(ticks) + 2))


# --- readers that do not read -------------------------------------------------------------


async def slow_readers(server: LiveServer) -> list[RawSocket]:
    """Each tracks a session whose description is long, and will read nothing."""
    sockets = []
    for number in range(SLOW_USERS):
        user = f"slow{number}"
        session = new_session(server, user, notes="x" * 5_000)
        for _ in range(SLOW_PER_USER):
            socket = await opened(server, user, receive_bytes=1024)
            # Asked again, it is answered again, with 6 KB: forty times what is asked.
            socket.nagging = message("start", sessionId=session) + message("ping")
            sockets.append(socket)
    return sockets


async def settled(process: psutil.Process) -> int:
    """Open descriptors, once those of the requests before are gone."""
    found = [process.num_fds()]
    while len(found) < 5 or len(set(found[-5:])) > 1:
        await asyncio.sleep(0.05)
        found.append(process.num_fds())
    return found[-1]


async def nag(sockets: list[RawSocket], let_go: Callable[[], bool]) -> None:
    """Ask, within the limit of messages, and never read, until they all are let go."""
    while not let_go():
        for socket in sockets:
            with contextlib.suppress(ConnectionError):
                socket.send_what_fits(socket.nagging)
        await asyncio.sleep(0.1)


@pytest.mark.timeout(120)
async def test_a_hundred_slow_readers(tmp_path: Path, figures: Figures) -> None:
    with running_server(tmp_path) as server:
        process = process_of(server)
        async with neighbours(server, "neighbour") as beside:
            await flood(server, "warm", WARM_UP_MESSAGES)
            began = await settled(process)
            async with growth(server) as above:
                sockets = await slow_readers(server)
                assert process.num_fds() >= began + len(sockets)
                began_s = time.monotonic()
                async with asyncio.timeout(2 * LET_GO_WITHIN_S):
                    await nag(sockets, lambda: process.num_fds() <= began)
                lived_s = time.monotonic() - began_s
            await asyncio.sleep(1.5)  # so that a tick held up at the end is seen
        for socket in sockets:
            socket.end()
        tracked = [
            session["tracked"]
            for number in range(SLOW_USERS)
            for session in sessions_of(server, f"slow{number}").values()
        ]
        figures(above_mb=above.peak_mb, tick_p99_s=beside.p99_s, descriptors_back_after_s=lived_s)
        assert above.peak_mb < GROWTH_MB
        assert lived_s <= LET_GO_WITHIN_S
        assert tracked == [False] * SLOW_USERS
        check_neighbours(beside)


# --- too many -----------------------------------------------------------------------------


async def test_the_eleventh_socket_of_a_user(live_server: LiveServer, user: str) -> None:
    session = new_session(live_server, user)
    sockets = [await opened(live_server, user) for _ in range(10)]
    await sockets[0].send(message("start", sessionId=session))
    await sockets[0].next_message("started")
    refused = await opened(live_server, user)
    assert await refused.closed() == 4429
    refused.end()
    sockets.pop().reset()  # which makes room for one
    await until_admitted(live_server, user)
    assert stored(live_server, session, user)["tracked"] is True
    for socket in sockets:
        socket.end()


async def until_admitted(server: LiveServer, user: str, within_s: float = 2.0) -> None:
    async with asyncio.timeout(within_s):
        while True:
            socket = await opened(server, user)
            await socket.send(message("ping"))
            found = await socket.next_frame()
            socket.end()
            if found is not None and found[0] == TEXT:
                return
            await asyncio.sleep(0.05)


async def test_more_sockets_than_the_server_takes(tmp_path: Path) -> None:
    with running_server(tmp_path, MAX_SOCKETS="3") as server:
        sockets = [await opened(server, f"user{number}") for number in range(3)]
        refused = await opened(server, "one too many")
        assert await refused.closed() == 1013
        refused.end()
        with server.rest(None) as anyone:  # which is no matter of sockets
            assert anyone.get("/api/health").status_code == 200
        sockets.pop().reset()
        await until_admitted(server, "one too many")
        for socket in sockets:
            socket.end()


@pytest.mark.timeout(120)
async def test_a_socket_that_starts_nothing(
    live_server: LiveServer, user: str, figures: Figures
) -> None:
    """Talking does not help; what has ended is not tracked either."""
    ended = new_session(live_server, user)
    async with (
        connected(live_server, user) as silent,
        connected(live_server, user) as talking,
        connected(live_server, user) as stopped,
        connected(live_server, user) as tracking,
    ):
        began_s = time.monotonic()
        await stopped.start(ended)
        await stopped.ask("stop", "stopped")
        await tracking.start(new_session(live_server, user), updates="none")
        answering = asyncio.create_task(keep_pinging(talking))
        for client in (silent, talking, stopped):
            assert await client.closed(within_s=70) == 4408
            assert time.monotonic() - began_s == pytest.approx(60, abs=1)
        answering.cancel()
        figures(closed_after_s=time.monotonic() - began_s)
        await tracking.ask("ping", "pong")


async def keep_pinging(client: SocketClient) -> None:
    with contextlib.suppress(Exception):
        while True:
            await client.send("ping")
            await asyncio.sleep(5)


# --- the matrix ---------------------------------------------------------------------------

FRAME_KINDS = ("activity", "texts", "long texts", "pings", "pongs", "fragments", "closes",
               "reserved", "unread answers")  # fmt: skip
HTTP_KINDS = ("handshakes", "half handshakes", "refused", "pipelining", "h2c", "heads", "bodies",
              "unread documents")  # fmt: skip
ALL = [
    *(f"{kind} on {where}" for kind in FRAME_KINDS for where in ("page views", "sessions")),
    *HTTP_KINDS,
]
ROWS: dict[tuple[str, int], list[str]] = {
    ("straight", 1): ["activity on sessions", "pings on page views"],
    ("straight", 8): ["activity on sessions", "pings on page views", "handshakes", "pipelining"],
    ("straight", 100): [
        *("activity on page views", "activity on sessions", "long texts on sessions"),
        *("pings on page views", "fragments on page views", "closes on sessions"),
        *("reserved on page views", "unread answers on sessions", *HTTP_KINDS[:-1]),
    ],
    ("nginx", 100): [
        *("activity on page views", "pings on sessions", "unread answers on sessions"),
        *("handshakes", "half handshakes", "pipelining", "unread documents"),
    ],
}
if os.environ.get("HOSTILE") == "all":  # `make hostile`
    ROWS = {(way, count): ALL for way in ("straight", "nginx") for count in (1, 8, 100)}
SOCKETS_OF_ONE = 10
SAME_ADDRESS = 8
"""With more connections than this an attack is made from another address than that of others:
what one address asks in a crowd waits for what else it asks."""
BEGIN_S, ATTACK_S, CONTROL_S = 0.5, 1.5, 0.5
TRIES = 2
"""What holds others up does so again; a machine that was busy for a moment does not."""


@dataclass
class Matrix:
    """The rows of one way and number of connections."""

    server: LiveServer
    front: LiveServer | None
    count: int
    sessions: list[tuple[str, str]]
    """Where hostile users track, and what they say first."""

    async def row(self, kind: str) -> tuple[Seen, bool]:
        """What others saw during an attack, and whether it held them up."""
        for _ in range(TRIES):
            before = await self.watched(CONTROL_S)
            seen = await self._attack(kind)
            controls = [before, await self.watched(CONTROL_S)]
            if not (held_up := seen.is_held_up(controls)):
                break
        return seen, held_up

    async def watched(self, seconds: float) -> Seen:
        apart = self.front is not None or self.count > SAME_ADDRESS
        return await watched(self.server, seconds, self.front, apart=apart)

    async def _attack(self, kind: str) -> Seen:
        kind, _, where = kind.partition(" on ")
        attack = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.attacks", kind, str(self.count)),
            *((self.front or self.server).url, str(BEGIN_S + ATTACK_S)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert attack.stdin is not None
        attack.stdin.write(json.dumps(self.sessions if where == "sessions" else []).encode())
        attack.stdin.close()
        await asyncio.sleep(BEGIN_S)
        seen = await self.watched(ATTACK_S)
        said, _ = await attack.communicate()
        assert json.loads(said)["connections"] >= self.count, kind
        return seen


def hostile_sessions(server: LiveServer, count: int) -> list[tuple[str, str]]:
    found = []
    for number in range(math.ceil(count / SOCKETS_OF_ONE)):
        session = new_session(server, user := f"hostile{number}", notes="x" * 2_000)
        path = f"/ws/sessions?token={server.token(user)}"
        hello = json.dumps({"type": "start", "sessionId": session, "updates": "none"})
        found.append((path, hello))
    return found


@pytest.mark.xdist_group("load")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("way", "count"), ROWS)
async def test_no_attack_holds_up_others(
    hostile_server: LiveServer, tmp_path: Path, way: str, count: int, figures: Figures
) -> None:
    """Whatever a peer sends, at up to 10 MB/s, and however often it comes back."""
    server = hostile_server
    found: dict[str, tuple[Seen, bool]] = {}
    with contextlib.ExitStack() as stack:
        front = stack.enter_context(nginx(tmp_path, server, server)) if way == "nginx" else None
        matrix = Matrix(server, front, count, hostile_sessions(server, count))
        async with connected(server, user := f"bystander of {count} {way}") as beside:
            await beside.start(new_session(server, user), updates="none")
            control = await matrix.watched(CONTROL_S)
            for kind in ROWS[way, count]:
                found[kind] = await matrix.row(kind)
            ended = await beside.ask("stop", "stopped")
    shown = {f"{kind}:": str(seen) for kind, (seen, _) in found.items()}
    figures(way=way, connections=count, control=str(control), **shown)
    assert not {kind: str(seen) for kind, (seen, held_up) in found.items() if held_up}
    assert ended["session"]["awaySeconds"] == 0
    assert "Traceback" not in server.log()


@pytest.fixture(scope="module")
def hostile_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One as it is shipped, with its limits."""
    directory = tmp_path_factory.mktemp("hostile")
    with running_server(directory, RATE_LIMITS="on", REQUESTS_PER_MINUTE="1000000") as server:
        yield server
