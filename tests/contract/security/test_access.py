"""Who may reach what: every route and every message of a socket, tried by somebody else and
by nobody. A route or message that is new fails here until its access is written down."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Literal, get_args

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from models.accounts.operator_actions import find_account, give_role, lock
from models.accounts.users import Credentials, PasswordChange, Role
from realtime.protocol import client_messages, page_messages
from routes.http.services import Services
from tests.support.app_server import AppServer
from tests.support.belongings import PASSWORD, Person, doors, somebody
from tests.support.documents import whole_app
from tests.support.page_client import viewing
from tests.support.server import Server
from tests.support.socket_client import connected, new_session

Access = Literal["anybody", "self", "owner", "owner or cookie", "admin", "machine", "socket"]
"""`anybody` gets what is the same for all, or brings the credentials along in the body;
`self` names nobody but the user of the token; `owner` names something that has an owner."""

ROUTES: dict[str, Access] = {
    "GET /": "anybody",
    "GET /me": "anybody",
    "GET /me/": "anybody",
    "GET /admin": "anybody",
    "GET /admin/": "anybody",
    "GET /assets/<version>/<name>": "anybody",
    "GET /focusup.js": "anybody",
    "GET /focusup.d.ts": "anybody",
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
ENDING = {"POST /api/auth/logout-everywhere": 1, "POST /api/auth/logout": 2}
"""What is asked for last, since no token is good after it."""
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


def check(found: dict[str, httpx.Response], expected: dict[Access, set[int]], ada: Person) -> None:
    for name, answer in found.items():
        access = ROUTES[name]
        assert answer.status_code in expected[access], (name, answer.text)
        for secret in ada.secrets:
            assert secret not in answer.text, name
            assert secret not in str(answer.headers), name
    assert set(found) >= {name for name in ROUTES if name.partition(" ")[2].startswith("/api/")}


async def test_nobody_reaches_nothing_of_anybody(ada: Person) -> None:
    before = ada.everything()
    with ada.server.rest(None) as nobody:
        found = answers(nobody, ada)
    refused: set[int] = {401}
    check(
        found,
        {
            "anybody": {200, 204, 401, 409},
            "self": refused,
            "owner": refused,
            "owner or cookie": {401, 404},  # by then it has a cookie of its own
            "admin": refused,
        },
        ada,
    )
    assert ada.everything() == before


async def test_somebody_else_reaches_nothing_of_mine(ada: Person) -> None:
    before = ada.everything()
    with (await somebody(ada.server)).rest() as client:
        found = answers(client, ada)
    check(
        found,
        {
            "anybody": {200, 204, 401, 409},
            "self": {200, 201, 204, 403},
            "owner": {404},
            "owner or cookie": {404},
            "admin": {403},
        },
        ada,
    )
    assert found["DELETE /api/me"].status_code == 403
    assert ada.everything() == before


REFUSED: dict[Access, set[int]] = {
    "anybody": {200, 204, 401, 409},
    "self": {401},
    "owner": {401},
    "owner or cookie": {401, 404},
    "admin": {401},
}
OTHER: dict[Access, set[int]] = {
    "anybody": {200, 204, 401, 409},
    "self": {200, 201, 204, 403},
    "owner": {404},
    "owner or cookie": {404},
    "admin": {403},
}
ADMIN: dict[Access, set[int]] = {**OTHER, "owner or cookie": {200}, "admin": {200, 204, 404}}
"""An admin sees what all do, through the doors for that; sessions of others have no other."""

Change = Callable[[Services, Person], Awaitable[None]]


async def made_admin(services: Services, who: Person) -> None:
    await change_role(services, who, "admin")


async def removed_admin(services: Services, who: Person) -> None:
    await change_role(services, who, "user")


async def change_role(services: Services, who: Person, role: Role) -> None:
    db = services.accounts._db
    await give_role(db, (await find_account(db, who.email)).user, role, services.now())
    await services.sign_outs.hear()


async def locked(services: Services, who: Person) -> None:
    db, now = services.accounts._db, services.now()
    await lock(db, (await find_account(db, who.email)).user, now, now + timedelta(hours=1))
    await services.sign_outs.hear()


async def signed_out(services: Services, who: Person) -> None:
    identity = services.tokens.verify(who.token, services.now())
    await services.accounts.logout_everywhere(identity, services.now())
    await services.sign_outs.hear()


async def changed_password(services: Services, who: Person) -> None:
    """By another login than that of the token."""
    credentials = Credentials(email=who.email, password=PASSWORD)
    other = await services.accounts.login(credentials, services.now())
    identity = services.tokens.verify(other.token, services.now())
    change = PasswordChange(current_password=PASSWORD, new_password="battery staple")
    await services.accounts.change_password(identity, change, services.now())
    await services.sign_outs.hear()


async def deleted(services: Services, who: Person) -> None:
    async def prove() -> bool:
        return True

    await services.leavers.leave(services.tokens.verify(who.token, services.now()), prove)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (made_admin, ADMIN),
        (removed_admin, OTHER),
        (locked, REFUSED),
        (signed_out, REFUSED),
        (changed_password, REFUSED),
        (deleted, REFUSED),
    ],
)
async def test_rights_end_for_tokens_that_are_out(
    live_server: AppServer, ada: Person, change: Change, expected: dict[Access, set[int]]
) -> None:
    """Each of these was signed in as an admin before, and goes on with the same token."""
    before = ada.everything()
    who = await somebody(live_server)

    def in_app(work: Change) -> None:
        live_server.call(lambda services: work(services, who))

    await asyncio.to_thread(in_app, made_admin)
    with live_server.rest(None) as rest:
        body = {"email": who.email, "password": PASSWORD}
        who.token = rest.post("/api/auth/login", json=body).json()["token"]
    await asyncio.to_thread(in_app, change)
    with who.rest() as client:
        found = await asyncio.to_thread(answers, client, ada)
    for name, answer in found.items():
        statuses = set(expected[ROUTES[name]])
        if name == "DELETE /api/me" and change is deleted:
            statuses = {204}  # done again it changes nothing
        assert answer.status_code in statuses, (name, answer.text)
    assert ada.everything() == before


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
        "viewId": ada.session,
        "visitorId": ada.visitor_id,
        "visitor": ada.visitor,
        "owner": ada.user_id,
        "token": ada.token,
    }


def test_every_message_has_its_access_written_down() -> None:
    assert set(MINE) == SESSION_TYPES
    assert {"view", "visible", "hidden", "leave", "activity", "auth", "ping"} == PAGE_TYPES


@pytest.mark.parametrize("type_", sorted(SESSION_TYPES))
async def test_no_message_of_somebody_else_reaches_my_session(
    ada: Person, eve: Person, type_: str
) -> None:
    before = ada.everything()
    own = new_session(eve.server, eve.user_id)
    async with connected(eve.server, eve.user_id) as client:
        started = await client.start(own)
        assert started["session"]["_id"] == own
        await client.send(type_, id="it", **naming(ada))
        if MINE[type_]:
            heard = await client.next(*MINE[type_])
            assert heard["id"] == "it"
        if type_ == "auth":
            assert heard["code"] == "wrong_subject"
            assert await client.closed() == 4403
        else:
            await client.ask("ping", "pong")
        for secret in ada.secrets:
            assert secret not in json.dumps(client.heard)
    assert ada.everything() == before


@pytest.mark.parametrize("type_", sorted(SESSION_TYPES - {"auth"}))
async def test_nor_does_it_before_anything_is_started(ada: Person, eve: Person, type_: str) -> None:
    before = ada.everything()
    async with connected(eve.server, token=eve.token) as client:
        await client.send(type_, id="it", **naming(ada))
        if type_ not in ("activity", "ping"):
            refused = await client.next("error")
            expected = "session_not_found" if type_ == "start" else "not_started"
            assert (refused["id"], refused["code"]) == ("it", expected)
        await client.ask("ping", "pong")
        for secret in ada.secrets:
            assert secret not in json.dumps(client.heard)
    assert ada.everything() == before


@pytest.mark.parametrize("type_", sorted(SESSION_TYPES))
async def test_nobody_is_heard_on_the_socket_of_sessions(ada: Person, type_: str) -> None:
    before = ada.everything()
    async with connected(ada.server, token="none") as client:
        with suppress(ConnectionClosed):  # it may be closed by now
            await client.send(type_, **naming(ada))
        assert await client.closed() == 4401
        assert client.heard == []
    assert ada.everything() == before


@pytest.mark.parametrize("type_", sorted(PAGE_TYPES))
@pytest.mark.parametrize("who", ["nobody", "somebody else", "with a key made up"])
async def test_no_message_of_others_reaches_my_views(
    ada: Person, eve: Person, type_: str, who: str
) -> None:
    before = ada.everything()
    made_up = f"{ada.visitor_id}.{'0' * 32}" if who == "with a key made up" else None
    token = eve.token if who == "somebody else" else None
    async with viewing(ada.server, visitor=made_up, token=token) as client:
        mine = await client.view("/mine")
        assert mine["visitorId"] != ada.visitor_id
        # With Ada's token these views would be hers, and rightly so.
        named = {**naming(ada), "page": "/theirs", "token": eve.token}
        await client.send(type_, id="it", **named)
        await client.ask("ping", "pong")
        for secret in ada.secrets:
            assert secret not in json.dumps(client.heard)
    assert ada.everything() == before
