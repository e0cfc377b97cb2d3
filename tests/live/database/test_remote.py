"""A MongoDB that somebody else runs, given as MONGODB_URI."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo.write_concern import WriteConcern

from focusup.database import DatabaseError, open_database
from focusup.database.errors import hosts
from focusup.database.ports import free_port
from tests.support.database_programs import opened, port_of

SECRET = "s3cret"
HERE = Path("unused")


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    async with opened(tmp_path / "theirs") as database:
        yield port_of(database)


async def refusal(uri: str, timeout_s: float = 0.3) -> str:
    with pytest.raises(DatabaseError) as refused:
        await open_database(
            uri=uri, name="focusup", data_dir=HERE, server_selection_timeout_s=timeout_s
        )
    assert refused.value.__suppress_context__  # a traceback would show what the driver said
    return str(refused.value)


async def test_it_is_used_as_it_has_to_be(port: int, tmp_path: Path) -> None:
    unused = tmp_path / "unused"
    async with opened(unused, uri=f"mongodb://127.0.0.1:{port}/?w=1") as database:
        assert (database.kind, database.where) == ("mongodb", f"mongodb at 127.0.0.1:{port}")
        assert database.db.name == "focusup"
        assert database.db.write_concern == WriteConcern("majority")
        options: Any = database.db.client.options
        assert options.pool_options.appname == "focusup"
        at = datetime(2026, 1, 2, tzinfo=UTC)
        await database.db["things"].insert_one({"_id": 1, "at": at})
        found = await database.db["things"].find_one()
        assert found == {"_id": 1, "at": at}
        assert found["at"].tzinfo is not None
    assert not (await asyncio.to_thread(unused.exists))


async def test_a_wrong_password_is_told(port: int) -> None:
    said = await refusal(f"mongodb://alice:{SECRET}@127.0.0.1:{port}/", 2.0)
    assert f"mongodb at 127.0.0.1:{port} refuses us" in said
    assert "password of MONGODB_URI" in said
    assert SECRET not in said
    assert "alice" not in said


async def test_one_that_is_not_there_is_told_in_time() -> None:
    port, began_s = free_port(), time.monotonic()
    said = await refusal(f"mongodb://alice:{SECRET}@127.0.0.1:{port}/")
    assert time.monotonic() - began_s < 2
    assert f"mongodb at 127.0.0.1:{port} does not answer within 0.3 s" in said
    assert SECRET not in said
    assert "alice" not in said


async def test_one_that_accepts_and_is_silent_is_told_in_time() -> None:
    quiet = await asyncio.start_server(lambda _r, _w: asyncio.sleep(60), "127.0.0.1", 0)
    port, began_s = quiet.sockets[0].getsockname()[1], time.monotonic()
    try:
        assert "does not answer" in await refusal(f"mongodb://127.0.0.1:{port}/")
        assert time.monotonic() - began_s < 3
    finally:
        quiet.close()


async def test_a_name_that_is_not_there_is_told() -> None:
    said = await refusal(f"mongodb+srv://alice:{SECRET}@cluster.invalid/")
    assert "mongodb at cluster.invalid" in said
    assert SECRET not in said


def test_five_seconds_are_the_limit() -> None:
    limit = inspect.signature(open_database).parameters["server_selection_timeout_s"]
    assert limit.default == 5.0


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://alice:{SECRET}/x@127.0.0.1:1/",
        f"mongodb://alice:x/{SECRET}@127.0.0.1:1/",
        f"mongodb://alice:{SECRET}?x@127.0.0.1:1/",
        f"mongodb://alice:p#{SECRET}@127.0.0.1:1/",
        f"mongodb://alice:p@{SECRET}/x@127.0.0.1:1/",
        f"mongodb://alice:{SECRET}@/",
        f"mongodb://{SECRET}",
        f"alice:{SECRET}@127.0.0.1:1",
        f"postgres://alice:{SECRET}@127.0.0.1:1/",
        f"mongodb://127.0.0.1:1/?tlsCertificateKeyFilePassword={SECRET}",
        f"mongodb://a:b@127.0.0.1:1/?authMechanism=MONGODB-AWS&authMechanismProperties="
        f"AWS_SESSION_TOKEN:{SECRET}",
        "mongodb://",
        "not an address",
    ],
)
async def test_no_password_is_shown_however_wrong_the_address(uri: str) -> None:
    if uri == f"mongodb://{SECRET}":  # a host name, which may be shown
        assert hosts(uri) == SECRET
        return
    said = await refusal(uri)
    assert SECRET not in said
    assert "alice" not in said
    assert "MONGODB_URI" in said


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb://h", "h"),
        ("mongodb://u:p@h1:1,h2:2/db?w=1", "h1:1,h2:2"),
        ("mongodb://u:p@[::1]:27017/", "[::1]:27017"),
        ("mongodb+srv://u:p%40@c.example.net/?retryWrites=true", "c.example.net"),
        ("mongodb://u:p/q@h/", None),
        ("mongodb://u:1234/q@h", None),
        ("mongodb://u:1234?q@h", None),
        ("u:p@h", None),
        ("", None),
    ],
)
def test_only_hosts_are_shown(uri: str, shown: str | None) -> None:
    assert hosts(uri) == shown
