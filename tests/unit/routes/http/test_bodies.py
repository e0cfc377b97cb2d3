"""Whatever comes in: a model, or a clean refusal."""

import asyncio
import json
from datetime import datetime
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from quart import Quart, Response, request

from models.base.errors import DomainError, Invalid, Malformed
from models.base.schema_types import UtcDatetime, WireModel
from routes.http.bodies import (
    MAX_BODY_BYTES,
    MAX_ERRORS,
    answer,
    install_limits,
    no_content,
    parse_body,
    read_body,
    read_query,
)
from routes.http.problems import install_problems

SECRET = "hunter2-do-not-tell"


class Thing(WireModel):
    target_minutes: Annotated[float, Field(gt=0, le=1440)]
    weight: float = 0
    tab_switches: int = 0
    is_done: bool = False
    started_at: UtcDatetime | None = None
    tags: Annotated[list[str], Field(default_factory=list)]


class Options(WireModel):
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    started_at: UtcDatetime | None = None
    is_done: bool = False
    tag: Annotated[str, Field(max_length=5)] | None = None


def make_app(*, limits: bool = True) -> Quart:
    app = Quart("test", static_folder=None)
    install_problems(app)
    if limits:
        install_limits(app)

    @app.post("/things")
    async def things() -> Response:
        return answer(await read_body(Thing), 201)

    @app.post("/options")
    async def optional() -> Response:
        return answer(await read_body(Options))

    @app.get("/options")
    async def options() -> Response:
        return answer(read_query(Options))

    return app


def test_camel_case_only_on_the_wire() -> None:
    thing = parse_body(Thing, b'{"targetMinutes": 25, "tabSwitches": 3, "isDone": true}')
    assert thing == Thing(target_minutes=25.0, tab_switches=3, is_done=True)
    assert json.loads(thing.model_dump_json())["targetMinutes"] == 25.0
    with pytest.raises(Invalid) as caught:
        parse_body(Thing, b'{"target_minutes": 25}')
    assert {error["field"] for error in caught.value.errors} == {"targetMinutes", "target_minutes"}


def test_of_a_repeated_member_the_last_counts() -> None:
    assert parse_body(Thing, b'{"targetMinutes": 1, "targetMinutes": 2}').target_minutes == 2


@pytest.mark.parametrize(
    ("body", "tags"),
    [
        (b'{"targetMinutes": 25, "tags": ["\\ud800x"]}', ["\ufffdx"]),
        (b'{"targetMinutes": 25, "tags": ["\\ud83d\\ude00\\udead"]}', ["😀\ufffd"]),
        (b'{"targetMinutes": 25, "tags": ["\\\\ud800"]}', ["\\ud800"]),
        (b'\xef\xbb\xbf{"targetMinutes": 25}', []),
    ],
)
def test_what_programs_write_beside_the_standard_is_read(body: bytes, tags: list[str]) -> None:
    assert parse_body(Thing, body).tags == tags


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "GZIP"])
async def test_a_compressed_body_is_refused_as_such(coding: str) -> None:
    client = make_app().test_client()
    response = await client.post(
        "/things", data=b"\x1f\x8b\x08", headers={"Content-Encoding": coding}
    )
    assert response.status_code == 415
    assert (await response.get_json())["code"] == "unsupported_media_type"


