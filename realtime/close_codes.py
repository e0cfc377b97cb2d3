"""Every way our sockets are closed by us, in one table (published in docs/protocol.md)."""

from enum import IntEnum


class CloseCode(IntEnum):
    """WebSocket close codes; `advice` says what the client should do next."""

    advice: str

    def __new__(cls, code: int, advice: str) -> "CloseCode":
        member = int.__new__(cls, code)
        member._value_ = code
        member.advice = advice
        return member

    NORMAL = 1000, "rest"
    NOT_TEXT = 1003, "rest"
    NOT_UTF8 = 1007, "rest"
    TOO_LARGE = 1009, "rest"
    OUR_BUG = 1011, "reconnect with backoff"
    RESTART = 1012, "reconnect with jitter"
    OVERLOAD = 1013, "reconnect with jitter"
    MALFORMED = 4400, "rest"
    UNAUTHORIZED = 4401, "get a token, reconnect"
    FORBIDDEN = 4403, "rest"
    DELETED = 4404, "rest"
    NOTHING_STARTED = 4408, "reconnect when needed"
    TAKEN_OVER = 4409, "rest until the user comes back"
    TOO_MANY = 4429, "reconnect later"
