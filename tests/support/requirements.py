"""What to do about a test whose tool is missing: skip it, or fail where none may be missing."""

import os
import shutil
from typing import NoReturn

import pytest


def missing(reason: str, *, of_platform: bool = False) -> NoReturn:
    """Skip with a reason; with `REQUIRE_ALL=1`, as in CI, that is a failure.

    Args:
        of_platform: The tool does not exist for this platform, so that even CI can only skip.
    """
    if os.environ.get("REQUIRE_ALL") == "1" and not of_platform:
        pytest.fail(f"REQUIRE_ALL=1, but {reason}", pytrace=False)
    pytest.skip(reason)


def require(tool: str, reason: str) -> str:
    """The path of an executable, or `missing`. The reason says what needs it."""
    path = shutil.which(tool)
    if path is None:
        missing(f"{tool} is not installed: {reason}")
    return path


def mongodb_test_uri() -> str | None:
    """Return the address of the MongoDB that tests run on instead of the embedded database."""
    return os.environ.get("MONGODB_TEST_URI") or None


def embedded_only(reason: str) -> None:
    """Skip a test that is about the embedded database while tests run on a MongoDB."""
    if mongodb_test_uri():
        pytest.skip(f"about the embedded database alone: {reason}")
