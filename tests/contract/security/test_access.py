"""Who may reach what: one table of routes and messages by kinds of peers, walked by attacking.

A route or message that is new fails here until its access is written down.
"""

import asyncio
import json
from contextlib import suppress
from typing import Any, Literal, get_args

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from realtime.protocol import client_messages, page_messages
from tests.support.app_server import AppServer
from tests.support.belongings import Person, doors, somebody
from tests.support.documents import whole_app
from tests.support.page_client import PageClient, viewing
from tests.support.roles import Asker, Who, asker
from tests.support.server import Server
from tests.support.socket_client import SocketClient, connected

Access = Literal["anybody", "self", "owner", "owner or cookie", "admin", "machine", "socket"]
"""`anybody` gets what is the same for all, or brings the credentials along in the body;
`self` names nobody but the user of the token; `owner` names something that has an owner."""

ROUTES: dict[str, Access] = {
    "GET /": "anybody",
    "GET /me": "anybody",
    "GET /me/": "anybody",
    "GET /admin": "anybody",
    "GET /admin/": "anybody",
    "GET /assets/<version>/<path:name>": "anybody",
    "GET /focusup.js": "anybody",
    "GET /focusup.d.ts": "anybody",
    "GET /client/<name>": "anybody",
    "GET /docs": "anybody",
    "GET /docs/": "anybody",
    "GET /docs/<name>": "anybody",
    "GET /docs/socket": "anybody",
    "GET /docs/socket/": "anybody",
    "GET /docs/socket.css": "anybody",
    "GET /openapi.json": "anybody",
    "GET /asyncapi.json": "anybody",
    "GET /api/health": "anybody",
    "GET /api/health/live": "anybody",
    "GET /api/health/ready": "anybody",
    "GET /metrics": "machine",
    "POST /api/auth/signup": "anybody",
    "POST /api/auth/login": "anybody",
    "POST /api/auth/refresh": "anybody",
    "POST /api/auth/logout": "anybody",
    "POST /api/auth/logout-everywhere": "self",
    "GET /api/auth/me": "self",
    "GET /api/me/export": "self",
    "PUT /api/me/password": "self",
    "DELETE /api/me": "self",
    "GET /api/me/settings": "self",
    "PUT /api/me/settings": "self",
    "GET /api/goals": "self",
    "PUT /api/goals": "self",
    "GET /api/stats/me": "self",
    "GET /api/stats/me/series": "self",
    "GET /api/stats/me/calendar": "self",
    "GET /api/sessions": "self",
    "POST /api/sessions": "self",
    "GET /api/sessions/<session_id>": "owner",
    "PUT /api/sessions/<session_id>": "owner",
    "DELETE /api/sessions/<session_id>": "owner",
    "PUT /api/sessions/<session_id>/end": "owner",
    "GET /api/sessions/<session_id>/timeline": "owner",
    "POST /api/sessions/<session_id>/reassign": "owner",
    "GET /api/stats/visitors/<visitor>": "owner or cookie",
    "POST /api/heartbeat": "self",
    "POST /api/track-visit": "anybody",
    "POST /api/track-event": "anybody",
    "POST /api/track-engagement": "anybody",
    "GET /api/stats": "admin",
    "GET /api/stats/pages": "admin",
    "GET /api/admin/metrics": "admin",
    "GET /api/admin/metrics/sessions": "admin",
    "GET /api/admin/users": "admin",
    "GET /api/admin/users/<path:user>/sessions": "admin",
    "GET /api/admin/page-coefficients": "admin",
    "PUT /api/admin/page-coefficients": "admin",
    "DELETE /api/admin/page-coefficients": "admin",
    "GET /ws/<path:other>": "anybody",
    "GET /ws/sessions": "anybody",
    "GET /ws/pageviews": "anybody",
    "WEBSOCKET /ws/sessions": "socket",
    "WEBSOCKET /ws/pageviews": "socket",
}
NAMED = {name.replace("path:", "").replace("<", "{").replace(">", "}"): name for name in ROUTES}
ENDING = {
    "DELETE /api/sessions/{session_id}": 1,
    "POST /api/auth/logout-everywhere": 2,
    "POST /api/auth/logout": 3,
}
"""What is asked for last, since nothing is there, or no token is good, after it."""
QUERIES = {
    "GET /api/stats/me/series": {"by": "day"},
    "DELETE /api/admin/page-coefficients": {"pattern": "/none"},
}


