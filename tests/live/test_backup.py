"""A backup of the embedded database: stop, copy the data directory, start on the copy.

What must hold: everything is there, counted seconds and sign-ins too, and it goes on from
there; and what happens to the original afterwards does not reach the copy.
"""

import shutil
from pathlib import Path
from typing import Any

import httpx
import pymongo

from tests.support.live_server import LiveServer, running_server
from tests.support.requirements import embedded_only
from tests.support.socket_client import connected, new_session, stored

PASSWORD = "correct horse"
OF_THE_PROCESS = {"servers", "notices"}
Content = dict[str, list[dict[str, Any]]]


def content(server: LiveServer) -> Content:
    """All that is stored, but for what processes tell each other while they live."""
    with pymongo.MongoClient[dict[str, Any]](server.mongodb_uri) as client:
        db = client[server.database]
        found = {name: list(db[name].find().sort("_id", 1)) for name in db.list_collection_names()}
    return {name: rows for name, rows in found.items() if rows and name not in OF_THE_PROCESS}


async def track(server: LiveServer, session: str, user: str, until: int) -> None:
    """Until so many seconds are counted."""
    async with connected(server, user) as client:
        await client.start(session)
        while (await client.next("tick"))["elapsedSeconds"] < until:
            pass


def signed_in(server: LiveServer, how: str, **body: str) -> dict[str, Any]:
    answer = httpx.post(f"{server.url}/api/auth/{how}", json=body, timeout=20)
    assert answer.is_success, answer.text
    signed: dict[str, Any] = answer.json()
    return signed


async def test_stopped_copied_and_started_on_the_copy(tmp_path: Path) -> None:
    embedded_only("copies its data directory")
    person = {"email": "ada@example.com", "password": PASSWORD}
    (tmp_path / "original").mkdir()
    with running_server(tmp_path / "original") as server:
        refresh = signed_in(server, "signup", **person)["refreshToken"]
        session = new_session(server, title="kept")
        await track(server, session, "ada", until=2)
        with server.rest() as rest:
            assert rest.put("/api/goals", json={"dailyMinutes": 30}).is_success
        counted = stored(server, session)["elapsedSeconds"]
        server.stop()
        shutil.copytree(server.data_dir, tmp_path / "copy" / "data")  # as `cp -a` does it
        before = content(server.start())
        await track(server, session, "ada", until=counted + 1)

        with running_server(tmp_path / "copy", MONGODB_DATABASE=server.database) as copy:
            assert copy.data_dir != server.data_dir
            assert content(copy) == before
            assert stored(copy, session)["elapsedSeconds"] == counted
            await track(copy, session, "ada", until=counted + 2)
            signed_in(copy, "refresh", refreshToken=refresh)
            signed_in(copy, "login", **person)
        assert stored(server, session)["elapsedSeconds"] == counted + 1
