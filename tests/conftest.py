"""Fixtures that every test may use."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.database_server import Database
from tests.support.live_server import LiveServer, running_server


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One server for all tests that do no harm to it; use a user of your own."""
    with running_server(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture
def user() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def rest(live_server: LiveServer, user: str) -> Iterator[httpx.Client]:
    with live_server.rest(user) as client:
        yield client


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A running database with nothing in it, gone afterwards."""
    database = Database(tmp_path)
    database.start()
    try:
        yield database
    finally:
        database.remove()
