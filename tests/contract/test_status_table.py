"""The table of docs/protocol.md: which message is allowed in which status."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.support.app_server import AppServer
from tests.support.server import Server
from tests.support.socket_client import SocketClient, connected, new_session, stored


async def test_before_start(live_server: Server, user: str) -> None:
    async with connected(live_server, user) as client:
        for type_ in ("tabSwitch", "pause", "resume", "stop"):
            assert await client.error(type_) == "not_started"
        await client.send("activity", id="ignored")
        assert await client.silence(0.3) == []


async def test_while_active(live_server: Server, user: str) -> None:
    session, other = new_session(live_server, user), new_session(live_server, user)
    async with connected(live_server, user) as client:
        first = await client.start(session)
        assert first["resumed"] is False
        assert first["idleThresholdSeconds"] == 15
        assert 999 - 1000 * client.took_s <= first["nextSecondInMs"] <= 1000
        assert first["serverTime"].endswith("Z")
        assert first["session"]["tracked"] is True
        again = await client.start(session)
        assert again["resumed"] is True
        assert await client.error("start", sessionId=other) == "already_tracking"
        await client.ask("resume", "resumed")
        assert (await client.ask("ping", "pong"))["serverTime"].endswith("Z")


async def test_while_paused(live_server: Server, user: str) -> None:
    session = new_session(live_server, user)
    async with connected(live_server, user) as client:
        await client.start(session)
        await client.next("tick")
        await client.ask("pause", "paused")
        again = await client.ask("pause", "paused")
        await client.send("activity")
        await client.send("tabSwitch")
        assert [m["type"] for m in await client.silence(1.5)] == []
        assert stored(live_server, session, user)["status"] == "paused"
        joined = await client.start(session)
        assert (joined["session"]["status"], joined["nextSecondInMs"]) == ("paused", None)
        stopped = await client.ask("stop", "stopped")
        assert stopped["session"]["elapsedSeconds"] == again["elapsedSeconds"] == 1
        assert stopped["session"]["tabSwitches"] == 0


async def test_after_the_end(live_server: Server, user: str) -> None:
    session, following = new_session(live_server, user), new_session(live_server, user)
    async with connected(live_server, user) as client:
        await client.start(session)
        await client.ask("stop", "stopped")
        assert await client.error("start", sessionId=session) == "session_ended"
        for type_ in ("tabSwitch", "pause", "resume", "stop"):
            assert await client.error(type_) == "session_ended"
        await client.send("activity")
        assert (await client.start(following))["session"]["_id"] == following


@pytest.mark.parametrize("status", ["completed", "abandoned", "cancelled"])
async def test_stop_takes_a_final_status(live_server: Server, user: str, status: str) -> None:
    session = new_session(live_server, user)
    async with connected(live_server, user) as client:
        await client.start(session)
        stopped = await client.ask("stop", "stopped", status=status)
    assert stopped["session"] == stored(live_server, session, user)
    assert stopped["session"]["status"] == status
    assert stopped["focusScore"] == stopped["session"]["focusScore"]
    assert stopped["scoreBreakdown"] == stopped["session"]["scoreBreakdown"]


async def test_unknown_and_foreign_sessions_are_not_found(live_server: Server, user: str) -> None:
    foreign = new_session(live_server, "somebody else")
    async with connected(live_server, user) as client:
        for session in (foreign, "0" * 24, "nonsense", "../x"):
            assert await client.error("start", sessionId=session) == "session_not_found"
        assert await client.error("stop") == "not_started"


async def test_updates_change_hears_of_changes_alone(app_server: AppServer) -> None:
    session = new_session(app_server)
    async with connected(app_server) as client:
        await client.start(session, updates="change")
        await asyncio.to_thread(app_server.advance, 15)
        assert await client.silence(0.1) == []
        await asyncio.to_thread(app_server.advance, 10)
        assert (await client.next())["idle"] is True
        await client.send("activity")
        await asyncio.to_thread(app_server.advance, 1)
        assert (await client.next())["idle"] is False


async def test_updates_none_hears_of_the_end(app_server: AppServer) -> None:
    session = new_session(app_server)
    async with connected(app_server) as client:
        await client.start(session, updates="none")
        await asyncio.to_thread(app_server.advance, 2.2)
        assert await client.silence(0.1) == []
        with app_server.rest() as rest:
            rest.put(f"/api/sessions/{session}/end")
        assert (await client.next("stopped"))["session"]["elapsedSeconds"] == 2


async def test_the_target_is_told_once(live_server: Server, user: str) -> None:
    session = new_session(live_server, user, targetMinutes=0.03)
    async with connected(live_server, user) as client:
        await client.start(session)
        told = await client.next("targetReached")
        assert told["elapsedSeconds"] == 2
        assert "targetReached" not in [m["type"] for m in await client.silence(2.2)]


async def test_the_target_is_told_once_however_it_is_changed(app_server: AppServer) -> None:
    session = new_session(app_server, targetMinutes=1)

    async def retarget(minutes: float) -> None:
        with app_server.rest() as rest:
            answer = rest.put(f"/api/sessions/{session}", json={"targetMinutes": minutes})
        assert answer.status_code == 200

    async with connected(app_server) as client:
        await client.start(session, updates="none")
        await asyncio.to_thread(app_server.advance, 10)
        await retarget(2)
        assert await client.silence(0.1) == []
        await retarget(0.1)  # it is reached by that
        assert (await client.next("targetReached"))["elapsedSeconds"] == 10
        await retarget(0.5)
        await asyncio.to_thread(app_server.advance, 25)
        assert await client.silence(0.1) == []


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("fields", [{}, {"activeSeconds": 10}], ids=["alone", "with-counters"])
async def test_a_target_that_was_reached_is_not_told_again_by_who_comes_back(
    app_server: AppServer, fields: dict[str, int], *, tracked: bool
) -> None:
    session = new_session(app_server, targetMinutes=0.1)

    def retarget(**fields: int) -> None:
        with app_server.rest() as rest:
            body = {"targetMinutes": 0.5, **fields}
            assert rest.put(f"/api/sessions/{session}", json=body).is_success

    async with connected(app_server) as client:
        await client.start(session, updates="none")
        await asyncio.to_thread(app_server.advance, 10)
        await client.next("targetReached")
        if tracked:
            retarget()
    await asyncio.to_thread(app_server.advance, 1)
    if not tracked:
        retarget(**fields)
    async with connected(app_server) as client:
        await client.start(session, updates="none")
        await asyncio.to_thread(app_server.advance, 25)
        assert await client.silence(0.1) == []


async def test_a_target_is_reached_during_a_pause_too(app_server: AppServer) -> None:
    session = new_session(app_server, targetMinutes=1)
    async with connected(app_server) as client:
        await client.start(session, updates="none")
        await asyncio.to_thread(app_server.advance, 10)
        await client.ask("pause", "paused")
        with app_server.rest() as rest:
            rest.put(f"/api/sessions/{session}", json={"targetMinutes": 0.1})
        assert (await client.next("targetReached"))["elapsedSeconds"] == 10


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        (("pause", "stop"), ("paused", "stopped")),
        (("pause", "resume", "stop"), ("paused", "resumed", "stopped")),
        (("pause", "resume", "pause", "stop"), ("paused", "resumed", "paused", "stopped")),
    ],
)
async def test_what_is_said_in_one_go_is_answered_in_order(
    live_server: Server, user: str, said: tuple[str, ...], answers: tuple[str, ...]
) -> None:
    session = new_session(live_server, user)
    async with connected(live_server, user) as client:
        await client.start(session, updates="none")
        for number, type_ in enumerate(said):
            await client.send(type_, id=number)
        heard = [await client.next("paused", "resumed", "stopped", "error") for _ in said]
        assert [(each["type"], each["id"]) for each in heard] == [
            (type_, number) for number, type_ in enumerate(answers)
        ]


async def test_end_over_rest_tells_the_socket(live_server: Server, user: str) -> None:
    session = new_session(live_server, user)
    async with connected(live_server, user) as client, connected(live_server, user) as tab:
        await client.start(session)
        await tab.start(session)
        with live_server.rest(user) as rest:
            ended = rest.put(f"/api/sessions/{session}/end", json={"status": "cancelled"}).json()
        for each in (client, tab):
            stopped = await each.next("stopped")
            assert stopped["session"] == ended["session"]
            assert "id" not in stopped
        assert await client.error("stop") == "session_ended"


async def test_pause_in_one_tab_or_over_rest_is_told_to_the_others(
    live_server: Server, user: str
) -> None:
    session = new_session(live_server, user)
    async with connected(live_server, user) as client, connected(live_server, user) as tab:
        await client.start(session)
        await tab.start(session)
        await client.ask("pause", "paused")
        assert (await tab.next("paused"))["sessionId"] == session
        with live_server.rest(user) as rest:
            answer = rest.put(f"/api/sessions/{session}", json={"status": "active"})
            assert answer.json()["session"]["status"] == "active"
        await client.next("resumed")
        await tab.next("resumed")


async def test_delete_closes_with_4404(live_server: Server, user: str) -> None:
    session = new_session(live_server, user)
    async with connected(live_server, user) as client:
        await client.start(session)
        with live_server.rest(user) as rest:
            assert rest.delete(f"/api/sessions/{session}").status_code == 204
        assert await client.closed() == 4404


async def test_two_tabs_share_one_second(app_server: AppServer) -> None:
    session = new_session(app_server)
    async with connected(app_server) as first:
        await first.start(session)
        async with connected(app_server) as second:
            await second.start(session)
            await asyncio.to_thread(app_server.advance, 2.5)
        await asyncio.to_thread(app_server.advance, 1)
        stopped = await first.ask("stop", "stopped")
    assert stopped["session"]["elapsedSeconds"] == 3
    assert stopped["session"]["awaySeconds"] == 0


async def test_losing_the_last_socket_stops_time_and_start_goes_on(
    live_server: Server, user: str
) -> None:
    session = new_session(live_server, user)
    async with connected(live_server, user) as client:
        asked_s = time.monotonic()
        await client.start(session)
        answered_s = time.monotonic()
        await asyncio.sleep(1.6)
        least_s = time.monotonic() - answered_s
    most_s = time.monotonic() - asked_s
    await asyncio.sleep(1)
    left = stored(live_server, session, user)
    assert (left["elapsedSeconds"], left["tracked"], left["status"]) == (1, False, "active")
    async with connected(live_server, user) as client:
        started = await client.start(session)
        assert started["resumed"] is True
        # The remainder of about 0.6 s was kept.
        due_ms = started["nextSecondInMs"]
        assert 1000 * (2 - most_s - client.took_s) - 1 <= due_ms <= 1000 * (2 - least_s)
        await client.next("tick")
        ended = (await client.ask("stop", "stopped"))["session"]
    assert ended["elapsedSeconds"] == 2
    assert ended["awaySeconds"] == 1


async def test_the_token_by_header_and_by_subprotocol(live_server: Server, user: str) -> None:
    token = live_server.token(user)
    session = new_session(live_server, user)
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(live_server.ws_url, additional_headers=headers) as connection:
        assert connection.protocol.extensions == []  # compression is never negotiated
        await SocketClient(connection).start(session)
    offered = ["focusup.v1", f"bearer.{token}"]
    async with connect(live_server.ws_url, subprotocols=offered) as connection:  # type: ignore[arg-type]
        assert connection.subprotocol == "focusup.v1"
        await SocketClient(connection).start(session)


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c"])
async def test_a_bad_token_is_accepted_and_closed_with_4401(
    live_server: Server, token: str
) -> None:
    async with connect(f"{live_server.ws_url}?token={token}") as connection:
        assert await SocketClient(connection).closed() == 4401


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("http://localhost:3000", None),
        ("http://127.0.0.1:8080", None),
        ("https://localhost", None),
        ("https://example.com", 4403),
        ("http://localhost.example.com", 4403),
        ("http://localhost:3000.example.com", 4403),
        ("null", 4403),
    ],
)
async def test_origins(live_server: Server, user: str, origin: str, code: int | None) -> None:
    async with connected(live_server, user, origin=origin) as client:
        if code is None:
            await client.ask("ping", "pong")
        else:
            assert await client.closed() == code


async def test_a_fresh_token_in_band(live_server: Server, user: str) -> None:
    async with connected(live_server, user, token=live_server.token(user, ttl_s=31.5)) as client:
        fresh = live_server.token(user, ttl_s=600)
        answer = await client.ask("auth", "authenticated", token=fresh)
        assert answer["expiresAt"].endswith("Z")
        assert await client.error("auth", token="nonsense") == "token_invalid"
        assert "expiring" not in [m["type"] for m in await client.silence(2.5)]
        await client.send("auth", token=live_server.token("somebody else"))
        assert (await client.next("error"))["code"] == "wrong_subject"
        assert await client.closed() == 4403


async def test_expiring_then_4401(live_server: Server, user: str) -> None:
    session = new_session(live_server, user)
    async with connected(live_server, user, token=live_server.token(user, ttl_s=4)) as client:
        await client.start(session)
        assert "expiring" in {m["type"] for m in (client.heard + await client.silence(0.5))}
        assert await client.closed() == 4401
    seconds = stored(live_server, session, user)["elapsedSeconds"]
    assert 2 <= seconds <= 4
    # A second that falls due while the socket is being closed is booked, and told to nobody.
    assert seconds - client.heard[-1]["elapsedSeconds"] in (0, 1)


async def test_the_eleventh_socket_of_a_user_is_turned_away(live_server: Server, user: str) -> None:
    url = f"{live_server.ws_url}?token={live_server.token(user)}"
    connections = [await connect(url) for _ in range(10)]
    async with connected(live_server, user) as client:
        assert await client.closed() == 4429
    await connections.pop().close()
    async with connected(live_server, user) as client:
        await client.ask("ping", "pong")
    for connection in connections:
        await connection.close()


async def test_of_eleven_sockets_one_that_is_hidden_gives_way(
    live_server: Server, user: str
) -> None:
    async with AsyncExitStack() as stack:
        tabs = [await stack.enter_async_context(connected(live_server, user)) for _ in range(10)]
        for number in (3, 7):
            await tabs[number].start(new_session(live_server, user))
            await tabs[number].send("tabSwitch")
            await tabs[number].ask("ping", "pong")
        await tabs[3].send("activity")  # the user is back there
        await tabs[3].ask("ping", "pong")
        await tabs[5].start(new_session(live_server, user), visible=False)
        for gives_way in (7, 5):
            newest = await stack.enter_async_context(connected(live_server, user))
            await newest.ask("ping", "pong")
            assert await tabs[gives_way].closed() == 4409
        newest = await stack.enter_async_context(connected(live_server, user))
        assert await newest.closed() == 4429


async def test_a_flood_of_messages_is_closed_with_4429(live_server: Server, user: str) -> None:
    async with connected(live_server, user) as client:
        for _ in range(300):
            await client.send("ping")
        assert await client.closed() == 4429


@pytest.mark.parametrize("before", [[], ["pause"], ["pause", "resume", "ping"]])
async def test_a_page_that_stops_and_closes_at_once_has_stopped(
    live_server: Server, user: str, before: list[str]
) -> None:
    session = new_session(live_server, user)
    async with connected(live_server, user) as client:
        await client.start(session)
        await client.next("tick")
        for type_ in (*before, "stop"):
            await client.send(type_)
    found = await ended(live_server, session, user)
    assert (found["status"], found["elapsedSeconds"]) == ("completed", 1)


async def ended(server: Server, session: str, user: str) -> dict[str, Any]:
    for _ in range(60):
        await asyncio.sleep(0.05)
        found = stored(server, session, user)
        if found["status"] == "completed":
            break
    return found


async def test_a_start_and_a_stop_before_the_answer_both_count(
    live_server: Server, user: str
) -> None:
    session = new_session(live_server, user)
    async with connected(live_server, user) as client:
        for type_ in ("start", "activity", "tabSwitch", "pause", "resume", "ping", "stop"):
            await client.send(
                type_, id=type_, **({"sessionId": session} if type_ == "start" else {})
            )
        found = await client.next("stopped")
        assert {m["id"] for m in client.heard} == {"start", "pause", "resume", "ping", "stop"}
        assert (found["session"]["tabSwitches"], found["session"]["status"]) == (1, "completed")


async def test_a_page_that_starts_stops_and_closes_at_once_has_stopped(
    live_server: Server, user: str
) -> None:
    session = new_session(live_server, user)
    async with connected(live_server, user) as client:
        await client.send("start", sessionId=session)
        await client.send("stop")
    found = await ended(live_server, session, user)
    assert (found["status"], found["elapsedSeconds"]) == ("completed", 0)


async def test_a_page_that_starts_and_closes_at_once_tracks_nothing(app_server: AppServer) -> None:
    for _ in range(5):
        session = new_session(app_server)
        async with connected(app_server) as client:
            await client.send("start", sessionId=session)
        await asyncio.to_thread(app_server.advance, 1.2)
        found = stored(app_server, session)
        assert (found["tracked"], found["elapsedSeconds"]) == (False, 0)


async def test_a_burst_is_answered_in_full(live_server: Server, user: str) -> None:
    async with connected(live_server, user) as client:
        for number in range(150):
            await client.send("ping", id=number)
        answers = [await client.next("pong") for _ in range(150)]
        assert [answer["id"] for answer in answers] == list(range(150))


async def test_sixty_mouse_moves_a_second_are_normal(live_server: Server, user: str) -> None:
    session = new_session(live_server, user)
    async with connected(live_server, user) as client:
        await client.start(session)
        for _ in range(120):
            await client.connection.send(json.dumps({"type": "activity"}))
            await asyncio.sleep(1 / 60)
        stopped = await client.ask("stop", "stopped")
    assert stopped["session"]["idleSeconds"] == 0
    assert stopped["session"]["elapsedSeconds"] in (2, 3)
