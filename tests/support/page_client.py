"""A client of `/ws/pageviews` for tests, and a look at what it left in the database."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pymongo
from bson import ObjectId
from websockets.asyncio.client import connect

from tests.support.database_server import Database
from tests.support.live_server import LiveServer, running_server
from tests.support.server import Server
from tests.support.socket_client import Message, SocketClient

NAME = "focusup"


class PageClient(SocketClient):
    async def view(self, page: str, **fields: Any) -> Message:
        return await self.ask("view", "viewing", page=page, **fields)


@asynccontextmanager
async def viewing(
    server: Server, *, visitor: str | None = None, token: str | None = None, **options: Any
) -> AsyncIterator[PageClient]:
    """A connection of this visitor (by its key), or of a new one."""
    given = (("visitor", visitor), ("token", token))
    query = "&".join(f"{name}={value}" for name, value in given if value is not None)
    url = server.url.replace("http://", "ws://") + f"/ws/pageviews?{query}"
    async with connect(url, max_queue=None, ping_interval=None, **options) as connection:
        yield PageClient(connection)


class Views:
    """What is stored, read past the server."""

    def __init__(self, mongo: "pymongo.MongoClient[dict[str, Any]]") -> None:
        self._db = mongo[NAME]

    def one(self, collection: str, id_: Any) -> dict[str, Any]:
        found = self._db[collection].find_one({"_id": id_})
        assert found is not None
        return found

    def view(self, view_id: str) -> dict[str, Any]:
        return self.one("page_views", ObjectId(view_id))

    def of(self, visitor_id: str) -> list[dict[str, Any]]:
        """Everything this visitor has viewed, in order."""
        views = self._db["page_views"].find({"visitorId": visitor_id})
        return sorted(views, key=lambda view: (view["startedAt"], view["_id"]))

    def count(self, collection: str) -> int:
        return self._db[collection].count_documents({})


@contextmanager
def page_server(directory: Path, **settings: str) -> Iterator[tuple[LiveServer, Views, Database]]:
    """A server whose database can be looked into, and hurt."""
    database = Database(directory)
    database.start()
    settings = {"MONGODB_URI": database.uri, "MONGODB_DATABASE": NAME, **settings}
    mongo: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(database.uri)
    try:
        with mongo, running_server(directory, **settings) as server:
            yield server, Views(mongo), database
    finally:
        database.remove()
