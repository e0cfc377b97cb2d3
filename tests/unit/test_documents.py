"""The documents name files, headings and registries as they are."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.draw_rooms import ROOMS
from tests.support.paths import ROOT

DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
)
TOP = "focusup|routes|realtime|models|scoring|tests|scripts|benchmarks|deploy|examples|docs"
PATHS = re.compile(rf"(?<![\w/.-])((?:{TOP})/[\w/.-]*\w)")
LINKS = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
HEADINGS = re.compile(r"^#+ (.*)$", re.MULTILINE)
FOR_DEVELOPERS = [
    *(ROOT / "docs/decisions").glob("0*.md"),
    *(ROOT / name for name in ("CONTRIBUTING.md", "docs/design.md")),
]
NAMES = re.compile(r"`(?=[^`]*[A-Z])([A-Za-z_]\w+(?:\.[a-z_]\w+)*)`")
"""Names of code with a capital letter, such as `Engine.activity` and `STEPS`."""
OF_OTHERS = {
    *("AsyncMongoClient", "UpdateOne", "estimatedDocumentCount"),
    *("innerHTML", "localStorage", "CHANGELOG", "md"),
}
"""Names of drivers and browsers, and of files."""
SOURCES = [path for package in ROOMS for path in (ROOT / package).rglob("*.py")]
REGISTRIES = re.compile(r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)")


def anchors(text: str) -> set[str]:
    """Return the anchors of all headings, as they are derived from their words."""
    found = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in HEADINGS.findall(text))
    return {heading.replace(" ", "-") for heading in found}


def broken_links(document: Path) -> Iterator[str]:
    for path, anchor in LINKS.findall(document.read_text()):
        if "://" in path:
            continue
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            yield f"{path}#{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_headings_that_a_document_names_exist(document: Path) -> None:
    named = set(PATHS.findall(document.read_text()))
    missing = {
        path for path in named if not any((ROOT / f"{path}{end}").exists() for end in ("", ".py"))
    }
    assert not missing
    assert not list(broken_links(document))


def test_names_of_code_that_documents_for_developers_use_exist() -> None:
    sources = [path for package in ROOMS for path in (ROOT / package).rglob("*.py")]
    words = set(re.findall(r"\w+", "".join(path.read_text() for path in sources)))
    words |= set(re.findall(r"[A-Z_]+", (ROOT / ".env.example").read_text())) | OF_OTHERS
    missing = {
        (document.name, name)
        for document in FOR_DEVELOPERS
        for name in NAMES.findall(document.read_text())
        if not set(name.split(".")) <= words
    }
    assert missing == set()


def test_every_document_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    missing = [
        path.name for path in (ROOT / "docs").glob("*.md") if f"docs/{path.name}" not in readme
    ]
    assert missing == []


def test_no_registry_is_named() -> None:
    """Which registry packages come from is set where they are installed."""
    files = [*DOCUMENTS, ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "scripts/npm_readme.md"]
    assert [str(path) for path in files if REGISTRIES.search(path.read_text())] == []


def test_every_log_event_is_listed_and_is_a_noun_and_a_verb() -> None:
    """A name is `noun_verb`, or `noun_adjective` for a state, in lower case."""
    events = {name for path in SOURCES for name in logged_in(path)}
    text = (ROOT / "docs/operations.md").read_text()
    section = text[text.index("### Log events") :].partition("\n## ")[0]
    listed = set(re.findall(r"`([a-z_]+)`", "".join(re.findall(r"^\| ([^|]+)\|", section, re.M))))
    assert listed == events
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) for name in events)


def logged_in(path: Path) -> Iterator[str]:
    """Yield the names of all events that a module logs by `log`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        logger = node.func.value
        if isinstance(logger, ast.Name) and logger.id == "log":
            for part in ast.walk(node.args[0]):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value
