"""The systemd unit, as systemd itself reads it, and against what the server says of itself."""

import configparser
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from focusup.cli import main
from focusup.settings import Settings
from tests.support.paths import ROOT
from tests.support.requirements import require

UNIT = ROOT / "deploy" / "systemd" / "focusup@.service"
EXECUTABLE = "/opt/focusup/bin/focusup"
STOPS_WITHIN_S = 10
EXPOSURE_PERCENT = 20
"""At most, by systemd's own reckoning: 100 is a service that may do all that root may."""


@pytest.fixture
def analyze() -> str:
    return require("systemd-analyze", "systemd's own check of our unit")


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """The instance for port 5000, where its program is installed."""
    text = UNIT.read_text()
    assert f"ExecStart={EXECUTABLE} serve" in text
    path = tmp_path / "focusup@5000.service"
    path.write_text(text.replace(EXECUTABLE, str(Path(sys.executable).with_name("focusup"))))
    return path


def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


def checked(analyze: str, *arguments: str) -> None:
    ran = subprocess.run(
        [analyze, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout[-3000:] + ran.stderr


def test_systemd_finds_nothing_wrong(analyze: str, instance: Path) -> None:
    checked(analyze, "verify", "--man=no", str(instance))


def test_it_may_do_little(analyze: str, instance: Path) -> None:
    checked(analyze, "security", "--offline=yes", f"--threshold={EXPOSURE_PERCENT}", str(instance))


def test_the_instance_is_the_port_and_comes_back() -> None:
    told = service()
    _, *arguments = told["ExecStart"].replace("%i", "5000").split()
    assert CliRunner().invoke(main, [*arguments, "--help"]).exit_code == 0
    assert arguments == ["serve", "--port", "5000"]
    assert told["Restart"] == "always"
    settings = dict(each.split("=", 1) for each in told["Environment"].split())
    assert {name.lower() for name in settings} <= set(Settings.model_fields)
    assert settings["DATA_DIR"] == f"/var/lib/{told['StateDirectory']}"


def test_a_stop_has_the_time_it_needs_and_reaches_the_database_last() -> None:
    told = service()
    assert int(told["TimeoutStopSec"]) >= 2 * STOPS_WITHIN_S
    assert told["KillMode"] == "mixed"
    assert int(told["LimitNOFILE"]) >= 2 * Settings.model_fields["max_sockets"].default
