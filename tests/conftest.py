"""Fixtures that every test may use."""

from collections.abc import Iterator

import pytest

from tests.live_server import LiveServer, running_server


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One server for all tests that do no harm to it; use a user of your own."""
    with running_server(tmp_path_factory.mktemp("live")) as server:
        yield server
