"""What a MongoDB keeps: backups hold everything, and indexes hold their promises."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest

from tests.support.dump import Database, dump, restore
from tests.support.live_server import LiveServer, running_server
from tests.support.mongod import replica_set_or_skip
from tests.support.requirements import mongodb_test_uri
from tests.support.socket_client import connected, new_session, stored

pytestmark = pytest.mark.xdist_group("explain")

PERSON = {"email": "ada@example.com", "password": "correct horse"}
OF_THE_PROCESS = {"servers", "notices"}
AT_ONCE = 4


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    """A MongoDB that is not hurt: the one that tests share, or a node of this file's own."""
    if shared := mongodb_test_uri():
        yield shared
        return
    with replica_set_or_skip(nodes=1) as replicas:
        yield replicas.uri


@pytest.fixture
def client(uri: str) -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
    with pymongo.MongoClient[dict[str, Any]](uri) as found:
        yield found


def content(db: Database) -> dict[str, list[dict[str, Any]]]:
    """All documents, but for what processes tell each other while they live."""
    found = {name: list(db[name].find().sort("_id", 1)) for name in db.list_collection_names()}
    return {name: rows for name, rows in found.items() if rows and name not in OF_THE_PROCESS}


def indexes(db: Database) -> dict[str, dict[str, Any]]:
    return {
        name: {index["name"]: dict(index) for index in db[name].list_indexes()}
        for name in db.list_collection_names()
    }


def sign_in(server: LiveServer, how: str, body: dict[str, str]) -> httpx.Response:
    return httpx.post(f"{server.url}/api/auth/{how}", json=body, timeout=20)


def signed_in(server: LiveServer, how: str, body: dict[str, str]) -> dict[str, Any]:
    answer = sign_in(server, how, body)
    assert answer.is_success, answer.text
    signed: dict[str, Any] = answer.json()
    return signed


async def track(server: LiveServer, session: str, until: int) -> None:
    """Track it until so many seconds are counted."""
    async with connected(server) as client:
        await client.start(session)
        while (await client.next("tick"))["elapsedSeconds"] < until:
            pass


async def test_a_backup_is_restored_into_another_database(
    tmp_path: Path, uri: str, client: pymongo.MongoClient[dict[str, Any]]
) -> None:
    kept = {"MONGODB_URI": uri, "RETENTION_DAYS_VISITS": "30"}
    homes = tmp_path / "first", tmp_path / "second"
    for home in homes:
        home.mkdir()
    with running_server(homes[0], **kept) as server:
        refresh = signed_in(server, "signup", PERSON)["refreshToken"]
        session = new_session(server, title="kept")
        await track(server, session, until=1)
        counted = stored(server, session)["elapsedSeconds"]
    original = client[server.database]
    dump(original, tmp_path / "dump")
    copy = client[f"{server.database}_copy"]
    restore(tmp_path / "dump", copy)
    assert content(copy) == content(original)
    assert indexes(copy) == indexes(original)
    assert indexes(copy)["users"]["email_1"]["unique"] is True
    assert indexes(copy)["visitor_sessions"]["last_seen_at_1"]["expireAfterSeconds"] == 30 * 86_400

    with running_server(homes[1], MONGODB_DATABASE=copy.name, **kept) as other:
        assert stored(other, session)["elapsedSeconds"] == counted
        await track(other, session, until=counted + 1)
        signed_in(other, "refresh", {"refreshToken": refresh})
        signed_in(other, "login", PERSON)
        assert sign_in(other, "signup", PERSON).status_code == 409
    left = original["sessions"].find_one({"title": "kept"})
    assert left is not None
    assert left["elapsedSeconds"] == counted


async def test_one_address_is_given_once_by_two_servers(
    tmp_path: Path, uri: str, client: pymongo.MongoClient[dict[str, Any]]
) -> None:
    homes = tmp_path / "first", tmp_path / "second"
    for home in homes:
        home.mkdir()
    with (
        running_server(homes[0], MONGODB_URI=uri) as first,
        running_server(homes[1], MONGODB_URI=uri, MONGODB_DATABASE=first.database) as second,
    ):
        async with httpx.AsyncClient(timeout=30) as rest:
            answers = await asyncio.gather(
                *(
                    rest.post(f"{server.url}/api/auth/signup", json=PERSON)
                    for server in (first, second) * (AT_ONCE // 2)
                )
            )
    made = [answer.status_code for answer in answers]
    assert made.count(201) == 1
    assert {*made} <= {201, 409, 503}  # a slow machine hashes only some passwords in time
    assert client[first.database]["users"].count_documents({}) == 1