def walked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every route that the application has."""
    found = set()
    for rule in whole_app(monkeypatch).url_map.iter_rules():
        methods = {"WEBSOCKET"} if rule.websocket else rule.methods or set()
        found |= {f"{method} {rule.rule}" for method in methods - {"HEAD", "OPTIONS"}}
    return found


def test_every_route_has_its_access_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    assert walked(monkeypatch) == set(ROUTES)


@pytest.fixture(scope="module")
def ada(live_server: Server) -> Person:
    """Nothing of hers changes."""
    return asyncio.run(somebody(live_server))


@pytest.fixture(scope="module")
def eve(live_server: Server) -> Person:
    return asyncio.run(somebody(live_server))


def answers(client: httpx.Client, ada: Person) -> dict[str, httpx.Response]:
    """What each documented operation answers this client, where it can name something, with
    what is Ada's in the address, the body and the query."""
    found = {}
    every_door = doors(client.get("/openapi.json").json())
    for door in sorted(every_door, key=lambda door: ENDING.get(door.name, 0)):
        body = None if door.body is None else json.loads(json.dumps(door.body))
        if door.name == "POST /api/auth/signup":
            assert body is not None
            body = {**body, "email": ada.email}
        if door.name == "DELETE /api/me":
            body = {"password": "not the password"}
        found[NAMED[door.name]] = client.request(
            door.method, ada.path(door.path), json=body, params=QUERIES.get(NAMED[door.name])
        )
    return found


Statuses = frozenset[int]


def only(*statuses: int) -> Statuses:
    return frozenset(statuses)


ANY = only(200, 204, 401, 409)
"""What needs no rights: the 401s are those of wrong credentials in the body."""
OWN = only(200, 201, 204, 403)
"""The user's own; 403 is the wrong password of leaving."""

IN: dict[Access, Statuses] = {
    "anybody": ANY,
    "self": OWN,
    "owner": only(404),
    "owner or cookie": only(404),
    "admin": only(403),
}
OUT: dict[Access, Statuses] = {
    "anybody": ANY,
    "self": only(401),
    "owner": only(401),
    "owner or cookie": only(401, 404),  # 404: by then a cookie of its own came along
    "admin": only(401),
}
MAY: dict[Who, dict[Access, Statuses]] = {
    "anonymous": OUT,
    "visitor": {**OUT, "owner or cookie": only(200)},
    "former user": {**IN, "owner or cookie": only(200)},
    "later user": {**IN, "owner or cookie": only(200)},
    "owner": {**IN, "owner": only(200, 204, 404), "owner or cookie": only(200)},
    "other user": IN,
    # 404 is `run_not_found`: the example names no run of this session.
    # An admin sees what all do, through the doors for that; sessions of others have no other.
    "admin": {**IN, "owner or cookie": only(200), "admin": only(200, 204, 404)},
    "removed admin": IN,
    "locked user": OUT,
    "signed-out user": OUT,
    "user with a new password": OUT,
    "deleted user": OUT,
}
"""The table of rights over REST: what belongs to one person, asked for by each kind of peer."""
KNOWING: frozenset[Who] = frozenset({"owner", "admin"})
"""Those to whom what is the person's may be told."""
HEARD: frozenset[Who] = frozenset(who for who, may in MAY.items() if may["self"] == OWN)
"""Those whose tokens are good."""


