"""Draw the rooms of the five packages, from their imports, as `docs/rooms.md`.

python scripts/draw_rooms.py          write the page
python scripts/draw_rooms.py --check  fail where the page is not current
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "rooms.md"
ROOMS: Mapping[str, tuple[str, ...]] = {
    "focusup": (
        *("cli", "doctor", "serving", "app", "wiring", "demo", "web", "security", "configuration"),
        *("database", "settings", "asgi", "settings_sources", "logs", "listening", "own_command"),
        *("file_descriptors", "disk_space", "cancellation", "operator_errors"),
    ),
    "routes": ("docs", "api", "monitoring", "access", "http"),
    "realtime": (
        *("pageviews", "sessions", "ingest"),
        *("cluster", "sockets", "engine", "protocol"),
    ),
    "models": (
        *("migrations", "privacy", "cluster", "admin", "activity", "page_statistics"),
        *("pageviews", "study", "accounts", "sessions", "tokens", "concurrency", "base"),
    ),
    "scoring": (
        *("study_days", "streaks", "manual_seconds", "allocate", "tallies", "local_days"),
        *("intervals", "focus", "sketches", "text", "timeline", "utc_days"),
    ),
}
"""Packages from top to bottom, and the rooms of each from top to bottom: a room is a folder or a
single module, and imports only what stands below it."""

HEADER = """\
# The rooms

Packages and their rooms, from top to bottom: imports only point down. This page is made from the
imports by `scripts/draw_rooms.py`; a test holds it current, and the order too.
"""


def modules(package: str, room: str) -> Iterator[Path]:
    """Yield the modules of a room, the package's docstring module excluded."""
    folder = ROOT / package / room
    if folder.is_dir():
        yield from (path for path in sorted(folder.rglob("*.py")) if path.stem[:2] != "__")
    else:
        yield folder.with_suffix(".py")


def imports(path: Path) -> set[str]:
    """Return the full names of all modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def uses(package: str, room: str) -> list[str]:
    """Return the other rooms that a room imports: `room` of the same package, else
    `package/room`; in the order of `ROOMS`."""
    parts = {tuple(name.split(".")[:2]) for path in _files(package, room) for name in imports(path)}
    return [
        other if owner == package else f"{owner}/{other}"
        for owner, rooms in ROOMS.items()
        for other in rooms
        if (owner, other) in parts and (owner, other) != (package, room)
    ]


def summary(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def draw() -> str:
    """Return the text of the page."""
    lines = [HEADER]
    for package, rooms in ROOMS.items():
        lines += [f"## {package}", "", summary(ROOT / package / "__init__.py"), ""]
        for room in rooms:
            folder = ROOT / package / room
            if folder.is_dir():
                lines += [f"### {package}/{room}", "", summary(folder / "__init__.py"), ""]
                lines += [_line(path, path.relative_to(folder)) for path in modules(package, room)]
            else:
                path = folder.with_suffix(".py")
                lines += [f"### {package}/{room}.py", "", summary(path)]
            below = ", ".join(uses(package, room))
            lines += ["", f"Imports: {below or 'no other room'}.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _files(package: str, room: str) -> Iterator[Path]:
    """Yield all modules of a room, its `__init__` among them."""
    yield from modules(package, room)
    yield from (ROOT / package / room).glob("__init__.py")


def _line(path: Path, name: Path) -> str:
    return f"- `{name.with_suffix('')}`: {summary(path)}"


def main() -> None:
    """Write the page, or with `--check` compare it."""
    text = draw()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit("docs/rooms.md is not current: run python scripts/draw_rooms.py")
    else:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
