"""Fixtures of the tests in which the application runs in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.app_server import AppServer, manual_clock, running_app
from tests.support.embedded import shared_uri


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """An application for all tests that do no harm to it; each test uses its own user."""
    with running_app(tmp_path_factory.mktemp("app"), shared_uri()) as server:
        yield server


@pytest.fixture
def app_server(tmp_path: Path) -> Iterator[AppServer]:
    """An application of its own, whose time the test moves."""
    with running_app(tmp_path, shared_uri(), clock=manual_clock()) as server:
        yield server
