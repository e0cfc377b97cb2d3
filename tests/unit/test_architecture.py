"""The plan of the house (docs/design.md), held by tests."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from focusup.settings import Settings
from tests.support.paths import ROOT

FLOORS = ("focusup", "routes", "realtime", "models", "scoring")
"""From top to bottom: imports only go down."""
PURE = ("realtime/meter.py", "realtime/engine.py", "realtime/tracked.py", "realtime/batch.py",
        "realtime/messages.py", "realtime/server_messages.py", "realtime/page_messages.py",
        "realtime/close_codes.py", "realtime/figures.py",
        *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "scoring").glob("*.py")))  # fmt: skip
IMPURE = {"asyncio", "time", "motor", "pymongo", "quart", "os", "socket", "threading", "random"}
KNOW_MOTOR = {"models", "focusup"}
MAY_NAME_MOTOR = {
    f"realtime/{name}.py"
    for name in (
        *("abandonment", "claims", "peers", "records", "service", "session_book"),
        *("page_book", "page_service"),
    )
}
LONGEST_MODULE = 400


def modules(floor: str) -> Iterator[Path]:
    yield from sorted((ROOT / floor).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The full names of all modules that this file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_run_one_way(floor: str) -> None:
    above = set(FLOORS[: FLOORS.index(floor)])
    for path in modules(floor):
        assert not tops(path) & above, path
        assert "tests" not in tops(path), path


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_do_nothing_but_compute(name: str) -> None:
    assert not tops(ROOT / name) & IMPURE


def test_lower_floors_never_see_the_settings_object() -> None:
    for floor in FLOORS[1:]:
        for path in modules(floor):
            assert "focusup.settings" not in imported(path), path


def test_models_know_no_http_and_few_know_the_driver() -> None:
    for floor in ("models", "scoring"):
        for path in modules(floor):
            assert not tops(path) & {"quart", "hypercorn", "werkzeug"}, path
    for floor in set(FLOORS) - KNOW_MOTOR:
        for path in modules(floor):
            if str(path.relative_to(ROOT)) not in MAY_NAME_MOTOR:
                assert not tops(path) & {"motor", "pymongo"}, path


def test_the_embedded_database_is_never_imported() -> None:
    for floor in (*FLOORS, "tests", "benchmarks"):
        for path in modules(floor):
            assert not tops(path) & {"secantus", "_secantus_server", "_secantus_storage"}, path


@pytest.mark.parametrize("floor", FLOORS)
def test_the_design_names_each_module_once(floor: str) -> None:
    text = (ROOT / "docs/design.md").read_text()
    (of_floor,) = re.findall(rf"^### `{floor}/`.*\n((?:(?!#).*\n)+)", text, re.MULTILINE)
    there = [path.relative_to(ROOT / floor) for path in modules(floor)]
    names = [str(path.with_suffix("")) for path in there if not path.stem.startswith("__")]
    assert sorted(re.findall(r"`(.+?)`", of_floor)) == sorted(names)


@pytest.mark.parametrize("floor", FLOORS)
def test_every_module_says_what_it_is_and_fits_in_a_head(floor: str) -> None:
    for path in modules(floor):
        text = path.read_text()
        assert ast.get_docstring(ast.parse(text)) or not text.strip(), path
        assert len(text.splitlines()) <= LONGEST_MODULE, path


def test_the_wheel_has_the_five_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(FLOORS)


def test_the_example_lists_every_setting_with_its_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = (ROOT / ".env.example").read_text()
    listed = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))
    assert set(listed) == {name.upper() for name in Settings.model_fields}
    for name in listed:
        monkeypatch.delenv(name, raising=False)
    by_default = Settings(_env_file=None)
    for name, value in listed.items():
        monkeypatch.setenv(name, value)
    assert Settings(_env_file=None) == by_default
