"""What the fault tests share. Each prints its figures at the end of the run."""

from collections.abc import Callable

import pytest

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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _figures:
        terminalreporter.section("figures")
        for line in _figures:
            terminalreporter.write_line(line)