@pytest.mark.parametrize("who", get_args(Who))
async def test_each_reaches_what_the_table_says(live_server: AppServer, who: Who) -> None:
    peer = await asker(live_server, who)
    before = peer.of.everything()
    with peer.rest() as client:
        found = await asyncio.to_thread(answers, client, peer.of)
    assert set(found) >= {name for name in ROUTES if name.partition(" ")[2].startswith("/api/")}
    for name, answer in found.items():
        statuses = MAY[who][ROUTES[name]]
        if name == "DELETE /api/me":  # never with a wrong password; done again it changes nothing
            statuses = {"deleted user": only(204)}.get(who, statuses - OWN | {401, 403} & statuses)
        assert answer.status_code in statuses, (name, answer.text)
        for secret in () if who in KNOWING else peer.secrets:
            assert secret not in answer.text, name
            assert secret not in str(answer.headers), name
    if who != "owner":
        after = peer.of.everything() if peer.visitor is None else peer.of.still(before)
        assert after == before


@pytest.mark.parametrize(
    "page",
    [
        {"Origin": "https://evil.example", "Content-Type": "text/plain"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_no_page_of_others_writes_anything(ada: Person, page: dict[str, str]) -> None:
    """Not even with a token: a browser sends some of this without asking first."""
    before = ada.everything()
    with ada.rest() as client:
        every_door = list(doors(client.get("/openapi.json").json()))
        client.headers.update(page)
        for door in every_door:
            if door.method == "GET":
                continue
            answer = client.request(
                door.method, ada.path(door.path), content=json.dumps(door.body or {})
            )
            assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")
    assert ada.everything() == before


async def test_what_is_somebody_elses_looks_like_what_is_not_there(
    ada: Person, eve: Person
) -> None:
    nothing = "0" * 24
    with eve.rest() as client:
        for door in doors(client.get("/openapi.json").json()):
            if ROUTES[NAMED[door.name]] != "owner":
                continue
            theirs = client.request(door.method, ada.path(door.path), json=door.body)
            none = client.request(door.method, door.path.format(session_id=nothing), json=door.body)
            assert (theirs.status_code, theirs.content) == (none.status_code, none.content)


async def test_the_owner_reaches_all_of_it(live_server: Server) -> None:
    """Or the tests above could not fail."""
    ada = await somebody(live_server)
    with ada.rest() as client:
        for path in ("", "/timeline"):
            assert client.get(f"/api/sessions/{ada.session}{path}").status_code == 200
        assert ada.mark in client.get(f"/api/sessions/{ada.session}").text
        assert ada.mark in client.get(f"/api/stats/visitors/{ada.visitor_id}").text
        assert ada.mark in client.get("/api/auth/me").text
        assert ada.mark in client.get("/api/me/export").text
        assert client.put(f"/api/sessions/{ada.session}/end").status_code == 200
        assert client.delete(f"/api/sessions/{ada.session}").status_code == 204


def test_a_role_is_what_the_token_says_and_nothing_else(live_server: Server, user: str) -> None:
    with live_server.rest(user, role="Admin") as pretender, live_server.rest(user) as plain:
        for client in (pretender, plain):
            for header in ("X-Role", "X-User-Role", "Role"):
                answer = client.get("/api/admin/users", headers={header: "admin"})
                assert answer.status_code == 403
        assert plain.get("/api/admin/users", params={"role": "admin"}).status_code == 403


# --- sockets ------------------------------------------------------------------------------

OF_SESSIONS = {kind.model_fields["type"].annotation for kind in get_args(client_messages.Message)}
SESSION_TYPES = {get_args(each)[0] for each in OF_SESSIONS}
OF_PAGES = {kind.model_fields["type"].annotation for kind in get_args(page_messages.PageMessage)}
PAGE_TYPES = {get_args(each)[0] for each in OF_PAGES}

MINE: dict[str, tuple[str, ...]] = {
    "start": ("error",),
    "activity": (),
    "tabSwitch": (),
    "pause": ("paused",),
    "resume": ("resumed",),
    "stop": ("stopped",),
    "ping": ("pong",),
    "auth": ("error",),
}
"""What answers each message that names what is somebody else's, while a session of one's own
is tracked; `auth` brings the other's token along."""


def naming(ada: Person) -> dict[str, Any]:
    """Every way in which a message could name what is Ada's."""
    return {
        "sessionId": ada.session,
        "userId": ada.user_id,
        "viewId": ada.view,
        "visitorId": ada.visitor_id,
        "visitor": ada.visitor,
        "owner": ada.user_id,
        "token": ada.token,
    }


def test_every_message_has_its_access_written_down() -> None:
    assert set(MINE) == SESSION_TYPES
    assert {"view", "visible", "hidden", "leave", "activity", "auth", "ping"} == PAGE_TYPES


OTHERS = [who for who in get_args(Who) if who != "owner"]


@pytest.mark.parametrize("who", OTHERS)
async def test_no_message_of_others_reaches_my_session(live_server: AppServer, who: Who) -> None:
    peer = await asker(live_server, who)
    before = peer.of.everything()
    for type_ in sorted(SESSION_TYPES):
        if who not in HEARD:
            await heard_by_nobody(peer, type_)
            continue
        if type_ != "auth":
            await heard_before_a_start(peer, type_)
        await heard_beside_a_session(peer, type_)
    assert peer.of.everything() == before


async def heard_by_nobody(peer: Asker, type_: str) -> None:
    async with connected(peer.of.server, token=peer.token or "none") as client:
        with suppress(ConnectionClosed):  # it may be closed by now
            await client.send(type_, **naming(peer.of))
        assert await client.closed() == 4401
        assert client.heard == []


async def heard_before_a_start(peer: Asker, type_: str) -> None:
    async with connected(peer.of.server, token=peer.token) as client:
        await client.send(type_, id="it", **naming(peer.of))
        if type_ not in ("activity", "ping"):
            refused = await client.next("error")
            expected = "session_not_found" if type_ == "start" else "not_started"
            assert (refused["id"], refused["code"]) == ("it", expected)
        await client.ask("ping", "pong")
        untold(client, peer)


async def heard_beside_a_session(peer: Asker, type_: str) -> None:
    """One of the peer's own is tracked on the connection."""
    with peer.rest() as rest:
        own = rest.post("/api/sessions", json={"title": "own"}).json()["session"]["_id"]
    async with connected(peer.of.server, token=peer.token) as client:
        assert (await client.start(own))["session"]["_id"] == own
        await client.send(type_, id="it", **naming(peer.of))
        if MINE[type_]:
            heard = await client.next(*MINE[type_])
            assert heard["id"] == "it"
        if type_ == "auth":
            assert heard["code"] == "wrong_subject"
            assert await client.closed() == 4403
        else:
            await client.ask("ping", "pong")
        untold(client, peer)


def untold(client: SocketClient, peer: Asker) -> None:
    for secret in peer.secrets:
        assert secret not in json.dumps(client.heard)


@pytest.mark.parametrize("who", OTHERS)
async def test_no_message_of_others_reaches_my_views(live_server: AppServer, who: Who) -> None:
    peer = await asker(live_server, who)
    before = peer.of.everything()
    for type_ in sorted(PAGE_TYPES):
        async with viewing(live_server, visitor=peer.visitor, token=peer.token) as client:
            await hears_of_its_own_alone(client, peer, type_)
    assert peer.of.still(before) == before


async def hears_of_its_own_alone(client: PageClient, peer: Asker, type_: str) -> None:
    """A token that is good no more counts as none here."""
    mine = await client.view("/mine")
    assert (mine["visitorId"] == peer.of.visitor_id) == (peer.visitor is not None)
    # With the person's token these views would be theirs, and rightly so.
    await client.send(type_, id="it", **{**naming(peer.of), "page": "/x", "token": peer.token})
    await client.ask("ping", "pong")
    untold(client, peer)


async def test_a_key_that_is_made_up_is_that_of_a_new_visitor(ada: Person) -> None:
    before = ada.everything()
    peer = Asker(ada)
    for type_ in sorted(PAGE_TYPES):
        made_up = f"{ada.visitor_id}.{'0' * 32}"
        async with viewing(ada.server, visitor=made_up) as client:
            await hears_of_its_own_alone(client, peer, type_)
    assert ada.everything() == before
