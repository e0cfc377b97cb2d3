"""A token that ends under way: the socket ends with it, on time, and no second is lost;
a fresh one of the same user carries on without a gap, and one of somebody else ends it.
"""

import time
import uuid
from collections.abc import Callable
from itertools import pairwise

import jwt

from tests.support.live_server import LiveServer
from tests.support.peer_watch import is_booked, released
from tests.support.socket_client import connected, new_session, stored

ON_TIME_S = 1.0


def expires_in_s(token: str) -> float:
    claims = jwt.decode(token, options={"verify_signature": False})
    return float(claims["exp"] - time.time())


async def test_the_socket_is_closed_when_its_token_expires(
    live_server: LiveServer, figures: Callable[..., None]
) -> None:
    user = uuid.uuid4().hex
    session = new_session(live_server, user)
    token = live_server.token(user, ttl_s=3)
    async with connected(live_server, user, token=token) as client:
        await client.start(session)
        began_s = time.monotonic()
        left_s = expires_in_s(token)
        assert await client.closed() == 4401
        lived_s = time.monotonic() - began_s
    figures(closed_late_s=lived_s - left_s)
    assert abs(lived_s - left_s) <= ON_TIME_S
    assert "expiring" in [message["type"] for message in client.heard]
    found, _ = await released(live_server, user, session, within_s=2, due=int(lived_s))
    assert is_booked(found["elapsedSeconds"], lived_s)
    assert found["status"] == "active"


async def test_a_token_renewed_in_band_leaves_no_gap(
    live_server: LiveServer, figures: Callable[..., None]
) -> None:
    user = uuid.uuid4().hex
    session = new_session(live_server, user)
    first = live_server.token(user, ttl_s=2)
    ticks_s: list[float] = []
    async with connected(live_server, user, token=first) as client:
        await client.start(session)
        began_s = time.monotonic()
        for second in range(1, 5):
            if second == 1:
                fresh = live_server.token(user, ttl_s=60)
                renewed = await client.ask("auth", "authenticated", token=fresh)
                assert renewed["expiresAt"].endswith("Z")
            assert (await client.next("tick"))["elapsedSeconds"] == second
            ticks_s.append(time.monotonic())
        assert expires_in_s(first) < 0
        ended = (await client.ask("stop", "stopped"))["session"]
        lived_s = time.monotonic() - began_s
    widest_s = max(later - sooner for sooner, later in pairwise(ticks_s))
    figures(widest_gap_s=widest_s)
    assert widest_s < 1.3
    assert is_booked(ended["elapsedSeconds"], lived_s)
    assert ended["awaySeconds"] == 0


async def test_a_token_of_somebody_else_ends_the_socket(live_server: LiveServer) -> None:
    user = uuid.uuid4().hex
    session = new_session(live_server, user)
    async with connected(live_server, user) as client:
        await client.start(session)
        began_s = time.monotonic()
        await client.next("tick")
        foreign = live_server.token("somebody else")
        assert await client.error("auth", token=foreign) == "wrong_subject"
        assert await client.closed() == 4403
        lived_s = time.monotonic() - began_s
    found, _ = await released(live_server, user, session, within_s=2, due=int(lived_s))
    assert is_booked(found["elapsedSeconds"], lived_s)
    assert found["userId"] == user


async def test_a_token_that_is_none_leaves_all_as_it_was(live_server: LiveServer) -> None:
    user = uuid.uuid4().hex
    session = new_session(live_server, user)
    first = live_server.token(user, ttl_s=2)
    async with connected(live_server, user, token=first) as client:
        await client.start(session)
        assert await client.error("auth", token=first[:-2] + "xx") == "token_invalid"
        tampered = jwt.encode({"sub": user, "exp": time.time() + 60}, "x" * 40, "HS256")
        assert await client.error("auth", token=tampered) == "token_invalid"
        left_s, began_s = expires_in_s(first), time.monotonic()
        assert stored(live_server, session, user)["tracked"] is True
        assert await client.closed() == 4401
        assert abs(time.monotonic() - began_s - left_s) <= ON_TIME_S
