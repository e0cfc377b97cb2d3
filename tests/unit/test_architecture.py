"""The plan of the house (docs/design.md), held by tests."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from focusup.settings import Settings
from scripts import draw_rooms
from scripts.draw_rooms import ROOMS
from tests.support.paths import ROOT

FLOORS = tuple(ROOMS)
"""From top to bottom: imports only go down."""
PURE = (
    *(
        f"realtime/engine/{name}.py"
        for name in ("meter", "engine", "tracked", "statements", "metrics")
    ),
    *(f"realtime/sockets/{name}.py" for name in ("token_bucket",)),
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "realtime/protocol").glob("*.py")),
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "scoring").glob("*.py")),
)
IMPURE = {"asyncio", "time", "motor", "pymongo", "quart", "os", "socket", "threading", "random"}
DRIVERS = {"motor", "pymongo", "mongomock_motor"}
NAME_THE_DRIVER = {
    "models/base/database.py",  # its types
    "models/base/driver_errors.py",  # its errors and time limits
    "models/base/bulk_writes.py",  # its read concerns
    "focusup/database/connecting.py",  # its clients
    "focusup/database/opening.py",  # the one in memory
}
MOST_MODULES = 12
"""In one folder, `__init__` and `__main__` excluded."""
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


def test_models_know_no_http() -> None:
    for floor in ("models", "scoring"):
        for path in modules(floor):
            assert not tops(path) & {"quart", "hypercorn", "werkzeug"}, path


def test_few_modules_name_the_driver() -> None:
    found = {
        str(path.relative_to(ROOT))
        for floor in FLOORS
        for path in modules(floor)
        if tops(path) & DRIVERS
    }
    assert found == NAME_THE_DRIVER


def test_the_embedded_database_is_never_imported() -> None:
    for floor in (*FLOORS, "tests", "benchmarks"):
        for path in modules(floor):
            assert not tops(path) & {"secantus", "_secantus_server", "_secantus_storage"}, path


@pytest.mark.parametrize("floor", FLOORS)
def test_each_module_is_in_a_room(floor: str) -> None:
    there = {
        path for path in modules(floor) if path.parent != ROOT / floor or path.stem[:2] != "__"
    }
    in_rooms = {path for room in ROOMS[floor] for path in draw_rooms.modules(floor, room)}
    assert in_rooms == {path for path in there if path.stem[:2] != "__"}


@pytest.mark.parametrize("floor", FLOORS)
def test_rooms_import_only_what_stands_below_them(floor: str) -> None:
    rooms = ROOMS[floor]
    for place, room in enumerate(rooms):
        of_this_package = {name for name in draw_rooms.uses(floor, room) if "/" not in name}
        assert of_this_package <= set(rooms[place + 1 :]), room


@pytest.mark.parametrize("floor", FLOORS)
def test_no_folder_is_crowded(floor: str) -> None:
    folders = {path.parent for path in modules(floor)}
    for folder in folders:
        count = sum(1 for path in folder.glob("*.py") if not path.stem.startswith("__"))
        assert count <= MOST_MODULES, folder


def test_the_picture_of_the_rooms_is_current() -> None:
    assert (ROOT / "docs/rooms.md").read_text() == draw_rooms.draw()


@pytest.mark.parametrize("floor", FLOORS)
def test_every_module_says_what_it_is_and_fits_in_a_head(floor: str) -> None:
    for path in modules(floor):
        text = path.read_text()
        assert ast.get_docstring(ast.parse(text)) or not text.strip(), path
        assert len(text.splitlines()) <= LONGEST_MODULE, path


def test_the_wheel_has_the_five_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(FLOORS)
    for floor in FLOORS:
        assert (ROOT / floor / "py.typed").exists(), floor  # their types are for others, too


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
