"""No mongod of this machine takes part, unless a test puts one on PATH."""

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def path_without_mongod(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = os.environ["PATH"].split(os.pathsep)
    kept = [folder for folder in folders if not shutil.which("mongod", path=folder)]
    monkeypatch.setenv("PATH", os.pathsep.join(kept))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Not made yet, and with a name that has to be quoted and encoded."""
    return tmp_path / "my dätä ファイル"
