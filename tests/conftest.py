"""What every tier shares: the mark of its folder, and fixtures."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, settings

from tests.support.database_server import Database
from tests.support.figures import Figures, noted, noting
from tests.support.live_server import running_server
from tests.support.server import Server

TESTS = Path(__file__).parent
TIERS = ("unit", "contract", "live", "web", "faults", "mongodb", "soak")

# A busy machine makes an example slow; what is wrong shows in the values alone.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    for tier in TIERS:
        config.addinivalue_line("markers", f"{tier}: the tests in tests/{tier}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        tier = item.path.relative_to(TESTS).parts[0]
        assert tier in TIERS, f"{item.path}: tests belong in a folder of {TIERS}"
        item.add_marker(tier)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.stats.get("", [])  # what is neither a pass nor a failure: teardowns
    if lines := noted(reports):
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Values that the test measures; printed when the run is over."""
    return noting(request)


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server process for all tests that do no harm to it; each test uses its own user."""
    with running_server(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture
def user() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def rest(live_server: Server, user: str) -> Iterator[httpx.Client]:
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
