"""A connection: frames in and out, slow readers, silent peers, closing. RFC 6455 itself is
tested with the cases of tests/faults/test_conformance.py."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol as Framing
from websockets.protocol import Side

from realtime.engine.metrics import OTHER, SocketMetrics
from realtime.protocol.close_codes import CloseCode
from realtime.sockets import transport as module
from realtime.sockets.receive_limits import (
    OWN_AT_ONCE,
    OWN_BYTES_PER_S,
    PIECE_BYTES,
    SHARED_AT_ONCE,
    shared_reading,
)
from realtime.sockets.token_bucket import TokenBucket
from realtime.sockets.transport import (
    FRAMES_AT_ONCE,
    FRAMES_PER_S,
    MAX_MESSAGE_BYTES,
    OUTBOX_BYTES,
    TEXTS_AT_ONCE,
    TEXTS_PER_S,
    SocketTransport,
)


class FakeTransport(asyncio.Transport):
    """Takes what is written, or keeps it waiting while `stuck`."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.waiting = 0
        self.stuck = self.reading_paused = self.aborted = self.half_closed = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: Any) -> None:
        if self.stuck:
            self.waiting += len(data)
        else:
            self.written += data

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half_closed = True

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False


class Ear:
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.farewells = 0

    def received(self, text: str) -> None:
        if text == "boom":
            raise RuntimeError("a bug")
        self.heard.append(text)

    def gone(self) -> None:
        self.farewells += 1


def connected() -> tuple[SocketTransport, FakeTransport, Ear]:
    return connected_with(SocketMetrics())


def connected_with(figures: SocketMetrics) -> tuple[SocketTransport, FakeTransport, Ear]:
    wire, transport, ear = SocketTransport("c1", figures), FakeTransport(), Ear()
    wire.listen(ear)
    wire.connection_made(transport)
    return wire, transport, ear


async def taken(wire: SocketTransport) -> None:
    """Wait until all that was received is taken."""
    for _ in range(5_000):
        if wire._turn is None:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it is never taken")


def frames(data: bytes | bytearray) -> Iterator[Frame]:
    """What a client reads."""
    client = Framing(Side.CLIENT)
    client.receive_data(data)
    for event in client.events_received():
        assert isinstance(event, Frame)
        yield event


def texts(transport: FakeTransport) -> list[str]:
    return [bytes(f.data).decode() for f in frames(transport.written) if f.opcode is Opcode.TEXT]


