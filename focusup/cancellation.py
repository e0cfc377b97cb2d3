"""Waiting for work, or for an event that makes it needless.

What must always hold: whoever has waited leaves nothing behind that runs on.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Interrupted(Exception):  # noqa: N818 - no error
    """The event came first."""


async def unless_set(event: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """What comes of the work; it is cancelled, and Interrupted raised, once the event is set."""
    working, told = asyncio.create_task(work), asyncio.create_task(event.wait())
    try:
        await asyncio.wait({working, told}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Interrupted
        return working.result()
    finally:
        for task in (working, told):
            task.cancel()
        await asyncio.gather(working, told, return_exceptions=True)
