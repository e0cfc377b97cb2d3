"""Hints name a command that works in another terminal, however this process was started."""

import os
import sys
from pathlib import Path

import pytest

from focusup.own_command import own_command

NAME = "focusup.exe" if os.name == "nt" else "focusup"


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment in the folder of a project, where one is."""
    program = tmp_path / ".venv" / "bin" / NAME
    program.parent.mkdir(parents=True)
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return program


def told(program: Path, **environment: str) -> str:
    folder = str(program.parent.parent)
    return own_command([str(program)], {"PATH": os.defpath, **environment}, folder)


def lent(venv: Path) -> dict[str, str]:
    path = os.pathsep.join([str(venv.parent), os.defpath])
    return {"PATH": path, "VIRTUAL_ENV": str(venv.parent.parent)}


def test_by_its_path_it_is_called_by_its_path(venv: Path) -> None:
    assert told(venv) == str(Path(".venv/bin") / NAME)


def test_in_an_activated_environment_it_has_its_name(venv: Path) -> None:
    assert told(venv, **lent(venv), VIRTUAL_ENV_PROMPT="(x)") == "focusup"


def test_what_is_installed_for_all_has_its_name(venv: Path) -> None:
    assert told(venv, PATH=str(venv.parent)) == "focusup"


@pytest.mark.parametrize("mark", ["UV", "UV_RUN_RECURSION_DEPTH"])
def test_under_uv_run_it_is_run_by_uv(venv: Path, mark: str) -> None:
    assert told(venv, **lent(venv), **{mark: "1"}) == "uv run focusup"


def test_in_an_activated_shell_within_uv_it_has_its_name(venv: Path) -> None:
    environment = {**lent(venv), "UV": "/bin/uv", "VIRTUAL_ENV_PROMPT": "x"}
    assert told(venv, **environment) == "focusup"


def test_where_others_lend_it_a_path_it_is_called_by_its_path(venv: Path) -> None:
    assert told(venv, **lent(venv)) == str(Path(".venv/bin") / NAME)


def test_a_module_is_called_as_a_module(venv: Path) -> None:
    main = venv.parent / "site-packages" / "focusup" / "__main__.py"
    assert own_command([str(main)], {"PATH": os.defpath}, "x").endswith(" -m focusup")
    assert sys.executable.rpartition(os.sep)[2] in own_command([str(main)], {"PATH": ""}, "x")


@pytest.mark.skipif(os.name == "nt", reason="cmd.exe quotes otherwise")
def test_a_path_with_blanks_is_quoted(tmp_path: Path) -> None:
    assert told(tmp_path / "my venv" / NAME).startswith("'")
