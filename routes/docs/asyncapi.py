"""The AsyncAPI 3.0 document of both sockets, served at `/asyncapi.json`.

What must always hold: it is made of the classes of the messages, of `CloseCode` and of the
table of codes, so it says what the sockets say; tests hold it and recorded conversations
together.
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
from routes.http.error_codes import CODES, OF_A_VIEW

DESCRIPTION = (
    "FocusUp counts seconds on the server. These are its sockets, on the host that serves this "
    "document. Messages are JSON text frames of at most 16 KB; compression is never negotiated. "
    "Unknown fields are ignored. An answer, or an error, carries the `id` of the message that "
    "it answers."
)
SECURITY_SCHEMES: Mapping[str, dict[str, str]] = {
    "subprotocol": {
        "type": "httpApiKey",
        "in": "header",
        "name": "Sec-WebSocket-Protocol",
        "description": "The subprotocols `focusup.v1, bearer.JWT`, for browsers: the token stays "
        "out of addresses and logs.",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "`Authorization: Bearer JWT`, for programs.",
    },
    "token": {
        "type": "httpApiKey",
        "in": "query",
        "name": "token",
        "description": "`?token=JWT`, for clients that were published with it.",
    },
}
OF_EVERY_MESSAGE = ("invalid_message",)
OF_NO_MESSAGE = ("unknown_type",)
OF_WHAT_IS_STORED = ("database_unavailable",)
OF_A_FRESH_TOKEN = ("token_invalid", "token_expired")
OF_A_SESSION = ("not_started", "session_ended", "superseded", *OF_WHAT_IS_STORED)

Json = dict[str, Any]


class Channel(NamedTuple):
    """One of the sockets: what it hears, and what it says. `refusals` are the codes of the
    errors that a message may get, beside `OF_EVERY_MESSAGE`; `query` describes what its address
    may carry; `secured` says whether it needs a token."""

    name: str
    address: str
    title: str
    description: str
    heard: tuple[type[ClientMessage], ...]
    said: tuple[type[ServerMessage], ...]
    refusals: Mapping[type[ClientMessage], tuple[str, ...]]
    query: Mapping[str, str]
    secured: bool


TOKEN_IN_QUERY = {"token": "A token, where no header can carry it."}
CHANNELS = (
    Channel(
        name="sessions",
        address="/ws/sessions",
        title="Focus sessions",
        description="One connection tracks one session at a time. A token is needed: without a "
        "good one the connection is accepted and then closed with 4401.",
        heard=get_args(Message),
        said=get_args(SessionAnswer),
        refusals={
            Start: (
                *("session_not_found", "session_ended", "already_tracking"),
                *("contended", "restarting", *OF_WHAT_IS_STORED),
            ),
            TabSwitch: ("not_started", "session_ended"),
            Pause: OF_A_SESSION,
            Resume: OF_A_SESSION,
            Stop: ("session_not_found", *OF_A_SESSION),
            Auth: (*OF_A_FRESH_TOKEN, "wrong_subject"),
        },
        query=TOKEN_IN_QUERY,
        secured=True,
    ),
    Channel(
        name="pageviews",
        address="/ws/pageviews",
        title="Page views",
        description="One connection views one page at a time. The visitor is known by the cookie "
        "`focusup_visitor`, or by its key in `?visitor=`; it is a new one without. A token joins "
        "the visitor to its user; it is not needed, and a bad one counts as none.",
        heard=get_args(PageMessage),
        said=get_args(PageAnswer),
        refusals={
            View: (*OF_A_VIEW, "too_busy", *OF_WHAT_IS_STORED),
            Visible: ("not_started",),
            Hidden: ("not_started",),
            Leave: ("not_started", *OF_WHAT_IS_STORED),
            Auth: OF_A_FRESH_TOKEN,
        },
        query={"visitor": "The key that an earlier `viewing` gave.", **TOKEN_IN_QUERY},
        secured=False,
    ),
)


def asyncapi_document(version: str, base_path: str = "") -> Json:
    """The whole document; `base_path` is where the sockets are served, such as `/focus`."""
    heard = {kind for channel in CHANNELS for kind in channel.heard}
    said = {kind for channel in CHANNELS for kind in channel.said}
    operations: Json = {}
    for channel in CHANNELS:
        operations |= _operations(channel)
    refusals = [codes for channel in CHANNELS for codes in channel.refusals.values()]
    codes = sorted({*OF_EVERY_MESSAGE, *OF_NO_MESSAGE}.union(*refusals))
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "FocusUp sockets", "version": version, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel, base_path) for channel in CHANNELS},
        "operations": operations,
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in _sorted(heard | said)},
            "schemas": _schemas(_sorted(heard), _sorted(said), codes),
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
            for kind in (*channel.heard, *channel.said)
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
    """One for each message that is heard, with its answers; and one for all that is said
    unasked."""
    secured: Json = {}
    if channel.secured:
        schemes = [{"$ref": f"#/components/securitySchemes/{name}"} for name in SECURITY_SCHEMES]
        secured = {"security": schemes}
    here = {"$ref": f"#/channels/{channel.name}"}
    operations: Json = {}
    for kind in channel.heard:
        answers = [answer for answer in channel.said if kind in answer.answers]
        operations[f"{channel.name}.{type_of(kind)}"] = {
            "action": "receive",
            "channel": here,
            "summary": _first_sentence(kind),
            "messages": _in(channel, [kind]),
            "reply": {"channel": here, "messages": _in(channel, [*answers, Error])},
            "x-error-codes": [*channel.refusals.get(kind, ()), *OF_EVERY_MESSAGE],
            **secured,
        }
    operations[f"{channel.name}.unasked"] = {
        "action": "send",
        "channel": here,
        "summary": "What the server says unasked.",
        "messages": _in(channel, [kind for kind in channel.said if kind.unasked]),
        **secured,
    }
    return operations


def _in(channel: Channel, kinds: Iterable[type]) -> list[Json]:
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
    """The `type` of this message on the wire."""
    (name,) = get_args(kind.model_fields["type"].annotation)
    return str(name)


def _description(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())


def _first_sentence(kind: type) -> str:
    return _description(kind).partition(". ")[0].rstrip(".") + "."


def _schemas(
    heard: Iterable[type[ClientMessage]], said: Iterable[type[ServerMessage]], codes: list[str]
) -> Json:
    """Those of the messages, and of what is in them."""
    modes: list[tuple[type[ClientMessage | ServerMessage], Mode]] = [
        *((kind, "validation") for kind in heard),
        *((kind, "serialization") for kind in said),
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
