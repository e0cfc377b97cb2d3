"""Every message of `/ws/pageviews`, in and out.

What must always hold: what `realtime.messages` says of all messages; and nothing in them
tells where a pointer is or which key was pressed.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter
from pydantic_core import to_json

from models.page_views import PageName, PageTitle, Params
from realtime.messages import Activity, Auth, ClientMessage, Dialect, Ping

PageUpdates = Literal["tick", "none"]


class View(ClientMessage):
    """A page, or a tab inside one, is viewed from now on; what was viewed before has ended."""

    type: Literal["view"]
    page: PageName
    params: Params = Field(default_factory=dict)
    title: PageTitle | None = None
    visible: bool = True
    updates: PageUpdates = "none"


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
parse_page = Dialect[PageMessage](
    TypeAdapter(Annotated[PageMessage, Field(discriminator="type")])
).parse


def page_tick(view_id: str, *, visible_seconds: int, engaged_seconds: int, engaged: bool) -> str:
    return to_json(
        {
            "type": "tick",
            "viewId": view_id,
            "visibleSeconds": visible_seconds,
            "engagedSeconds": engaged_seconds,
            "engaged": engaged,
        }
    ).decode()
