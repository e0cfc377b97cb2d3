"""How long a silence is allowed before seconds count as idle: chosen for each session.

What must always hold: a mode is given when the session is created, kept with it, and means
the same wherever and whenever it is tracked.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from models.base.schema_types import one_message

IdleMode = Annotated[
    Literal["interactive", "reading", "video"] | Annotated[float, Field(ge=5, le=600)],
    one_message(
        "Input should be interactive, reading, video, or a number of seconds from 5 to 600"
    ),
]
"""A number is the seconds themselves."""
DEFAULT: IdleMode = "interactive"
READING_S, VIDEO_S = 60.0, 180.0


def idle_after_s(mode: Any, interactive_s: float) -> float:
    """The silence in seconds; `interactive_s` is the server's own."""
    match mode:
        case "interactive":
            return interactive_s
        case "reading":
            return READING_S
        case "video":
            return VIDEO_S
        case _:
            return float(mode)
