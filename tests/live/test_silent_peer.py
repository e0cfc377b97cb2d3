"""A peer that is gone without a word, behind a proxy that goes on acknowledging."""

import asyncio
import json
import time
import uuid

from benchmarks.load import frame
from tests.support.live_server import LiveServer
from tests.support.socket_client import new_session, stored

NOTICED_WITHIN_S = 40.0


async def test_it_is_noticed_within_40_s_and_booked_by_rule_until_then(
    live_server: LiveServer,
) -> None:
    user = uuid.uuid4().hex
    session = new_session(live_server, user)
    host, port = live_server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET /ws/sessions?token={live_server.token(user)} HTTP/1.1\r\nHost: {host}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert b" 101 " in await reader.readline()
    writer.write(frame(json.dumps({"type": "start", "sessionId": session}).encode()))
    began_s = time.monotonic()
    swallowing = asyncio.create_task(reader.read(-1))  # acknowledged, never answered
    await asyncio.sleep(20)
    assert stored(live_server, session, user)["tracked"] is True
    while (found := stored(live_server, session, user))["tracked"]:
        assert time.monotonic() - began_s < NOTICED_WITHIN_S + 1
        await asyncio.sleep(0.5)
    lived_s = time.monotonic() - began_s
    assert lived_s <= NOTICED_WITHIN_S + 1
    assert found["activeSeconds"] in (15, 16)
    assert lived_s - 2 <= found["elapsedSeconds"] <= lived_s
    swallowing.cancel()
    writer.close()
