"""Define the types of everything on the wire and in the database: camelCase, strict, finite.

Invariants:

- A field has the same name on the wire and in the database (`passwordHash`), and its snake_case
  form in Python.
- A number is never a string, NaN or infinite. An unknown field of a body is refused.
- An instant is an aware UTC datetime of millisecond precision, as BSON keeps it, and is written as
  `2026-01-31T09:30:00.000Z`.
- A refused value is never repeated in an error, because it may be a password.
- A name has one spelling (`scoring.text.clean`), so names that look the same are the same.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Optional, Self

from bson import ObjectId
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema

from scoring.text import clean, composed, decoded_path, distinct

EARLIEST, LATEST = date(2000, 1, 1), date(2100, 1, 1)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DATE_AND_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]", re.ASCII)
_BLANK_FOR_PLUS = re.compile(r"(T[\d:.]+) (\d\d:?\d\d)\Z")


def milliseconds(instant: datetime) -> datetime:
    """Return an aware instant in UTC, cut to the millisecond as the database stores it."""
    try:
        utc = instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("out of range") from None
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def iso_utc(instant: datetime) -> str:
    """Return an aware instant as ISO 8601 in UTC, with milliseconds and `Z`."""
    text = instant.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def _iso_or_datetime(value: object) -> object:
    # Pydantic also reads 1700000000 and "1700000000" as instants; the wire knows ISO 8601 only.
    if isinstance(value, datetime) or (isinstance(value, str) and _DATE_AND_TIME.match(value)):
        return value
    raise ValueError("must be an ISO 8601 date and time with an offset")


def _iso_date(value: object) -> object:
    # Pydantic also reads numbers, and dates with a time.
    if isinstance(value, str) and not _DATE.fullmatch(value):
        raise ValueError("must be a date such as 2026-01-31")
    return value


Day = Annotated[date, Field(strict=False, ge=EARLIEST, le=LATEST), BeforeValidator(_iso_date)]


UtcDatetime = Annotated[
    AwareDatetime,
    Field(strict=False),  # a validator before this one makes every input a Python value
    BeforeValidator(_iso_or_datetime),
    AfterValidator(milliseconds),
    PlainSerializer(iso_utc, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An aware instant in UTC, cut to the millisecond; a string on the wire, a datetime in BSON."""


def _text(spelled: Callable[[str], str]) -> BeforeValidator:
    return BeforeValidator(lambda value: spelled(value) if isinstance(value, str) else value)


def or_default(default: object, of: Any = None) -> BeforeValidator:
    """Read null as an absent field, as many clients send it.

    The JSON schema shows that where the type `of` the field is given.
    """
    described = {} if of is None else {"json_schema_input_type": Optional[of]}  # noqa: UP045
    return BeforeValidator(lambda value: default if value is None else value, **described)


def one_message(message: str) -> WrapValidator:
    """Report one message for a union, at the field itself.

    Pydantic reports one error for each member, at names that are no fields.
    """

    def checked(value: object, handler: Callable[[object], object]) -> object:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(message) from None

    return WrapValidator(checked)


def _with_plus(value: object) -> object:
    # A `+` that is not escaped in a query string comes as a blank.
    return _BLANK_FOR_PLUS.sub(r"\1+\2", value) if isinstance(value, str) else value


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Moment = Annotated[
    UtcDatetime | Day,
    BeforeValidator(_with_plus),
    one_message("must be a date, or an ISO 8601 date and time with an offset"),
]
"""An instant, or a date wherever the user is."""
WHOLE = BeforeValidator(_whole)
"""JSON knows one kind of number: 60.0 is the integer 60."""
ONE_SPELLING = _text(clean)
"""For names: composed (NFC), without blanks around. To stand after the constraints of the
field, which are those of the name that is stored."""
COMPOSED = _text(composed)
"""For prose, whose blanks may mean something."""
EACH_ONCE = AfterValidator(distinct)
"""For lists of names."""
NOT_BLANK = Field(
    json_schema_extra={
        "pattern": r"[^\s\u0000-\u001f\u007f-\u009f\u00ad\u180e\u200b\u202a-\u202e\u2060"
        r"\u2066-\u2069\ufeff]"
    }
)
"""For the schema of a name that may not be empty."""


def page_name(text: str) -> str:
    """Return the one name of a page, however the client spells its path."""
    return clean(decoded_path(text))


PageName = Annotated[
    str, StringConstraints(min_length=1, max_length=200), NOT_BLANK, _text(page_name)
]
"""A page, or a pattern of pages; the length is that of the decoded path."""


def _object_id_schema(_source: Any, _handler: Any) -> core_schema.CoreSchema:
    return core_schema.is_instance_schema(
        ObjectId,
        serialization=core_schema.plain_serializer_function_ser_schema(
            str, return_schema=core_schema.str_schema(), when_used="json"
        ),
    )


DocumentId = Annotated[
    ObjectId,
    GetPydanticSchema(_object_id_schema),
    WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{24}$"}),
]
"""An ObjectId of a stored document; on the wire its 24 hexadecimal digits."""


class WireModel(BaseModel):
    """A body or a message: unknown fields are refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


def without_defaults(schema: dict[str, Any]) -> None:
    """Remove the defaults from the schema of a body whose absent fields stay as they are."""
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


class Change(WireModel):
    """A body that changes some fields: absent fields stay as they are."""

    model_config = ConfigDict(json_schema_extra=without_defaults)


class StoredModel(WireModel):
    """A document: unknown fields, of a newer version of the server, are ignored."""

    model_config = ConfigDict(extra="ignore")

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Read a stored document; raise ValidationError for a damaged one."""
        return cls.model_validate(document)

    def to_document(self) -> dict[str, Any]:
        """Return the document to store."""
        return self.model_dump()
