"""The PowerShell smoke test is parsed here, not run: it must make the calls of smoke.sh."""

import re
from collections.abc import Iterator

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

from tests.support.paths import ROOT

SCRIPTS = ROOT / "scripts"
Call = tuple[str, str]
EXPECTED: list[Call] = [
    ("GET", "/api/health"),
    ("POST", "/api/auth/signup"),
    ("POST", "/api/sessions"),
    ("focusup", "track"),
    ("GET", "/api/sessions/:id"),
    ("PUT", "/api/goals"),
    ("GET", "/api/stats/me"),
    ("DELETE", "/api/sessions/:id"),
    ("GET", "/api/sessions/:id"),
]


def parse(source: bytes) -> Node:
    return Parser(Language(tree_sitter_powershell.language())).parse(source).root_node


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def text_of(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()


def generic(path: str) -> str:
    return re.sub(r"\$\w+", ":id", path)


def powershell_calls(root: Node) -> Iterator[Call]:
    """What the script asks of the server, in the order of its text."""
    for node in walk(root):
        if node.type != "command":
            continue
        command = text_of(node)
        if found := re.fullmatch(
            r'Invoke-RestMethod -Method (\w+) -Uri "\$Url(/[^"]*)"(?: .*)?', command
        ):
            yield found[1], generic(found[2])
        elif found := re.match(r"& \$FocusUp (\w+) ", command):
            yield "focusup", found[1]
        else:
            assert "Invoke-" not in command, f"a call that this test cannot read: {command}"


def shell_calls(script: str) -> Iterator[Call]:
    for line in script.splitlines():
        if found := re.match(r'call (\w+) "?(/[^" ]*)"? \d', line):
            yield found[1], generic(found[2])
        elif found := re.search(r'"\$focusup" (\w+)', line):
            yield "focusup", found[1]


@pytest.fixture(scope="module")
def powershell() -> Node:
    return parse((SCRIPTS / "smoke.ps1").read_bytes())


def test_it_parses(powershell: Node) -> None:
    broken = [node for node in walk(powershell) if node.is_error or node.is_missing]
    assert [f"line {node.start_point[0] + 1}: {text_of(node)}" for node in broken] == []
    assert not powershell.has_error


def test_the_parser_finds_errors() -> None:
    assert parse(b"if ($x { Write-Host 'a'").has_error


def test_it_makes_the_calls_of_the_shell_script(powershell: Node) -> None:
    shell = list(shell_calls((SCRIPTS / "smoke.sh").read_text("utf-8")))
    assert list(powershell_calls(powershell)) == shell == EXPECTED


def test_it_is_plain_ascii() -> None:
    """Windows PowerShell 5.1 reads a script without a byte order mark as its code page."""
    assert (SCRIPTS / "smoke.ps1").read_bytes().isascii()
