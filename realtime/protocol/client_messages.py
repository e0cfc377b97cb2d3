"""Define and parse the messages that clients send on `/ws/sessions`.

Invariants:

- Parsing is total: any text becomes a message, or a `Malformed` with the reason. It never raises.
- Unknown fields are ignored, so clients may send more than this version understands.
- A lone surrogate, as in a text that was cut within an emoji, becomes U+FFFD.
"""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, from_json

from models.base.schema_types import one_message, or_default
from models.sessions.session import FinalStatus
from scoring.text import BOM, mended_json

MessageId = Annotated[
    Annotated[str, StringConstraints(max_length=64)] | Annotated[int, Field(ge=-(2**53), le=2**53)],
    one_message("Input should be a string of at most 64 characters or an integer"),
]
Updates = Literal["tick", "change", "none"]
M = TypeVar("M")


class ClientMessage(BaseModel):
    """The base of all messages of clients, on both sockets."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        strict=True,
        allow_inf_nan=False,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    id: MessageId | None = None
    """Comes back with the answer, or with the error."""


class Start(ClientMessage):
    """Track this session from now on: attach this connection, and count unless it is paused."""

    type: Literal["start"]
    session_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    updates: Annotated[Updates, or_default("tick", Updates)] = "tick"
    """`tick` is a message each second, `change` one when idle turns to active or back."""
    visible: Annotated[bool, or_default(default=True, of=bool)] = True
    """Whether the page is in front of the user; one that is hidden may have to give way."""
    heartbeat_seconds: Annotated[float, Field(ge=1, le=3600)] | None = None
    """A promise to send something that often; silence for twice as long ends the connection."""


class Activity(ClientMessage):
    """The user is there. Up to 60 times a second is fine."""

    type: Literal["activity"]


class TabSwitch(ClientMessage):
    """The user went to another tab."""

    type: Literal["tabSwitch"]


class Pause(ClientMessage):
    """Count nothing until `resume`."""

    type: Literal["pause"]


class Resume(ClientMessage):
    """Count again."""

    type: Literal["resume"]


class Stop(ClientMessage):
    """End the session and score it."""

    type: Literal["stop"]
    status: Annotated[FinalStatus, or_default("completed", FinalStatus)] = "completed"


class Auth(ClientMessage):
    """A fresh token for the same user."""

    type: Literal["auth"]
    token: Annotated[str, StringConstraints(min_length=1, max_length=8192)]


class Ping(ClientMessage):
    """Is the server there, and what time has it?"""

    type: Literal["ping"]


class Malformed(BaseModel):
    """A text that is not a valid message, and the reason."""

    id: str | int | None
    code: Literal["invalid_message", "unknown_type"]
    message: str


ACTIVITY = Activity(type="activity")
_ACTIVITY_TEXTS = frozenset({'{"type":"activity"}', '{"type": "activity"}'})


class MessageParser(Generic[M]):
    """The parser of one socket's messages."""

    def __init__(self, adapter: TypeAdapter[M]) -> None:
        self._adapter = adapter

    def parse(self, text: str) -> M | Activity | Malformed:
        """Return the message in a text. Never raises."""
        if text in _ACTIVITY_TEXTS:  # up to 60 a second from each client
            return ACTIVITY
        found = self._read(text)
        if isinstance(found, Malformed) and found.id is None:
            mended = mended_json(text.removeprefix(BOM))
            if mended != text:
                return self._read(mended)
        return found

    def _read(self, text: str) -> M | Malformed:
        try:
            return self._adapter.validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=True, include_input=False)[0]
            code, reason = _explain(first)
            return Malformed(id=_id_of(text), code=code, message=reason)


Message = Start | Activity | TabSwitch | Pause | Resume | Stop | Auth | Ping
parse = MessageParser[Message](TypeAdapter(Annotated[Message, Field(discriminator="type")])).parse


def _explain(error: ErrorDetails) -> tuple[Literal["invalid_message", "unknown_type"], str]:
    match error["type"]:
        case "json_invalid":
            return "invalid_message", "The message is not valid JSON."
        case "union_tag_invalid":
            expected = error["ctx"]["expected_tags"].replace("'", "")
            return "unknown_type", f"Unknown message type. Known are: {expected}."
        case "union_tag_not_found":
            return "invalid_message", "The message has no `type`."
        case "model_type" | "model_attributes_type" | "dict_type":
            return "invalid_message", "The message must be a JSON object."
    field = ".".join(str(part) for part in error["loc"][1:])
    reason = error["msg"].removeprefix("Value error, ")
    return "invalid_message", f"{field}: {reason}." if field else f"{reason}."


def _id_of(text: str) -> str | int | None:
    """Return the `id` of an invalid message, if it can be read."""
    try:
        value = from_json(text)
    except ValueError:
        return None
    found = value.get("id") if isinstance(value, dict) else None
    if isinstance(found, str) and len(found) <= 64:
        return found
    if isinstance(found, int) and not isinstance(found, bool) and abs(found) <= 2**53:
        return found
    return None