async def test_a_body_may_say_that_it_is_not_compressed() -> None:
    client = make_app().test_client()
    response = await client.post(
        "/things", data=b'{"targetMinutes": 25}', headers={"Content-Encoding": "Identity"}
    )
    assert response.status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"x",
        b"{'targetMinutes': 25}",
        b'{"targetMinutes": Infinity}{',
        b'{"targetMinutes": 25} trailing',
        b'{"targetMinutes": 25}{"targetMinutes": 25}',
        b'{"targetMinutes": 25,}',
        b'{"targetMinutes": 025}',
        b"\xff\xfe{}",
        b'{"tags": ["\xff"]}',
        b"[" * MAX_BODY_BYTES,
        b'{"a":' * 10_000,
        '{"targetMinutes": 25}'.encode("utf-16"),
        b"\x00",
        b"targetMinutes=25",
    ],
    ids=lambda body: repr(body)[:30],
)
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        parse_body(Thing, body)
    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("null", "body"),
        ("[]", "body"),
        ("25", "body"),
        ("{}", "targetMinutes"),
        ('{"targetMinutes": "25"}', "targetMinutes"),
        ('{"targetMinutes": true}', "targetMinutes"),
        ('{"targetMinutes": 1e999}', "targetMinutes"),
        ('{"targetMinutes": Infinity}', "targetMinutes"),
        ('{"targetMinutes": NaN}', "targetMinutes"),
        ('{"targetMinutes": 1, "weight": NaN}', "weight"),
        ('{"targetMinutes": 1, "weight": -1e999}', "weight"),
        ('{"targetMinutes": 1, "tabSwitches": NaN}', "tabSwitches"),
        ('{"targetMinutes": 0}', "targetMinutes"),
        ('{"targetMinutes": {"$gt": ""}}', "targetMinutes"),
        ('{"targetMinutes": 1, "tabSwitches": 1.5}', "tabSwitches"),
        ('{"targetMinutes": 1, "tabSwitches": "1"}', "tabSwitches"),
        ('{"targetMinutes": 1, "isDone": 1}', "isDone"),
        ('{"targetMinutes": 1, "tags": "a"}', "tags"),
        ('{"targetMinutes": 1, "tags": ["a", 5]}', "tags.1"),
        ('{"targetMinutes": 1, "startedAt": 1700000000}', "startedAt"),
        ('{"targetMinutes": 1, "startedAt": "1700000000"}', "startedAt"),
        ('{"targetMinutes": 1, "startedAt": "2026-01-31"}', "startedAt"),
        ('{"targetMinutes": 1, "startedAt": "2026-01-31T09:30:00"}', "startedAt"),
        ('{"targetMinutes": 1, "startedAt": "0001-01-01T00:00:00+14:00"}', "startedAt"),
        ('{"targetMinutes": 1, "startedAt": "9999-12-31T23:59:59-14:00"}', "startedAt"),
        ('{"targetMinutes": 1, "$where": "1"}', "$where"),
    ],
)
def test_what_breaks_a_rule(body: str, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_body(Thing, body.encode())
    assert [found["field"] for found in caught.value.errors] == [field]
    assert all(found["message"] for found in caught.value.errors)


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("2026-01-31T09:30:00Z", "2026-01-31T09:30:00.000Z"),
        ("2026-01-31T09:30:00.123956Z", "2026-01-31T09:30:00.123Z"),
        ("2026-01-31T09:30:00+05:30", "2026-01-31T04:00:00.000Z"),
        ("2026-01-31t09:30:00.5z", "2026-01-31T09:30:00.500Z"),
    ],
)
def test_instants_are_utc_milliseconds(text: str, wire: str) -> None:
    thing = parse_body(Thing, json.dumps({"targetMinutes": 1, "startedAt": text}).encode())
    assert isinstance(thing.started_at, datetime)
    assert thing.started_at.tzname() == "UTC"
    assert json.loads(thing.model_dump_json())["startedAt"] == wire


def test_what_was_sent_is_not_repeated() -> None:
    values = dict.fromkeys(("targetMinutes", "tabSwitches", "isDone", "startedAt"), SECRET)
    with pytest.raises(Invalid) as caught:
        parse_body(Thing, json.dumps(values | {"tags": [5, SECRET], "other": SECRET}).encode())
    assert SECRET not in str(caught.value) + str(caught.value.errors)
    assert len(caught.value.errors) == 6


def test_errors_are_bounded_in_number_and_length() -> None:
    body = {f"{'x' * 1000}{number}": 1 for number in range(60)}
    with pytest.raises(Invalid) as caught:
        parse_body(Thing, json.dumps(body).encode())
    assert len(caught.value.errors) == MAX_ERRORS
    assert len(json.dumps(caught.value.errors)) < 10_000


def try_body(body: bytes) -> None:
    try:
        thing = parse_body(Thing, body)
    except (Malformed, Invalid) as error:
        json.dumps([error.code, error.message, *getattr(error, "errors", ())]).encode()
    else:
        again = parse_body(Thing, thing.model_dump_json().encode())
        assert again == thing