def masked(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def close_code(transport: FakeTransport) -> int:
    (close,) = (f for f in frames(transport.written) if f.opcode is Opcode.CLOSE)
    return int.from_bytes(bytes(close.data[:2]), "big")


async def test_a_text_is_heard_whole_however_it_is_cut() -> None:
    wire, _, ear = connected()
    sent = masked(Opcode.TEXT, "zwölf".encode(), fin=False) + masked(Opcode.CONT, b" Boxer")
    for at in range(len(sent)):
        wire.data_received(sent[at : at + 1])
    assert ear.heard == ["zwölf Boxer"]


MESSAGES = st.lists(
    st.one_of(
        st.just('{"type":"activity"}'),
        st.text(max_size=200),
        st.text(alphabet="x", min_size=120, max_size=300),
    ),
    max_size=20,
)


@settings(deadline=None, max_examples=200)
@given(MESSAGES, st.lists(st.integers(1, 60), min_size=1, max_size=30), st.booleans())
def test_every_message_is_heard_once_and_in_order_in_whatever_pieces_it_comes(
    messages: list[str], sizes: list[int], with_pongs: bool
) -> None:
    messages = [m for m in messages if m != "boom"]

    async def play() -> None:
        wire, transport, ear = connected()
        sent = b"".join(
            masked(Opcode.TEXT, m.encode()) + (masked(Opcode.PONG) if with_pongs else b"")
            for m in messages
        )
        at = turn = 0
        while at < len(sent):
            size = sizes[turn % len(sizes)]
            wire.data_received(sent[at : at + size])
            at, turn = at + size, turn + 1
            await taken(wire)
        assert ear.heard == messages
        assert not transport.aborted
        wire.connection_lost(None)

    asyncio.run(play())


async def test_one_frame_a_piece_as_clients_send_them() -> None:
    wire, _, ear = connected()
    for _ in range(3):
        wire.data_received(masked(Opcode.TEXT, b'{"type":"activity"}'))
    wire.data_received(masked(Opcode.TEXT, b'{"type":"ping"}'))
    wire.data_received(masked(Opcode.TEXT, b'{"type":"activity"}') * 2)
    assert (
        ear.heard == ['{"type":"activity"}'] * 3 + ['{"type":"ping"}'] + ['{"type":"activity"}'] * 2
    )


async def test_what_looks_like_a_frame_within_a_frame_is_none() -> None:
    wire, _, ear = connected()
    mask = bytes(4)
    inner = bytes([0x81, 0x82]) + mask + b"no"  # a whole frame by itself, and not UTF-8
    wire.data_received(bytes([0x81, 0x80 + len(inner)]) + mask)
    wire.data_received(inner)
    assert ear.heard == []
    assert not wire.open
    wire, _, ear = connected()
    wire.data_received(masked(Opcode.TEXT, b"twice") * 2)
    wire.data_received(masked(Opcode.TEXT, b"once"))
    assert ear.heard == ["twice", "twice", "once"]


async def test_a_ping_is_answered_with_what_it_carried() -> None:
    wire, transport, _ = connected()
    wire.data_received(masked(Opcode.PING, b"there?"))
    assert bytes(transport.written) == Frame(Opcode.PONG, b"there?").serialize(mask=False)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (masked(Opcode.BINARY, b"x"), 1003),
        (masked(Opcode.TEXT, b"x" * (MAX_MESSAGE_BYTES + 1)), 1009),
        (masked(Opcode.TEXT, b"x" * MAX_MESSAGE_BYTES, fin=False) + masked(Opcode.CONT, b"x"),
         1009),
        (masked(Opcode.TEXT, b"\xff"), 1007),
        (masked(Opcode.TEXT, b"boom"), 1011),
        (masked(Opcode.CONT, b"x"), 1002),
        (Frame(Opcode.TEXT, b"unmasked").serialize(mask=False), 1002),
        (b"\xc1" + masked(Opcode.TEXT, b"compressed")[1:], 1002),
    ],
    ids=["binary", "too long", "too long in all", "not UTF-8", "our fault", "no beginning",
         "unmasked", "compressed"],
)  # fmt: skip
async def test_what_may_not_be_sent_ends_the_connection_and_nothing_more_is_heard(
    sent: bytes, code: int
) -> None:
    wire, transport, ear = connected()
    wire.data_received(sent)
    wire.data_received(masked(Opcode.TEXT, b"more") * 100)
    await taken(wire)
    assert close_code(transport) == code
    assert not wire.open
    assert ear.heard == []
    wire.connection_lost(None)
    assert ear.farewells == 1


async def test_the_peers_close_is_answered_after_what_came_before_it_was_heard() -> None:
    wire, transport, ear = connected()
    wire.data_received(
        masked(Opcode.TEXT, b"stop") + masked(Opcode.CLOSE, (1000).to_bytes(2, "big"))
    )
    assert ear.heard == ["stop"]
    assert ear.farewells == 1
    assert close_code(transport) == 1000
    assert transport.half_closed
    wire.connection_lost(None)
    assert ear.farewells == 1


async def test_messages_leave_in_order_and_a_count_before_what_came_after_it() -> None:
    wire, transport, _ = connected()
    wire.push("a")
    wire.pause_writing()
    wire.push_count("1")
    wire.push_count("2")
    wire.push("b")
    wire.push_count("3")
    wire.close(CloseCode.RESTART, "")
    wire.push("too late")
    assert texts(transport) == ["a", "2", "b", "3"]
    assert close_code(transport) == 1012


async def test_of_counts_that_wait_only_the_newest_is_sent() -> None:
    wire, transport, _ = connected()
    wire.pause_writing()
    for number in range(100):
        wire.push_count(str(number))
    wire.resume_writing()
    assert texts(transport) == ["99"]


