"""The way out: in order, bounded, the newest count alone, and closed at the end."""

import asyncio

from realtime.close_codes import CloseCode
from realtime.connection import OUTBOX_MESSAGES, Connection


class SlowTransport:
    """Sends only while `open_` is set."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.closed_with: int | None = None
        self.open_ = asyncio.Event()
        self.open_.set()
        self.overflowed = 0

    def overflow(self) -> None:
        self.overflowed += 1

    async def receive(self) -> str:
        raise NotImplementedError

    async def send(self, text: str) -> None:
        await self.open_.wait()
        self.sent.append(text)

    def unread(self) -> list[str | bytes]:
        return []

    async def close(self, code: int, reason: str) -> None:
        self.closed_with = code


async def writing(transport: SlowTransport) -> tuple[Connection, asyncio.Task[None]]:
    connection = Connection(transport, on_overflow=transport.overflow)
    return connection, asyncio.create_task(connection.write())


async def test_messages_leave_in_order_and_a_count_before_what_came_after_it() -> None:
    transport = SlowTransport()
    connection, _ = await writing(transport)
    connection.push("a")
    connection.push_count("1")
    connection.push("b")
    connection.push_count("2")
    connection.close(CloseCode.RESTART, "")
    connection.push("too late")
    await asyncio.sleep(0.01)
    assert transport.sent == ["a", "1", "b", "2"]
    assert transport.closed_with == 1012


async def test_of_counts_that_wait_only_the_newest_is_sent() -> None:
    transport = SlowTransport()
    connection, task = await writing(transport)
    transport.open_.clear()
    for number in range(100):
        connection.push_count(str(number))
        await asyncio.sleep(0)
    transport.open_.set()
    await asyncio.sleep(0.01)
    assert transport.sent == ["0", "99"]
    task.cancel()


async def test_a_client_that_does_not_read_is_dropped() -> None:
    transport = SlowTransport()
    transport.open_.clear()
    connection, _ = await writing(transport)
    for number in range(OUTBOX_MESSAGES + 2):
        connection.push(str(number))
    assert connection.closing
    assert transport.overflowed == 1
    transport.open_.set()
    await asyncio.sleep(0.01)
    assert transport.closed_with == 4429
