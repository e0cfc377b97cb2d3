"""The AsyncAPI document: by the official schema, and by the classes that it is made of."""

import json
import re
from collections.abc import Iterator
from typing import get_args

import jsonschema_rs
import pytest

from realtime.protocol.client_messages import ClientMessage, parse
from realtime.protocol.close_codes import CloseCode
from realtime.protocol.page_messages import parse_page
from realtime.protocol.server_messages import CountedMessage, Error, ServerMessage
from routes.docs.asyncapi import CHANNELS, asyncapi_document, type_of
from routes.docs.socket_examples import EXAMPLES
from routes.http.error_codes import CODES
from tests.support.documents import Json, resolved, rules
from tests.support.paths import ROOT
from tests.support.requirements import missing

SPECIFICATION = ROOT / "tests/node/node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json"
ABSTRACT = {CountedMessage}


@pytest.fixture(scope="module")
def document() -> Json:
    return asyncapi_document("1.2.3")


def heirs(kind: type) -> Iterator[type]:
    direct: list[type] = kind.__subclasses__()
    for heir in direct:
        yield heir
        yield from heirs(heir)


def test_it_keeps_to_the_official_schema(document: Json) -> None:
    if not SPECIFICATION.exists():
        missing("@asyncapi/specs is not installed: npm install --prefix tests/node")
    schema = json.loads(SPECIFICATION.read_text())
    jsonschema_rs.validator_for(schema).validate(document)
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validator_for(schema).validate({**document, "channels": []})


def test_every_class_of_message_is_in_it(document: Json) -> None:
    kinds = {*heirs(ClientMessage), *heirs(ServerMessage)} - ABSTRACT
    assert set(document["components"]["messages"]) == {kind.__name__ for kind in kinds}
    assert set(EXAMPLES) == kinds
    of_channels = [kind for channel in CHANNELS for kind in (*channel.received, *channel.sent)]
    assert set(of_channels) == kinds


def test_every_reference_leads_somewhere(document: Json) -> None:
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))
    assert len(references) > 100
    for reference in references:
        assert resolved(document, {"$ref": reference})


def test_every_message_has_its_type_its_words_and_an_example(document: Json) -> None:
    for message in document["components"]["messages"].values():
        schema = resolved(document, message["payload"])
        assert schema["properties"]["type"]["const"] == message["name"]
        assert "type" in schema["required"]
        assert len(message["description"]) > 10
        (example,) = message["examples"]
        assert example["payload"]["type"] == message["name"]
        rules(document, schema).validate(example["payload"])


def test_what_a_client_may_leave_out_is_not_required(document: Json) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Start"]["required"] == ["type", "sessionId"]
    assert schemas["View"]["required"] == ["type", "page"]
    assert set(schemas["Error"]["required"]) == {"type", "id", "code", "message", "retryable"}


def test_the_sockets_understand_the_examples(document: Json) -> None:
    for channel, understood in zip(CHANNELS, (parse, parse_page), strict=True):
        for kind in channel.received:
            assert isinstance(understood(json.dumps(EXAMPLES[kind])), kind)


def test_each_message_has_an_operation_with_its_answers_and_errors(document: Json) -> None:
    operations = document["operations"]
    for channel in CHANNELS:
        for kind in channel.received:
            operation = operations[f"{channel.name}.{type_of(kind)}"]
            assert operation["action"] == "receive"
            refusals = channel.refusals.get(kind, ())
            assert operation["x-error-codes"] == [*refusals, "invalid_message"]
            named = {m["$ref"].rpartition("/")[2] for m in operation["reply"]["messages"]}
            answers = {answer.__name__ for answer in channel.sent if kind in answer.answers}
            assert named == {*answers, Error.__name__}
        unasked = operations[f"{channel.name}.unasked"]
        assert unasked["action"] == "send"
        assert len(unasked["messages"]) == sum(kind.unasked for kind in channel.sent)
    assert len(operations) == sum(len(channel.received) + 1 for channel in CHANNELS)


def test_every_answer_is_to_something_that_its_socket_hears() -> None:
    for channel in CHANNELS:
        for kind in channel.sent:
            assert kind.unasked or set(kind.answers) & set(channel.received), kind


def test_every_close_code_and_every_way_of_the_token_is_told(document: Json) -> None:
    for channel in document["channels"].values():
        told = {close["code"]: close["client"] for close in channel["x-close-codes"]}
        assert told == {int(code): code.advice for code in CloseCode}
    assert set(document["components"]["securitySchemes"]) == {"subprotocol", "bearer", "token"}
    secured = {name for name, each in document["operations"].items() if "security" in each}
    assert secured == {name for name in document["operations"] if name.startswith("sessions.")}


def test_the_codes_of_errors_are_those_of_the_table(document: Json) -> None:
    told = document["x-error-codes"]
    assert told == {code: CODES[code].meaning for code in told}
    assert document["components"]["schemas"]["Error"]["properties"]["code"]["enum"] == list(told)
    said_by_sockets_alone = {code for code, (status, _) in CODES.items() if status is None}
    assert said_by_sockets_alone | {"not_started", "already_tracking"} <= set(told)


def test_a_message_is_of_one_type_on_its_socket() -> None:
    for channel in CHANNELS:
        for kinds in (channel.received, channel.sent):
            assert len({type_of(kind) for kind in kinds}) == len(kinds)
            assert all(get_args(kind.model_fields["type"].annotation) for kind in kinds)


def test_the_written_protocol_names_every_message_and_code(document: Json) -> None:
    written = "".join((ROOT / "docs" / name).read_text() for name in ("protocol.md", "tracking.md"))
    for message in document["components"]["messages"].values():
        assert re.search(rf"[`\"]{message['name']}[`\"]", written), message["name"]
    for code in document["x-error-codes"]:
        assert f"`{code}`" in written
    for code in CloseCode:
        assert re.search(rf"^\|[ /0-9,]*\b{int(code)}\b", written, re.MULTILINE), code
