import sys

import pytest

from tests.support.requirements import require

ABSENT = "no-such-tool-as-this"


def test_a_tool_that_is_there_is_found() -> None:
    assert require(sys.executable, "the interpreter itself") == sys.executable


def test_a_missing_tool_skips_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"{ABSENT} is not installed: to see"):
        require(ABSENT, "to see")


def test_a_missing_tool_fails_where_all_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match=ABSENT):
        require(ABSENT, "to see")
