"""What to do about a test whose tool is missing: skip it, or fail where none may be missing."""

import os
import shutil
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skip with a reason; with `REQUIRE_ALL=1`, as in CI, that is a failure."""
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"REQUIRE_ALL=1, but {reason}", pytrace=False)
    pytest.skip(reason)


def require(tool: str, reason: str) -> str:
    """The path of an executable, or `missing`. The reason says what needs it."""
    path = shutil.which(tool)
    if path is None:
        missing(f"{tool} is not installed: {reason}")
    return path
