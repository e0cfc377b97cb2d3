"""What the fault tests share. Each prints its figures at the end of the run."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.database import Database

_figures: list[str] = []


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`figures(lost=0, caught_up_s=1.2)`: measured values, printed when the run is over."""

    def note(**values: object) -> None:
        shown = ", ".join(
            f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}"
            for name, value in values.items()
        )
        _figures.append(f"{request.node.name}: {shown}")

    return note


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A running database with nothing in it, gone afterwards."""
    database = Database(tmp_path)
    database.start()
    try:
        yield database
    finally:
        database.remove()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _figures:
        terminalreporter.section("figures")
        for line in _figures:
            terminalreporter.write_line(line)
