"""How to call `focusup` from the shell in which it was started, for hints to people.

Invariants: what is told works in another terminal, in the same folder. The bare name is told only
where that terminal finds it, too.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

NAME = "focusup"
OF_UV = ("UV_RUN_RECURSION_DEPTH", "UV")
"""What `uv run` tells the programs that it starts."""


def own_command(
    argv: Sequence[str] | None = None,
    environment: Mapping[str, str] = os.environ,
    prefix: str = sys.prefix,
) -> str:
    """Return the command to type for `focusup`.

    Args:
        argv: Of this process, which it is by default.
        environment: Of this process.
        prefix: Where its packages are.
    """
    called = Path((sys.argv if argv is None else argv)[0])
    if uv := under_uv(environment, prefix):
        return uv + NAME
    found = shutil.which(NAME, path=environment.get("PATH", ""))
    is_there = found is not None and not _is_lent(found, environment)
    if called.stem != NAME:  # `python -m focusup`
        is_ours = found is not None and Path(found).parent == Path(sys.executable).parent
        return NAME if is_there and is_ours else f"{_told(Path(sys.executable))} -m {NAME}"
    is_ours = found is not None and Path(found).resolve() == called.resolve()
    return NAME if is_there and is_ours else _told(called)


def under_uv(environment: Mapping[str, str] = os.environ, prefix: str = sys.prefix) -> str:
    """Return `uv run ` where that started this, in the environment of a project."""
    if not any(environment.get(name) for name in OF_UV) or _is_activated(environment):
        return ""
    return "uv run " if environment.get("VIRTUAL_ENV") == prefix else ""


def _is_lent(found: str, environment: Mapping[str, str]) -> bool:
    """Return whether it is found for this process alone, as under `poetry run`.

    Such programs put the environment's folder into PATH, as its activation does, which names the
    environment in the prompt as well.
    """
    folder = environment.get("VIRTUAL_ENV")
    if not folder or _is_activated(environment):
        return False
    return Path(found).is_relative_to(folder)


def _is_activated(environment: Mapping[str, str]) -> bool:
    return "VIRTUAL_ENV_PROMPT" in environment


def _told(path: Path) -> str:
    with suppress(ValueError):
        path = path.absolute().relative_to(Path.cwd())
    return str(path) if os.name == "nt" else shlex.quote(str(path))
