"""Build the AsyncAPI 3.0 document of both sockets, served at `/asyncapi.json`.

Invariant: the document is generated from the message classes, `CloseCode` and the table of error
codes, so it describes what the sockets do. Tests compare it with recorded conversations.
"""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, get_args

from realtime.protocol.client_messages import (
    Auth,
    ClientMessage,
    Message,
    Pause,
    Resume,
    Start,
    Stop,
    TabSwitch,
)
from realtime.protocol.close_codes import CloseCode
from realtime.protocol.page_messages import Hidden, Leave, PageAnswer, PageMessage, View, Visible
from realtime.protocol.server_messages import Error, ServerMessage, SessionAnswer
from routes.docs.openapi import REFERENCE, Mode, add_schemas
from routes.docs.socket_examples import EXAMPLES
from routes.http.error_codes import CODES, VIEW_CODES

DESCRIPTION = (
    "FocusUp counts the seconds of focus sessions and page views on the server. These are its "
    "WebSockets, on the host that serves this document. Messages are JSON text frames of at most "
    "16 KB; compression is never negotiated. Unknown fields are ignored. Replies and errors carry "
    "the `id` of the message they answer."
)
SECURITY_SCHEMES: Mapping[str, dict[str, str]] = {
    "subprotocol": {
        "type": "httpApiKey",
        "in": "header",
        "name": "Sec-WebSocket-Protocol",
        "description": "Browsers: the subprotocols `focusup.v1, bearer.JWT`. This keeps the token "
        "out of URLs and logs.",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "Other clients: `Authorization: Bearer JWT`.",
    },
    "token": {
        "type": "httpApiKey",
        "in": "query",
        "name": "token",
        "description": "Older clients: `?token=JWT`.",
    },
}
MESSAGE_CODES = ("invalid_message",)
UNKNOWN_MESSAGE_CODES = ("unknown_type",)
DATABASE_CODES = ("database_unavailable",)
AUTH_CODES = ("token_invalid", "token_expired")
SESSION_CODES = ("not_started", "session_ended", "superseded", *DATABASE_CODES)

Json = dict[str, Any]


class Channel(NamedTuple):
    """A socket, with the messages that it receives and sends.

    `refusals` are the error codes that a message can get, beside `MESSAGE_CODES`; `query`
    describes the query parameters; `secured` says whether a token is required.
    """

    name: str
    address: str
    title: str
    description: str
    received: tuple[type[ClientMessage], ...]
    sent: tuple[type[ServerMessage], ...]
    refusals: Mapping[type[ClientMessage], tuple[str, ...]]
    query: Mapping[str, str]
    secured: bool


TOKEN_IN_QUERY = {"token": "The access token, if the client cannot send it in a header."}
CHANNELS = (
    Channel(
        name="sessions",
        address="/ws/sessions",
        title="Focus sessions",
        description="A connection tracks one session at a time. A valid token is required; without "
        "one the connection is accepted and then closed with 4401.",
        received=get_args(Message),
        sent=get_args(SessionAnswer),
        refusals={
            Start: (
                *("session_not_found", "session_ended", "already_tracking"),
                *("contended", "restarting", *DATABASE_CODES),
            ),
            TabSwitch: ("not_started", "session_ended"),
            Pause: SESSION_CODES,
            Resume: SESSION_CODES,
            Stop: ("session_not_found", *SESSION_CODES),
            Auth: (*AUTH_CODES, "wrong_subject"),
        },
        query=TOKEN_IN_QUERY,
        secured=True,
    ),
    Channel(
        name="pageviews",
        address="/ws/pageviews",
        title="Page views",
        description="A connection views one page at a time. The visitor is identified by the "
        "cookie `focusup_visitor` or by its key in `?visitor=`; without either, a new visitor "
        "is created. A token is optional and links the visitor to its user; an invalid token is "
        "ignored.",
        received=get_args(PageMessage),
        sent=get_args(PageAnswer),
        refusals={
            View: (*VIEW_CODES, "too_busy", *DATABASE_CODES),
            Visible: ("not_started",),
            Hidden: ("not_started",),
            Leave: ("not_started", *DATABASE_CODES),
            Auth: AUTH_CODES,
        },
        query={"visitor": "The visitor's key from an earlier `viewing` message.", **TOKEN_IN_QUERY},
        secured=False,
    ),
)


