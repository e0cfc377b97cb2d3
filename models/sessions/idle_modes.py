"""Define the idle thresholds that a session can choose.

Invariants:

- A mode is chosen when the session is created, is stored with it, and means the same on every
  server.
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
    """Return the idle threshold in seconds; `interactive_s` is the one of the server."""
    match mode:
        case "interactive":
            return interactive_s
        case "reading":
            return READING_S
        case "video":
            return VIDEO_S
        case _:
            return float(mode)
