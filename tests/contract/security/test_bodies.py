"""What bodies, queries and messages must not carry: fields that are not the client's to set,
and operators of the database. Over every operation of the OpenAPI document, so a new one is
tried without being told of here."""

import asyncio
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pymongo
import pytest
from bson import ObjectId

import models
from models.accounts.users import User
from models.base.schema_types import StoredModel, WireModel
from realtime.protocol import client_messages, page_messages
from tests.support.belongings import Door, Person, doors, somebody
from tests.support.documents import Json, resolved, whole_app
from tests.support.page_client import viewing
from tests.support.server import Server
from tests.support.socket_client import connected, new_session

OPERATOR = {"$gt": ""}
SERVER_SETS = {
    "_id": "f" * 24,
    "id": "f" * 24,
    "userId": "somebody else",
    "user_id": "somebody else",
    "owner": "somebody else",
    "stamp": "x.1",
    "role": "admin",
    "isAdmin": True,
    "focusScore": 100,
    "scoreBreakdown": {"completion": 1},
    "carryMs": 999.0,
    "pausedMs": 1.0,
    "pausedSeconds": 1,
    "awaySeconds": 1,
    "tracked": True,
    "edited": False,
    "timeline": "AAAA",
    "startedAt": "2020-01-01T00:00:00Z",
    "endedAt": "2020-01-01T00:00:00Z",
    "createdAt": "2020-01-01T00:00:00Z",
    "updatedAt": "2020-01-01T00:00:00Z",
    "lastBookedAt": "2020-01-01T00:00:00Z",
    "passwordHash": "x",
    "secretHash": "x",
    "expiresAt": "2099-01-01T00:00:00Z",
    "visitorId": "somebody else",
    "$set": {"role": "admin"},
    "$where": "1",
    "a.b": 1,
    "role.$": "admin",
    "__proto__": {"role": "admin"},
    "constructor": {"role": "admin"},
}
HOSTILE: tuple[Any, ...] = (
    OPERATOR,
    {"$ne": None},
    {"$regex": ".*"},
    {"$where": "sleep(9000)"},
    [OPERATOR],
    {"a.b": 1},
)
HOSTILE_TEXTS = ("$gt", "$where", "$$ROOT", "$set.role", "a.b", '{"$gt":""}', "$")


@pytest.fixture(scope="module")
def ada(live_server: Server) -> Person:
    return asyncio.run(somebody(live_server))


@pytest.fixture(scope="module")
def document(live_server: Server) -> Json:
    document: Json = live_server.rest(None).get("/openapi.json").json()
    return document


def with_bodies(document: Json) -> Iterator[tuple[Door, Json]]:
    """Doors that read a body, with their schemas."""
    for door in doors(document):
        if door.body is not None:
            operation = document["paths"][door.path][door.method.lower()]
            content = operation["requestBody"]["content"]["application/json"]
            yield door, resolved(document, content["schema"])


def asking(ada: Person, door: Door, body: Any, client: httpx.Client) -> httpx.Response:
    return client.request(door.method, ada.path(door.path), json=body)


def refused(answer: httpx.Response, of: object) -> None:
    assert answer.status_code == 422, (of, answer.text)
    assert answer.json()["code"] in ("invalid_body", "invalid_query"), of
    assert "somebody else" not in answer.text


# --- fields that are not the client's to set ----------------------------------------------


def test_every_body_refuses_what_it_does_not_know(document: Json, ada: Person) -> None:
    before = ada.everything()
    tried = 0
    with ada.server.rest(ada.user_id, role="admin") as client:
        for door, schema in with_bodies(document):
            for name, value in SERVER_SETS.items():
                if name in schema["properties"]:
                    continue
                answer = asking(ada, door, {**(door.body or {}), name: value}, client)
                refused(answer, (door.name, name))
                tried += 1
    assert ada.everything() == before
    assert tried > 12 * (len(SERVER_SETS) - 3)


def test_what_clients_may_set_is_written_down(document: Json) -> None:
    """A new field of a body is looked at once more, here."""
    known = set(SERVER_SETS)
    named = {door.name: known & set(schema["properties"]) for door, schema in with_bodies(document)}
    assert {name: fields for name, fields in named.items() if fields} == {
        "POST /api/sessions/{session_id}/reassign": {"startedAt"},  # it names a run
    }


def test_every_query_refuses_what_it_does_not_know(document: Json, ada: Person) -> None:
    tried = 0
    with ada.server.rest(ada.user_id, role="admin") as client:
        for door in doors(document):
            if not door.query:
                continue
            for name in set(SERVER_SETS) - set(door.query):
                answer = client.request(door.method, ada.path(door.path), params={name: "x"})
                refused(answer, (door.name, name))
                tried += 1
    assert tried > 7 * len(SERVER_SETS) - 20


def models_of_the_wire() -> Iterator[type[WireModel]]:
    """Every model that is not of what is stored."""
    below = list(WireModel.__subclasses__())
    while below:
        model = below.pop()
        below += model.__subclasses__()
        if not issubclass(model, StoredModel) and model.__module__.startswith(
            ("models.", "routes.", "realtime.")
        ):
            yield model