def asyncapi_document(version: str, base_path: str = "") -> Json:
    """Return the document.

    Args:
        version: The version of the product.
        base_path: The path below which the sockets are served, such as `/focus`.
    """
    received = {kind for channel in CHANNELS for kind in channel.received}
    sent = {kind for channel in CHANNELS for kind in channel.sent}
    operations: Json = {}
    for channel in CHANNELS:
        operations |= _operations(channel)
    refusals = [codes for channel in CHANNELS for codes in channel.refusals.values()]
    codes = sorted({*MESSAGE_CODES, *UNKNOWN_MESSAGE_CODES}.union(*refusals))
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "FocusUp WebSocket API", "version": version, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel, base_path) for channel in CHANNELS},
        "operations": operations,
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in _sorted(received | sent)},
            "schemas": _schemas(_sorted(received), _sorted(sent), codes),
            "securitySchemes": dict(SECURITY_SCHEMES),
        },
        "x-error-codes": {code: CODES[code].meaning for code in codes},
    }


def _channel(channel: Channel, base_path: str) -> Json:
    query = {
        name: {"type": "string", "description": meaning} for name, meaning in channel.query.items()
    }
    return {
        "address": base_path + channel.address,
        "title": channel.title,
        "description": channel.description,
        "messages": {
            kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"}
            for kind in (*channel.received, *channel.sent)
        },
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {"type": "object", "properties": query},
                "bindingVersion": "0.1.0",
            }
        },
        "x-close-codes": [
            {"code": int(code), "name": code.name, "when": code.when, "client": code.advice}
            for code in CloseCode
        ],
    }


def _operations(channel: Channel) -> Json:
    """Return an operation for each received message, and one for all unsolicited messages."""
    secured: Json = {}
    if channel.secured:
        schemes = [{"$ref": f"#/components/securitySchemes/{name}"} for name in SECURITY_SCHEMES]
        secured = {"security": schemes}
    reference = {"$ref": f"#/channels/{channel.name}"}
    operations: Json = {}
    for kind in channel.received:
        answers = [answer for answer in channel.sent if kind in answer.answers]
        operations[f"{channel.name}.{type_of(kind)}"] = {
            "action": "receive",
            "channel": reference,
            "summary": _first_sentence(kind),
            "messages": _references(channel, [kind]),
            "reply": {"channel": reference, "messages": _references(channel, [*answers, Error])},
            "x-error-codes": [*channel.refusals.get(kind, ()), *MESSAGE_CODES],
            **secured,
        }
    operations[f"{channel.name}.unasked"] = {
        "action": "send",
        "channel": reference,
        "summary": "Messages that the server sends on its own.",
        "messages": _references(channel, [kind for kind in channel.sent if kind.unasked]),
        **secured,
    }
    return operations


def _references(channel: Channel, kinds: Iterable[type]) -> list[Json]:
    return [{"$ref": f"#/channels/{channel.name}/messages/{kind.__name__}"} for kind in kinds]


def _message(kind: type[ClientMessage | ServerMessage]) -> Json:
    return {
        "name": type_of(kind),
        "title": kind.__name__,
        "summary": _first_sentence(kind),
        "description": _description(kind),
        "payload": {"$ref": REFERENCE.format(model=kind.__name__)},
        "examples": [{"payload": EXAMPLES[kind]}],
    }


def type_of(kind: type[ClientMessage | ServerMessage]) -> str:
    """Return the `type` of this message on the wire."""
    (name,) = get_args(kind.model_fields["type"].annotation)
    return str(name)


def _description(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())


def _first_sentence(kind: type) -> str:
    return _description(kind).partition(". ")[0].rstrip(".") + "."


def _schemas(
    received: Iterable[type[ClientMessage]], sent: Iterable[type[ServerMessage]], codes: list[str]
) -> Json:
    """Return the schemas of the messages and of their parts."""
    modes: list[tuple[type[ClientMessage | ServerMessage], Mode]] = [
        *((kind, "validation") for kind in received),
        *((kind, "serialization") for kind in sent),
    ]
    schemas: Json = {}
    for kind, mode in modes:
        schema = kind.model_json_schema(mode=mode, ref_template=REFERENCE)
        add_schemas(schemas, schema.pop("$defs", {}))
        add_schemas(schemas, {kind.__name__: schema})
    schemas[Error.__name__]["properties"]["code"]["enum"] = codes
    return schemas


def _sorted(kinds: Iterable[type]) -> list[type]:
    return sorted(kinds, key=lambda kind: kind.__name__)
