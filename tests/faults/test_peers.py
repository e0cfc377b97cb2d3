"""A peer that goes, however it goes: what fell due before is booked, and the session is let
go within two seconds of a close or a reset, within 40 s of a silence that nobody announced,
and within twice the interval of a heartbeat that was promised.
"""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect

from tests.support.figures import Figures
from tests.support.live_server import LiveServer, running_server
from tests.support.peer_network import network, proxy
from tests.support.peer_watch import is_booked, released
from tests.support.raw_socket import CLOSE, RawSocket, frame, message, opened
from tests.support.socket_client import SocketClient, connected, new_session, stored

RELEASED_WITHIN_S = 2.0
NOTICED_WITHIN_S = 40.0
IDLE_AFTER_S = 15
HEARTBEAT_S = 2
CLIENTS = 10


# --- gone, and the system says so ---------------------------------------------------------


async def say_goodbye(socket: RawSocket) -> None:
    await socket.send(frame(b"\x03\xe8", CLOSE))
    socket.end()


async def hang_up(socket: RawSocket) -> None:
    socket.end()


async def reset(socket: RawSocket) -> None:
    socket.reset()


async def reset_in_mid_frame(socket: RawSocket) -> None:
    await socket.send(message("activity")[:9])
    socket.reset()


WAYS = (say_goodbye, hang_up, reset, reset_in_mid_frame)


async def live_and_leave(
    server: LiveServer, user: str, way: Callable[[RawSocket], Any], for_s: float
) -> dict[str, Any]:
    """One client's life: what it saw, and what the server has of it."""
    session = new_session(server, user)
    socket = await opened(server, user)
    sent_s = time.monotonic()
    await socket.send(message("start", sessionId=session, updates="none"))
    await socket.next_message("started")
    started_s = time.monotonic()
    await asyncio.sleep(for_s)
    left_s = time.monotonic()
    await way(socket)
    found, took_s = await released(
        server, user, session, within_s=RELEASED_WITHIN_S, due=int(left_s - started_s)
    )
    return {
        "least_s": left_s - started_s,
        "most_s": left_s - sent_s + took_s,
        "booked": found["elapsedSeconds"],
        "active": found["activeSeconds"],
        "took_s": took_s,
    }


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_a_client_that_leaves_loses_no_second(
    live_server: LiveServer, user: str, way: Callable[[RawSocket], Any], figures: Figures
) -> None:
    dice = random.Random(way.__name__)
    lives = await asyncio.gather(
        *(live_and_leave(live_server, user, way, dice.uniform(0.5, 1.5)) for _ in range(CLIENTS))
    )
    figures(
        due=sum(int(life["least_s"]) for life in lives),
        booked=sum(life["booked"] for life in lives),
        released_after_s=max(life["took_s"] for life in lives),
    )
    assert sum(life["booked"] for life in lives) >= CLIENTS / 4
    for life in lives:
        assert is_booked(life["booked"], life["least_s"], life["most_s"]), life
        assert life["active"] == life["booked"]


async def test_a_reset_of_one_tab_leaves_the_other_counting(
    live_server: LiveServer, user: str
) -> None:
    session = new_session(live_server, user)
    async with connected(live_server, user) as client:
        await client.start(session)
        gone = await opened(live_server, user)
        await gone.send(message("start", sessionId=session))
        await gone.next_message("started")
        gone.reset()
        first = (await client.next("tick"))["elapsedSeconds"]
        assert (await client.next("tick"))["elapsedSeconds"] == first + 1
        assert stored(live_server, session, user)["tracked"] is True


# --- gone, and nobody says so -------------------------------------------------------------


def check_silence(found: dict[str, Any], silent_s: float, lived_s: float) -> None:
    """Noticed in time, and booked by rule 1 until then: `start` was the only sign."""
    assert silent_s <= NOTICED_WITHIN_S
    assert lived_s > IDLE_AFTER_S + 1, "too early to tell active from idle"
    assert found["activeSeconds"] == IDLE_AFTER_S
    assert lived_s - 1.5 <= found["elapsedSeconds"] <= lived_s + 0.1
    assert found["elapsedSeconds"] == found["activeSeconds"] + found["idleSeconds"]


