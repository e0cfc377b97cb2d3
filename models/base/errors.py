"""Define the errors of the domain.

Invariants:

- `code` is stable and meant for programs. `message` is one sentence for people, and never repeats a
  secret or the input of the client.

`routes.http.problems` maps each error to an HTTP status; `realtime` maps some to close codes.
"""

# ruff: noqa: N818 - `raise Conflict(...)` says what happened; "Error" would add nothing.

from collections.abc import Sequence
from typing import TypedDict


class FieldError(TypedDict):
    """One refused field of an input: its path on the wire, and the reason."""

    field: str
    message: str


class DomainError(Exception):
    """The base of all errors that a client may see."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class NotFound(DomainError):
    """The object does not exist, or belongs to another user."""


class Conflict(DomainError):
    """The request does not fit the state of the object."""


class PreconditionFailed(DomainError):
    """The object has another version than the client expects."""


class Malformed(DomainError):
    """The input cannot be read, such as a body that is not JSON."""


class Invalid(DomainError):
    """The input breaks a rule; `errors` names the fields where known."""

    def __init__(self, code: str, message: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(code, message)
        self.errors = tuple(errors)


class Unauthorized(DomainError):
    """The credentials are missing, wrong or expired."""


class Forbidden(DomainError):
    """The user is known, and may not do this."""

    def __init__(
        self, code: str = "forbidden", message: str = "This is not allowed for you."
    ) -> None:
        super().__init__(code, message)


class TooMany(DomainError):
    """The limit of attempts is reached; try again in `retry_after_s` seconds."""

    def __init__(self, code: str, message: str, *, retry_after_s: float) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class Unavailable(DomainError):
    """The request may succeed after `retry_after_s` seconds."""

    def __init__(self, code: str, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class Busy(Unavailable):
    """Too much work of this kind is waiting."""


class StorageUnavailable(Unavailable):
    """The database does not answer, so the outcome of a write may be unknown."""

    def __init__(
        self,
        code: str = "database_unavailable",
        message: str = "The database does not answer; try again shortly.",
        *,
        retry_after_s: float = 2.0,
    ) -> None:
        super().__init__(code, message, retry_after_s=retry_after_s)
