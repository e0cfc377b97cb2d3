"""Data of a newer version: neither the server nor a command touches it, and both say why."""

from pathlib import Path
from typing import Any

import pymongo
import pytest
from click.testing import CliRunner

from focusup.cli import main
from tests.support.commands import focusup
from tests.support.live_server import LiveServer, running_server
from tests.support.requirements import mongodb_test_uri

NEWER = "this data was written by a newer FocusUp (schema version 99; this one supports "


def refused(server: LiveServer) -> None:
    with pytest.raises(AssertionError, match="written by a newer FocusUp"):
        server.start()
    assert NEWER in server.log()
    assert "Traceback" not in server.log()


def test_the_server_and_the_commands_refuse_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with running_server(tmp_path) as server:
        with pymongo.MongoClient[dict[str, Any]](server.mongodb_uri) as client:
            meta = client[server.database]["meta"]
            meta.update_one({"_id": "schema"}, {"$set": {"version": 99}})
            doctor = focusup(server, "doctor", "--port", "0", check=False)
            assert "written by a newer FocusUp" in doctor
            assert "upgrade FocusUp" in doctor
            server.stop()
        refused(server)
        monkeypatch.setenv("DATA_DIR", str(server.data_dir))
        if shared := mongodb_test_uri():
            monkeypatch.setenv("MONGODB_URI", shared)
        monkeypatch.setenv("MONGODB_DATABASE", server.database)
        told = CliRunner().invoke(main, ("admin", "list"))
        assert told.exit_code == 1
        assert NEWER in told.output