@pytest.mark.timeout(90)
async def test_a_peer_whose_link_went_down(tmp_path: Path, user: str, figures: Figures) -> None:
    with network() as net, running_server(tmp_path, HOST="0.0.0.0") as server:
        session = new_session(server, user)
        port = urlsplit(server.url).port
        assert port is not None
        client = net.start_client(port, server.token(user), session)
        try:
            assert client.stdout is not None
            said = await asyncio.to_thread(client.stdout.readline)
            began_s = time.monotonic()
            assert said == "started\n"
            await asyncio.sleep(1)
            net.cut()
            cut_s = time.monotonic()
            assert stored(server, session, user)["tracked"] is True
            found, _ = await released(server, user, session, within_s=NOTICED_WITHIN_S + 1)
            gone_s = time.monotonic()
        finally:
            client.kill()
            client.communicate()
        figures(noticed_after_s=gone_s - cut_s, booked=found["elapsedSeconds"])
        check_silence(found, gone_s - cut_s, gone_s - began_s)


@pytest.mark.timeout(90)
async def test_a_peer_behind_a_proxy_that_goes_on_acknowledging(
    live_server: LiveServer, user: str, figures: Figures
) -> None:
    session = new_session(live_server, user)
    port = urlsplit(live_server.url).port
    assert port is not None
    async with proxy(port) as between, AsyncExitStack() as stack:
        url = f"ws://127.0.0.1:{between.port}/ws/sessions?token={live_server.token(user)}"
        connection = await stack.enter_async_context(
            connect(url, max_queue=None, ping_interval=None, close_timeout=0.1)
        )
        await SocketClient(connection).start(session)
        began_s = time.monotonic()
        await asyncio.sleep(1)
        between.swallowing = True
        silent_s = time.monotonic()
        found, _ = await released(live_server, user, session, within_s=NOTICED_WITHIN_S + 1)
        gone_s = time.monotonic()
    figures(noticed_after_s=gone_s - silent_s, booked=found["elapsedSeconds"])
    check_silence(found, gone_s - silent_s, gone_s - began_s)


# --- a heartbeat that was promised --------------------------------------------------------


async def test_a_promised_heartbeat_that_stops_is_noticed(
    live_server: LiveServer, user: str, figures: Figures
) -> None:
    """The connection is well and pings are answered: only the page behind it hangs."""
    session, unpromised = new_session(live_server, user), new_session(live_server, user)
    async with connected(live_server, user) as client, connected(live_server, user) as other:
        await client.start(session, heartbeatSeconds=HEARTBEAT_S)
        await other.start(unpromised)
        await asyncio.sleep(0.7)
        await client.send("activity")
        silent_s = time.monotonic()
        answering = asyncio.create_task(answer_pings(client))
        found, _ = await released(live_server, user, session, within_s=2 * HEARTBEAT_S + 0.5 + 1)
        gone_s = time.monotonic()
        answering.cancel()
        assert stored(live_server, unpromised, user)["tracked"] is True
    figures(released_after_s=gone_s - silent_s)
    assert HEARTBEAT_S < gone_s - silent_s <= 2 * HEARTBEAT_S + 0.5
    assert found["status"] == "active"
    assert int(gone_s - silent_s) <= found["elapsedSeconds"] <= gone_s - silent_s + 0.8


async def answer_pings(client: SocketClient) -> None:
    """As often as a server might ask: a pong needs no ping before it (RFC 6455)."""
    with contextlib.suppress(Exception):
        while True:
            await client.connection.pong()
            await asyncio.sleep(0.5)


async def test_a_promised_heartbeat_that_is_kept(live_server: LiveServer, user: str) -> None:
    """By any message at all."""

    async def keep_it(type_: str) -> None:
        session = new_session(live_server, user)
        async with connected(live_server, user) as client:
            await client.start(session, heartbeatSeconds=1)
            began_s = time.monotonic()
            while time.monotonic() - began_s < 3:
                await client.connection.send(json.dumps({"type": type_}))
                await asyncio.sleep(0.8)
            ended = (await client.ask("stop", "stopped"))["session"]
            lived_s = time.monotonic() - began_s
        assert is_booked(ended["elapsedSeconds"], lived_s), type_
        assert ended["awaySeconds"] == 0, type_

    await asyncio.gather(*(keep_it(type_) for type_ in ("activity", "ping", "tabSwitch")))
