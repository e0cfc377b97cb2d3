"""Values that a test measures, printed when the run is over."""

from collections.abc import Callable, Iterable

import pytest

Figures = Callable[..., None]
PROPERTY = "figures"


def noting(request: pytest.FixtureRequest) -> Figures:
    """`figures(lost=0, caught_up_s=1.2)` keeps values with the report of the test, which
    workers hand over to the process that prints."""

    def note(**values: object) -> None:
        shown = ", ".join(
            f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}"
            for name, value in values.items()
        )
        request.node.user_properties.append((PROPERTY, f"{request.node.name}: {shown}"))

    return note


def noted(reports: Iterable[pytest.TestReport]) -> list[str]:
    return [
        str(value)
        for report in reports
        if report.when == "teardown"
        for name, value in report.user_properties
        if name == PROPERTY
    ]