async def test_who_lets_too_much_pile_up_is_closed_and_then_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CLOSE_GRACE_S", 0.05)
    wire, transport, ear = connected()
    transport.stuck = True
    wire.pause_writing()
    for _ in range(2 * OUTBOX_BYTES // 1000):
        wire.push("x" * 1000)
    await asyncio.sleep(0)
    assert not wire.open
    for _ in range(10):
        wire.data_received(masked(Opcode.PING, b"x" * 100) * 1000)
    await taken(wire)
    assert transport.waiting <= 2 * OUTBOX_BYTES + 1100
    await asyncio.sleep(0.1)
    assert transport.aborted
    assert ear.farewells == 1


async def test_who_takes_nothing_for_a_while_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_AFTER_S", 0.05)
    slow, quicker = connected(), connected()
    for wire, _, _ in (slow, quicker):
        wire.pause_writing()
    quicker[0].resume_writing()
    await asyncio.sleep(0.1)
    assert [transport.aborted for _, transport, _ in (slow, quicker)] == [True, False]


async def test_who_answers_no_ping_is_cut_and_who_does_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PING_EVERY_S", 0.05)
    monkeypatch.setattr(module, "PONG_WITHIN_S", 0.08)
    silent, lively = connected(), connected()
    for _ in range(30):
        await asyncio.sleep(0.01)
        if lively[1].written:
            lively[1].written.clear()
            lively[0].data_received(masked(Opcode.PONG))
        silent[0].data_received(masked(Opcode.TEXT, b"I send, but never read"))
    assert [transport.aborted for _, transport, _ in (silent, lively)] == [True, False]
    assert (silent[2].farewells, lively[2].farewells) == (1, 0)


async def test_who_sends_much_waits() -> None:
    wire, transport, ear = connected()
    one = masked(Opcode.TEXT, b'{"type":"activity"}')
    wire.data_received(one * (2 * SHARED_AT_ONCE // len(one)))
    assert transport.reading_paused
    await taken(wire)
    assert not transport.reading_paused
    assert len(ear.heard) >= TEXTS_AT_ONCE
    wire.data_received(one)
    assert not transport.reading_paused


async def test_what_many_send_shares_one_budget() -> None:
    shared = shared_reading(asyncio.get_running_loop().time())
    one = masked(Opcode.TEXT, b'{"type":"activity"}')
    found = []
    for _ in range(100):
        wire, transport, ear = (
            SocketTransport("c1", SocketMetrics(), shared),
            FakeTransport(),
            Ear(),
        )
        wire.listen(ear)
        wire.connection_made(transport)
        found.append(wire)
        wire.data_received(one * 40 * 30)
    waiting = sum(len(wire._held) for wire in found)
    assert waiting > 100 * len(one) * 40 * 30 // 2
    quiet, transport, ear = SocketTransport("c2", SocketMetrics(), shared), FakeTransport(), Ear()
    quiet.listen(ear)
    quiet.connection_made(transport)
    quiet.data_received(one)
    assert ear.heard, "who sends little waits for nobody"
    for wire in (*found, quiet):
        wire.connection_lost(None)


async def test_who_sends_much_costs_nothing_while_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many they are: their turns come by the common budget, or by their own."""
    monkeypatch.setattr(module.SocketTransport, "_parse", lambda *_: None)
    wire, transport, _ = connected()
    clock = Time(wire, monkeypatch)
    shared = wire._shared = TokenBucket(PIECE_BYTES, OWN_BYTES_PER_S / 10, clock.now_s)
    waits: list[float] = []
    monkeypatch.setattr(wire, "_wait", waits.append)
    wire.data_received(b"x" * PIECE_BYTES * 7)
    assert waits == [pytest.approx(1.0)], "its own budget comes first"
    assert len(wire._held) == 7 * PIECE_BYTES - OWN_AT_ONCE - 2 * PIECE_BYTES
    assert not shared.take(clock.now_s), "which another has used"
    waits.clear()
    for _ in range(20):
        clock.now_s += 1.0
        wire._held += b"x" * PIECE_BYTES
        wire._go_on()
    assert len(waits) == 20
    assert not transport.aborted


async def test_ten_signs_of_activity_a_second_are_never_paused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire, transport, ear = connected()
    clock = Time(wire, monkeypatch)
    wire._shared = TokenBucket(0, 1e-9, clock.now_s)  # others use all of it
    for _ in range(1_000):
        clock.now_s += 0.1
        wire.data_received(masked(Opcode.TEXT, b'{"type":"activity"}'))
        assert not transport.reading_paused
    assert len(ear.heard) == 1_000


# --- allowances ---------------------------------------------------------------------------


class Time:
    """The clock of a connection, which a test moves."""

    def __init__(self, wire: SocketTransport, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = wire._loop.time()
        monkeypatch.setattr(wire, "_loop", self)

    def time(self) -> float:
        return self.now_s

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio.get_running_loop(), name)


CONTROL = {
    "pings": masked(Opcode.PING, b"x"),
    "pongs": masked(Opcode.PONG),
    "pongs with data": masked(Opcode.PONG, b"x" * 100),
    "fragments": masked(Opcode.TEXT, b'{"type":', fin=False) + masked(Opcode.CONT, b'"ping"}'),
}


@pytest.mark.parametrize("kind", CONTROL)
async def test_frames_that_are_no_message_are_few(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire, transport, _ = connected()
    clock = Time(wire, monkeypatch)
    of_one = 2 if kind == "fragments" else 1
    for _ in range(FRAMES_AT_ONCE // of_one):
        wire.data_received(CONTROL[kind])
    for _ in range(3):
        clock.now_s += 1.01
        for _ in range(FRAMES_PER_S // of_one):
            wire.data_received(CONTROL[kind])
    assert wire.open
    for _ in range(2):
        wire.data_received(CONTROL[kind])
    assert not wire.open
    assert close_code(transport) == CloseCode.TOO_MANY


async def test_a_flood_is_thrown_away_unparsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []

    def parse(_self: Framing, data: bytes) -> None:
        parsed.append(len(data))

    monkeypatch.setattr(Framing, "receive_data", parse)
    wire, transport, ear = connected()
    wire.data_received(masked(Opcode.PONG) * 100_000)
    await taken(wire)
    for _ in range(5):
        wire.data_received(masked(Opcode.PING, b"x") * 10_000)
        await taken(wire)
    assert parsed == []
    assert ear.farewells == 1
    assert not transport.aborted


async def test_pings_read_together_are_answered_unless_they_are_many() -> None:
    wire, transport, ear = connected()
    wire.data_received(b"".join(masked(Opcode.PING, b"%d" % number) for number in range(50)))
    assert bytes(transport.written) == Frame(Opcode.PONG, b"49").serialize(mask=False)
    transport.written.clear()
    sent = [masked(Opcode.PING, b"a"), masked(Opcode.PING, b"b"), masked(Opcode.TEXT, b"heard")]
    wire.data_received(b"".join([*sent, masked(Opcode.PING, b"c")]))
    assert [bytes(f.data) for f in frames(transport.written)] == [b"a", b"b", b"c"]
    assert ear.heard == ["heard"]


async def test_activity_above_its_number_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    wire, _, ear = connected()
    clock = Time(wire, monkeypatch)
    one = masked(Opcode.TEXT, b'{"type":"activity"}')
    wire._shared = TokenBucket(1e12, 1, clock.now_s)
    for _ in range(1_000):
        clock.now_s += 0.000_001
        wire.data_received(one)
    assert len(ear.heard) == TEXTS_AT_ONCE
    for _ in range(100):  # ten times as many as are heard
        clock.now_s += 0.01
        for _ in range(10):
            wire.data_received(one)
    assert abs(len(ear.heard) - TEXTS_AT_ONCE - TEXTS_PER_S) <= 2
    assert wire.open


@pytest.mark.parametrize("text", [b'{"type":"ping"}', b'{"type":"\\u0061ctivity"}', b"x" * 200])
async def test_any_other_text_above_it_counts_as_a_frame(text: bytes) -> None:
    wire, transport, ear = connected()
    for _ in range(TEXTS_AT_ONCE + FRAMES_AT_ONCE):
        wire.data_received(masked(Opcode.TEXT, text))
        await taken(wire)
    assert len(ear.heard) >= TEXTS_AT_ONCE + FRAMES_AT_ONCE
    assert wire.open
    for _ in range(FRAMES_AT_ONCE):
        wire.data_received(masked(Opcode.TEXT, text) * 5)
        await taken(wire)
    assert close_code(transport) == CloseCode.TOO_MANY


async def test_a_close_that_is_not_answered_is_followed_by_the_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CLOSE_GRACE_S", 0.05)
    wire, transport, ear = connected()
    wire.close(CloseCode.DELETED, "gone")
    for _ in range(10):  # what it still sends makes it no longer
        wire.data_received(masked(Opcode.TEXT, b"more"))
        await asyncio.sleep(0.01)
    assert transport.aborted
    assert ear.heard == []


def close_frame(code: int) -> bytes:
    return masked(Opcode.CLOSE, code.to_bytes(2, "big"))


@pytest.mark.parametrize(
    ("events", "counted"),
    [
        (["lost"], ("nobody", 1006)),
        (["cut"], ("nobody", 1006)),
        (["deleted"], ("server", 4404)),
        (["deleted", close_frame(4404)], ("server", 4404)),
        ([close_frame(1001)], ("client", 1001)),
        ([masked(Opcode.CLOSE, b"")], ("client", 1005)),
        ([close_frame(3999)], ("client", OTHER)),
        ([masked(Opcode.BINARY, b"x")], ("server", 1003)),
        ([masked(Opcode.CONT, b"x")], ("server", 1002)),
    ],
    ids=["lost", "cut", "ours", "ours, echoed", "theirs", "theirs, without a code",
         "theirs, any number", "not text", "no beginning"],
)  # fmt: skip
async def test_each_end_is_counted_once_by_its_code(
    events: list[str | bytes], counted: tuple[str, int]
) -> None:
    figures = SocketMetrics()
    wire, _, _ = connected_with(figures)
    for event in events:
        if event == "deleted":
            wire.close(CloseCode.DELETED, "gone")
        elif event == "cut":
            wire.cut()
        elif isinstance(event, bytes):
            wire.data_received(event)
    wire.connection_lost(None)
    assert figures.closes == {counted: 1}
