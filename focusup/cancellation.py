"""Wait for work, or for an event that makes it needless.

Invariants:

- After the wait, no task of it goes on.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Interrupted(Exception):  # noqa: N818 - no error
    """The event came first."""


async def unless_set(event: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`, or cancel it once the event is set.

    Raises:
        Interrupted: The event was set first.
    """
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
