"""What is reported of the JavaScript that was run."""

import json
from pathlib import Path

import pytest

from tests.support.web import coverage

TEXT = "let a = 1; // 😀\n\n// why\nfunction f() {\n  return 1;\n}\nf();\n"


def script(*functions: list[tuple[int, int, int]]) -> coverage.Script:
    names = ("startOffset", "endOffset", "count")
    found = [{"ranges": [dict(zip(names, each, strict=True)) for each in one]} for one in functions]
    return {"url": "https://focusup.example/assets/1/f.js", "functions": found}


@pytest.fixture(autouse=True)
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "f.js").write_text(TEXT)
    monkeypatch.setattr(coverage, "STATIC", tmp_path)
    return tmp_path


def run_lines(run: coverage.Run) -> dict[int, bool]:
    text = coverage._text(coverage.STATIC / "f.js")
    return dict(coverage.lines(text, run["f.js"]))


BODY = (TEXT.index("function") + 1, TEXT.index("}") + 2)
"""In units of UTF-16: one more than in characters, after the emoji."""
WHOLE = (0, len(TEXT) + 1)


def test_inner_ranges_count_and_lines_without_code_do_not() -> None:
    run: coverage.Run = {}
    coverage.merge(run, [script([(*WHOLE, 1)], [(*BODY, 0)])])
    assert run_lines(run) == {1: True, 4: False, 5: False, 6: False, 7: True}
    later = script([(*BODY, 2)])  # what is asked again tells only what was run since
    coverage.merge(run, [later])
    assert all(run_lines(run).values())


def test_what_is_not_ours_is_left_out() -> None:
    run: coverage.Run = {}
    foreign = {"url": "https://elsewhere.example/other.js", "functions": []}
    coverage.merge(run, [foreign, {"url": "", "functions": []}])
    assert run == {}


def test_what_node_and_chromium_left_comes_together(tmp_path: Path) -> None:
    left = tmp_path / "left"
    run: coverage.Run = {}
    coverage.merge(run, [script([(*WHOLE, 1)], [(*BODY, 0)])])
    coverage._write(left / "chromium-1.json", run)
    (left / "node").mkdir()
    of_node = {**script([(*BODY, 1)]), "url": "file:///x/focusup/web/static/f.js"}
    (left / "node" / "coverage-1.json").write_text(json.dumps({"result": [of_node]}))
    table, share = coverage.report(coverage.read(left))
    assert share == 100
    assert "f.js                  5/5    100.0 %" in table
    (left / "node" / "coverage-1.json").unlink()
    table, share = coverage.report(coverage.read(left))
    assert share == 40
    assert table.splitlines()[0].endswith("4-6")


def test_numbers_are_drawn_together() -> None:
    assert coverage.spans([3, 7, 8, 9, 11]) == "3, 7-9, 11"