def test_no_model_of_the_wire_takes_unknown_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    whole_app(monkeypatch)  # so that all of them are there
    found = list(models_of_the_wire())
    assert len(found) > 40
    assert {model.__name__ for model in found if model.model_config["extra"] != "forbid"} == set()
    assert {model.__name__ for model in found if not model.model_config["strict"]} == set()


def test_what_is_stored_is_never_read_from_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `StoredModel` ignores what it does not know, so none may be a body."""
    whole_app(monkeypatch)
    floor = Path(models.__file__ or "").parents[1] / "routes"
    bodies = {model.__name__ for model in StoredModel.__subclasses__()}
    assert User.__name__ in bodies
    for path in floor.rglob("*.py"):
        for name in bodies:
            for reading in ("accepts", "accepts_query", "read_body", "read_query", "parse_body"):
                assert f"{reading}({name})" not in path.read_text(), path


def test_nobody_signs_up_as_an_admin(live_server: Server) -> None:
    account = {"email": "mallory@example.com", "password": "correct horse", "role": "admin"}
    with live_server.rest(None) as anyone:
        refused(anyone.post("/api/auth/signup", json=account), "signup")
        del account["role"]
        made = anyone.post("/api/auth/signup?role=admin", json=account)
        assert made.status_code == 201
        assert made.json()["user"]["role"] == "user"


@pytest.mark.parametrize(
    "kind", get_args(client_messages.Message), ids=lambda kind: str(kind.__name__)
)
async def test_no_message_of_a_session_sets_what_the_server_sets(
    live_server: Server, user: str, kind: type[client_messages.ClientMessage]
) -> None:
    """Unknown fields of a message are ignored, so that clients may say more than we know."""
    (type_,) = get_args(kind.model_fields["type"].annotation)
    session = new_session(live_server, user, title="mine")
    given = {name: value for name, value in SERVER_SETS.items() if name != "id"}
    async with connected(live_server, user) as client:
        await client.start(session)
        await client.send(type_, id="it", token="x", sessionId=session, **given)
        await client.ask("ping", "pong")
    with live_server.rest(user) as rest:
        told = rest.get(f"/api/sessions/{session}").json()["session"]
        assert len(rest.get("/api/sessions").json()["sessions"]) == 1
    assert (told["_id"], told["userId"], told["title"]) == (session, user, "mine")
    assert not told["createdAt"].startswith("2020")
    assert told["elapsedSeconds"] <= 3
    assert told["edited"] is False
    assert told["focusScore"] in (None, 0)
    document = stored(live_server, "sessions", ObjectId(session))
    assert document["stamp"] != SERVER_SETS["stamp"]
    assert document["carryMs"] < 1000
    assert not set(document) & {"role", "isAdmin", "$set", "a.b", "user_id", "visitorId"}


@pytest.mark.parametrize(
    "kind", get_args(page_messages.PageMessage), ids=lambda kind: str(kind.__name__)
)
async def test_no_message_of_a_page_sets_what_the_server_sets(
    live_server: Server, kind: type[client_messages.ClientMessage]
) -> None:
    (type_,) = get_args(kind.model_fields["type"].annotation)
    given = {name: value for name, value in SERVER_SETS.items() if name != "id"}
    async with viewing(live_server) as client:
        viewed = await client.view("/mine")
        await client.send(type_, id="it", token="x", page="/mine", **given)
        await client.ask("ping", "pong")
        await client.send("leave")
        await client.next("left")
    view = stored(live_server, "page_views", ObjectId(viewed["viewId"]))
    assert view["visitorId"] == viewed["visitorId"]
    assert view["userId"] is None
    assert view["stamp"] != SERVER_SETS["stamp"]
    assert not set(view) & {"role", "isAdmin", "$set", "a.b", "user_id", "focusScore"}


def stored(server: Server, collection: str, id_: ObjectId) -> dict[str, Any]:
    with pymongo.MongoClient[dict[str, Any]](server.mongodb_uri) as mongo:
        found = mongo[server.database][collection].find_one({"_id": id_})
    assert found is not None
    return found


# --- operators ----------------------------------------------------------------------------


def places(body: Any) -> Iterator[tuple[Any, ...]]:
    """The way to each value within a body."""
    inside: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(body, dict):
        inside = iter(body.items())
    elif isinstance(body, list):
        inside = iter(enumerate(body))
    for key, value in inside:
        yield (key,)
        yield from ((key, *rest) for rest in places(value))


def with_value(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(body)
    parent = changed
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    return changed


def may_be_anything(door: Door, place: tuple[Any, ...]) -> bool:
    return door.path == "/api/track-engagement" and place[0] == "params"


def test_an_operator_is_refused_in_every_field_of_every_body(document: Json, ada: Person) -> None:
    before = ada.everything()
    tried = 0
    with ada.server.rest(ada.user_id, role="admin") as client:
        for door, schema in with_bodies(document):
            ways = {*places(door.body), *((name,) for name in schema["properties"])}
            for place in ways:
                for value in HOSTILE:
                    if may_be_anything(door, place):
                        continue
                    answer = asking(ada, door, with_value(door.body, place, value), client)
                    refused(answer, (door.name, place, value))
                    tried += 1
    assert ada.everything() == before
    assert tried > 200


def test_an_operator_is_refused_in_every_parameter_of_every_query(
    document: Json, ada: Person
) -> None:
    with ada.server.rest(ada.user_id, role="admin") as client:
        for door in doors(document):
            for name in door.query:
                for key in (f"{name}[$gt]", f"{name}[]", f"{name}.$gt", f"${name}"):
                    answer = client.request(door.method, ada.path(door.path), params={key: "a"})
                    refused(answer, (door.name, key))


def test_a_text_that_looks_like_an_operator_is_a_text(ada: Person) -> None:
    with ada.server.rest(f"{ada.user_id} of texts") as client:
        for text in HOSTILE_TEXTS:
            fields = {"title": text, "contentId": text, "notes": text, "tags": [text]}
            made = client.post("/api/sessions", json=fields).json()["session"]
            assert {name: made[name] for name in fields} == fields
        for text in HOSTILE_TEXTS:
            for name in ("tag", "contentId"):
                found = client.get("/api/sessions", params={name: text}).json()["sessions"]
                assert [each["title"] for each in found] == [text], (name, text)
            found = client.get("/api/sessions", params={"q": text}).json()["sessions"]
            assert {each["title"] for each in found} == {
                each for each in HOSTILE_TEXTS if text.lower() in each.lower()
            }


@pytest.mark.parametrize("email", [OPERATOR, {"$ne": None}, {"$regex": "^a"}])
@pytest.mark.parametrize("password", [OPERATOR, {"$ne": None}, "correct horse"])
def test_nobody_signs_in_by_an_operator(
    live_server: Server, ada: Person, email: Any, password: Any
) -> None:
    with live_server.rest(None) as anyone:
        for given in ({"email": email}, {"email": ada.email, "password": OPERATOR}):
            body = {"password": password, **given}
            refused(anyone.post("/api/auth/login", json=body), body)


@pytest.mark.parametrize("id_", ["$gt", '{"$gt":""}', "[$ne]", "%24gt", "a.b", "%00"])
def test_an_operator_in_an_address_is_no_id(ada: Person, id_: str) -> None:
    with ada.server.rest(ada.user_id, role="admin") as client:
        for path in (f"/api/sessions/{id_}", f"/api/stats/visitors/{id_}"):
            assert client.get(path).status_code == 404
        assert client.get(f"/api/admin/users/{id_}/sessions").json()["sessions"] == []


def test_names_with_dollars_and_dots_are_refused_where_clients_choose_names(
    live_server: Server,
) -> None:
    """`params` is the one place where a client chooses names."""
    body: Json = {"view": "v", "sequence": 0, "page": "/", "visibleSeconds": 0, "engagedSeconds": 0}
    with live_server.rest(None) as anyone:
        for value in HOSTILE:
            answer = anyone.post("/api/track-engagement", json={**body, "params": {"p": value}})
            refused(answer, value)
        for name in ("$gt", "$where", "a.b", "role.$", "\0"):
            refused(
                anyone.post("/api/track-engagement", json={**body, "params": {name: "x"}}), name
            )
        named = {"__proto__": "x"}  # a name like any other, where nobody is JavaScript
        answer = anyone.post("/api/track-engagement", json={**body, "params": named})
        view_id = answer.json()["view"]["viewId"]
    assert stored(live_server, "page_views", ObjectId(view_id))["params"] == named


@pytest.mark.parametrize("value", HOSTILE, ids=json.dumps)
async def test_an_operator_is_refused_in_every_field_of_every_message(
    live_server: Server, user: str, value: Any
) -> None:
    session = new_session(live_server, user)
    for kind in get_args(client_messages.Message):
        (type_,) = get_args(kind.model_fields["type"].annotation)
        fields = {"sessionId": session, "token": "x"} if type_ in ("start", "auth") else {}
        async with connected(live_server, user) as client:
            for name in ("type", "id", *known_fields(kind)):
                message = {"type": type_, **fields, name: value}
                await client.connection.send(json.dumps(message))
                refusal = await client.next("error", "started", "authenticated")
                assert refusal["type"] == "error", message
                assert refusal["code"] in ("invalid_message", "unknown_type"), message
    async with viewing(live_server) as client:
        for kind in get_args(page_messages.PageMessage):
            (type_,) = get_args(kind.model_fields["type"].annotation)
            for name in ("id", *known_fields(kind)):
                message = {"type": type_, "page": "/", "token": "x", name: value}
                if name == "params":
                    message[name] = {"p": value}
                await client.connection.send(json.dumps(message))
                refusal = await client.next("error", "viewing", "authenticated")
                assert refusal["type"] == "error", message
                await client.ask("ping", "pong")  # ten malformed in a row would end it


def known_fields(kind: type[client_messages.ClientMessage]) -> list[str]:
    return [
        field.alias or name
        for name, field in kind.model_fields.items()
        if name not in ("type", "id")
    ]
