"""Define and parse all messages of `/ws/pageviews`.

The invariants of `realtime.protocol.client_messages` hold. No message has the position of a pointer
or the key that was pressed.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationInfo, field_validator

from models.base.schema_types import PageName, UtcDatetime, or_default
from models.pageviews.page_view import PageTitle, Params, check_details_size
from realtime.protocol.client_messages import Activity, Auth, ClientMessage, MessageParser, Ping
from realtime.protocol.server_messages import (
    Authenticated,
    Degraded,
    Error,
    Pong,
    Recovered,
    ServerMessage,
)

PageUpdates = Literal["tick", "none"]


class View(ClientMessage):
    """A page, or a tab inside one, is viewed from now on; what was viewed before has ended."""

    type: Literal["view"]
    page: PageName
    params: Annotated[Params, or_default({})] = Field(default_factory=dict)
    """What tells views of one page apart."""
    title: PageTitle | None = None
    visible: Annotated[bool, or_default(default=True, of=bool)] = True
    updates: Annotated[PageUpdates, or_default("none", PageUpdates)] = "none"
    """`tick` is a message each second."""

    @field_validator("title")
    @classmethod
    def small_with_params(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Refuse a title that is too large together with the params."""
        check_details_size(info.data.get("params") or {}, value)
        return value


class Visible(ClientMessage):
    """The page can be seen, at least in part."""

    type: Literal["visible"]


class Hidden(ClientMessage):
    """The page can't be seen: another tab is in front, or the window is minimised."""

    type: Literal["hidden"]


class Leave(ClientMessage):
    """The page is viewed no more."""

    type: Literal["leave"]


PageMessage = View | Visible | Hidden | Activity | Leave | Auth | Ping
parse_page = MessageParser[PageMessage](
    TypeAdapter(Annotated[PageMessage, Field(discriminator="type")])
).parse


class Viewing(ServerMessage):
    """The page is viewed on this connection."""

    answers = (View,)
    unasked = False

    type: Literal["viewing"] = "viewing"
    view_id: str
    visitor_id: str
    visitor: str | None
    """The key to keep, and to connect with from now on; null where our cookie is kept."""
    browser_session_id: str
    page: str
    attention_coefficient: float
    idle_threshold_seconds: float
    """The silence after which the visitor is not engaged."""
    next_second_in_ms: int | None
    """When the next second falls due; null while hidden."""
    server_time: UtcDatetime


class PageTick(ServerMessage):
    """A second was booked. A slow reader gets the newest, not all."""

    type: Literal["tick"] = "tick"
    view_id: str
    visible_seconds: int
    engaged_seconds: int
    engaged: bool
    """Whether the latest second was engaged."""


class Left(ServerMessage):
    """The view has ended, and is stored."""

    answers = (Leave,)
    unasked = False

    type: Literal["left"] = "left"
    view_id: str
    visible_seconds: int
    engaged_seconds: int
    server_time: UtcDatetime


def page_tick_message(
    *, view_id: str, visible_seconds: int, engaged_seconds: int, engaged: bool
) -> str:
    """Return the text of `PageTick`, formatted by hand like `count_message`."""
    return (
        f'{{"type":"tick","viewId":"{view_id}","visibleSeconds":{visible_seconds},'
        f'"engagedSeconds":{engaged_seconds},"engaged":{"true" if engaged else "false"}}}'
    )


PageAnswer = Viewing | PageTick | Left | Authenticated | Pong | Degraded | Recovered | Error
"""All that is sent on `/ws/pageviews`."""
