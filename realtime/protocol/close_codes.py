"""List every close code of the sockets (published in docs/protocol.md)."""

from enum import IntEnum


class CloseCode(IntEnum):
    """WebSocket close codes: `when` they come, and what the client should do next."""

    when: str
    advice: str

    # Members carry their texts, so that the table is in one place.
    def __new__(cls, code: int, when: str, advice: str) -> "CloseCode":
        """Create a member from its code and its two texts."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.when = when
        member.advice = advice
        return member

    NORMAL = 1000, "The client closed.", "rest"
    NO_WEBSOCKET = 1002, "What breaks the rules of WebSocket.", "rest"
    NOT_TEXT = 1003, "A frame that is not text.", "rest"
    NOT_UTF8 = 1007, "A text that is not UTF-8.", "rest"
    TOO_LARGE = 1009, "A message over 16 KB.", "rest"
    OUR_BUG = 1011, "A bug of ours.", "reconnect with backoff"
    RESTART = 1012, "The server restarts.", "reconnect with jitter"
    OVERLOAD = 1013, "The server is full.", "reconnect with jitter"
    MALFORMED = 4400, "Ten malformed messages in a row.", "rest"
    UNAUTHORIZED = 4401, "The token is missing, invalid or expired.", "get a token, reconnect"
    FORBIDDEN = 4403, "The origin, or the subject of the token, is not allowed.", "rest"
    DELETED = 4404, "What was tracked is deleted, or the user has left.", "rest"
    NOTHING_STARTED = 4408, "Nothing was started within 60 s.", "reconnect when needed"
    TAKEN_OVER = (
        4409,
        "Tracked elsewhere now, or hidden while another page needs the place.",
        "rest until the user comes back",
    )
    TOO_MANY = 4429, "Too many messages or connections, or too slow a reader.", "reconnect later"
