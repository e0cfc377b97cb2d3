"""What can go wrong in the domain, in one small hierarchy.

What must always hold: `code` is stable and meant for programs, `message` is one sentence
for people and never repeats a secret or what the client sent. Which HTTP status an error
becomes is the business of `routes.http.problems`, which close code that of `realtime`.
"""

# ruff: noqa: N818 - `raise Conflict(...)` says what happened; "Error" would add nothing.

from collections.abc import Sequence
from typing import TypedDict


class FieldError(TypedDict):
    """One field of an input that was refused: its path on the wire, and why."""

    field: str
    message: str


class DomainError(Exception):
    """The parent of every error that a client may be told about."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class NotFound(DomainError):
    """There is no such thing, or it is somebody else's."""


class Conflict(DomainError):
    """The request is fine, but not in the state that the thing is in."""


class PreconditionFailed(DomainError):
    """The thing is another version than the one that was to be changed."""


class Malformed(DomainError):
    """The input cannot be read at all, such as a body that is not JSON."""


class Invalid(DomainError):
    """The input can be read, but breaks a rule; `errors` names the fields where known."""

    def __init__(self, code: str, message: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(code, message)
        self.errors = tuple(errors)


class Unauthorized(DomainError):
    """Nobody is known to be asking: the credentials are missing, wrong or expired."""


class Forbidden(DomainError):
    """It is known who asks, and they may not."""

    def __init__(
        self, code: str = "forbidden", message: str = "This is not allowed for you."
    ) -> None:
        super().__init__(code, message)


class TooMany(DomainError):
    """It was tried too often; `retry_after_s` seconds from now it may be tried again."""

    def __init__(self, code: str, message: str, *, retry_after_s: float) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class Unavailable(DomainError):
    """It cannot be done now; the same request may succeed after `retry_after_s` seconds."""

    def __init__(self, code: str, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class Busy(Unavailable):
    """There is more work of this kind than can be done in a reasonable time."""


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
