"""Fixtures of commands that work on the database of a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from focusup.settings import Settings
from tests.support.live_server import LiveServer, running_server
from tests.support.requirements import mongodb_test_uri
from tests.support.server import SECRET


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder, and nothing set."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server(
    bare_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LiveServer]:
    """A server of its own, and commands that find its data."""
    with running_server(tmp_path) as server:
        monkeypatch.setenv("DATA_DIR", str(server.data_dir))
        if shared := mongodb_test_uri():
            monkeypatch.setenv("MONGODB_URI", shared)
        monkeypatch.setenv("MONGODB_DATABASE", server.database)
        monkeypatch.setenv("JWT_SECRET", SECRET)
        yield server