@given(st.binary())
def test_any_bytes_are_a_model_or_a_clean_refusal(body: bytes) -> None:
    try_body(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
FIELDS = st.sampled_from(["targetMinutes", "tabSwitches", "isDone", "startedAt", "tags", "more"])
LIKELY = st.dictionaries(FIELDS, JSON | st.integers(1, 9) | st.datetimes().map(str))


@given(st.one_of(JSON, LIKELY, LIKELY.map(lambda given: given | {"targetMinutes": 5})))
def test_any_json_is_a_model_or_a_clean_refusal(value: Any) -> None:
    try_body(json.dumps(value).encode())


@given(st.binary(max_size=100))
def test_any_request_gets_a_clean_answer(body: bytes) -> None:
    async def send() -> int:
        client = make_app().test_client()
        query = "".join(f"%{byte:02x}" for byte in body)
        posted = await client.post("/things", data=body)
        asked = await client.get(f"/options?limit={query}&{query}=1")
        assert asked.status_code in {200, 422}
        return posted.status_code

    assert asyncio.run(send()) in {201, 400, 422}


@pytest.mark.parametrize("limits", [True, False], ids=["with Quart's limit", "by itself"])
async def test_the_size_limit(limits: bool) -> None:
    client = make_app(limits=limits).test_client()
    frame = b'{"targetMinutes": 1, "tags": [""]}'
    body = frame[:-3] + b"x" * (MAX_BODY_BYTES - len(frame)) + frame[-3:]
    assert len(body) == MAX_BODY_BYTES
    assert (await client.post("/things", data=body)).status_code == 201
    response = await client.post("/things", data=body + b" ")
    assert response.status_code == 413
    assert json.loads(await response.get_data())["code"] == "body_too_large"


async def answer_to(app: Quart, *chunks: bytes, headers: dict[str, str] | None = None) -> int:
    """The status for a body that never ends after `chunks`."""
    connection = app.test_client().request("/things", method="POST", headers=headers)
    async with asyncio.timeout(5), connection:
        for chunk in chunks:
            await connection.send(chunk)
            await asyncio.sleep(0)
    return (await connection.as_response()).status_code


async def test_a_large_body_is_refused_by_what_it_announces() -> None:
    assert await answer_to(make_app(), headers={"Content-Length": "1000000"}) == 413


@pytest.mark.parametrize("limits", [True, False], ids=["with Quart's limit", "by itself"])
async def test_an_unannounced_large_body_is_refused_at_the_limit(limits: bool) -> None:
    half = b"x" * (MAX_BODY_BYTES // 2)
    assert await answer_to(make_app(limits=limits), half, half, b"x") == 413


async def test_a_body_that_does_not_arrive_is_a_408() -> None:
    app = make_app()
    app.config["BODY_TIMEOUT"] = 0.05
    assert await answer_to(app, b"{") == 408


@pytest.mark.parametrize(
    "content_type",
    [None, "", "application/json", "text/plain", "application/x-www-form-urlencoded"],
)
async def test_the_content_type_does_not_matter(content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = (
        await make_app()
        .test_client()
        .post("/things", data=b'{"targetMinutes": 25}', headers=headers)
    )
    assert response.status_code == 201
    assert response.content_type == "application/json"


def test_no_content_has_neither_type_nor_length() -> None:
    response = no_content()
    assert (response.status_code, list(response.headers)) == (204, [])


async def test_no_body_stands_for_an_empty_object_where_nothing_is_required() -> None:
    client = make_app().test_client()
    assert (await client.post("/options")).status_code == 200
    response = await client.post("/things")
    assert (response.status_code, json.loads(await response.get_data())["code"]) == (
        400,
        "body_missing",
    )


async def test_a_query_string_is_read_into_a_model() -> None:
    query = "limit=5&startedAt=2026-01-31T09:30:00%2B01:00&isDone=true&tag=%C3%A4"
    response = await make_app().test_client().get(f"/options?{query}")
    assert await response.get_json() == {
        "limit": 5,
        "startedAt": "2026-01-31T08:30:00.000Z",
        "isDone": True,
        "tag": "ä",
    }
    response = await make_app().test_client().get("/options")
    assert (await response.get_json())["limit"] == 20


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=", "limit"),
        ("limit=1.5", "limit"),
        ("limit=NaN", "limit"),
        ("limit=5&limit=5", "limit"),
        ("limit[$gt]=1", "limit[$gt]"),
        ("isDone=perhaps", "isDone"),
        ("is_done=true", "is_done"),
        ("startedAt=yesterday", "startedAt"),
        ("tag=toolong", "tag"),
        ("unknown=1", "unknown"),
        ("x=1&x=2", "x"),
    ],
)
async def test_bad_query_strings(query: str, field: str) -> None:
    response = await make_app().test_client().get(f"/options?{query}")
    body = json.loads(await response.get_data())
    assert (response.status_code, body["code"]) == (422, "invalid_query")
    assert [error["field"] for error in body["errors"]] == [field]


def test_refusals_are_domain_errors() -> None:
    assert issubclass(Malformed, DomainError)
    assert issubclass(Invalid, DomainError)
    assert not issubclass(Malformed, Invalid)


async def test_the_limit_is_quarts_too() -> None:
    app = make_app()
    async with app.test_request_context("/things", method="POST"):
        assert request.max_content_length == MAX_BODY_BYTES
