"""The image and the composition: as linters and schemas read them, against each other and
against the project; and what the image installs, installed and run the same way."""

import json
import re
import shlex
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from focusup.settings import MIN_SECRET_BYTES, Settings
from tests.support.live_server import LiveServer
from tests.support.paths import ROOT
from tests.support.requirements import missing

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
APPS = [name for name in SERVICES if name.startswith("app-")]
MEMBERS = [name for name in SERVICES if name.startswith("mongo-")]
INSTRUCTION = re.compile(r"^([A-Z]+) (.+)$", re.MULTILINE)
STOPS_WITHIN_S = 10


def instructions(name: str, *, stage: int = -1) -> list[str]:
    text = re.sub(r"\\\n", " ", DOCKERFILE)
    stages = re.split(r"^(?=FROM )", text, flags=re.MULTILINE)[1:]
    return [value for found, value in INSTRUCTION.findall(stages[stage]) if found == name]


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def tool(name: str) -> str:
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        missing(f"{name} is not installed")
    return str(path)


def test_linter_and_schema_find_nothing_wrong() -> None:
    for command in (
        [tool("hadolint"), "deploy/Dockerfile"],
        [
            tool("check-jsonschema"),
            "--builtin-schema",
            "vendor.compose-spec",
            "deploy/compose.yaml",
        ],
    ):
        ran = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


# --- the image ------------------------------------------------------------------------------


def test_what_is_copied_is_there_and_nothing_else_is_sent_to_the_builder() -> None:
    copied = [each for line in instructions("COPY", stage=0) for each in shlex.split(line)[:-1]]
    assert all((ROOT / each).exists() for each in copied)
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    assert {each.removeprefix("!") for each in ignored if each.startswith("!")} == set(copied)


def test_it_runs_the_oldest_python_we_support_as_nobody_in_particular() -> None:
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert oldest is not None
    assert set(re.findall(r"^FROM python:([\d.]+)-slim", DOCKERFILE, re.MULTILINE)) == {oldest[1]}
    (user,) = instructions("USER")
    assert int(user) > 0
    assert f"--uid {user} " in DOCKERFILE


def test_its_settings_are_settings() -> None:
    (environment,) = instructions("ENV")
    given = dict(each.split("=", 1) for each in shlex.split(environment))
    assert {name.lower() for name in given} - {"path"} <= set(Settings.model_fields)
    assert instructions("EXPOSE") == [given["PORT"]]
    assert instructions("VOLUME") == [given["DATA_DIR"]]


@pytest.mark.timeout(300)
def test_what_it_installs_runs_and_its_health_check_tells(tmp_path: Path) -> None:
    """Its two steps, `venv` and `pip install`, on a copy of what is sent to the builder."""
    source, home = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    for line in instructions("COPY", stage=0):
        for each in shlex.split(line)[:-1]:
            subprocess.run(["cp", "-r", str(ROOT / each), str(source)], check=True)
    for line in instructions("RUN", stage=0):
        command = json.loads(line.replace("/opt/focusup", str(home)))
        command[0] = sys.executable if command[0] == "python" else command[0]
        subprocess.run(command, cwd=source, check=True, stdout=subprocess.DEVNULL)
    (entry,) = instructions("ENTRYPOINT")
    (arguments,) = instructions("CMD")
    command = [str(home / "bin" / json.loads(entry)[0])]
    assert subprocess.check_output([*command, "--version"], text=True).startswith("focusup ")
    server = LiveServer(tmp_path)
    assert json.loads(arguments) == ["serve"]
    server.COMMAND = command
    (health,) = instructions("HEALTHCHECK")
    check = [str(home / "bin" / "python"), *json.loads(health.partition(" CMD ")[2])[1:]]
    try:
        server.start()
        environment = {"PORT": server.url.rpartition(":")[2]}
        subprocess.run(check, env=environment, check=True, timeout=20)
        page = httpx.get(f"{server.url}/focusup.js")
        assert (page.status_code, "export" in page.text) == (200, True)
        assert httpx.get(f"{server.url}/docs").status_code == 200
    finally:
        assert server.stop() == 0
    assert subprocess.run(check, env=environment, check=False, capture_output=True).returncode


# --- the composition ------------------------------------------------------------------------


def address(name: str) -> str:
    return str(SERVICES[name]["networks"]["front"]["ipv4_address"])


def test_nginx_knows_every_process_and_they_trust_it_alone() -> None:
    (expose,) = instructions("EXPOSE")
    upstream = (DEPLOY / "nginx" / "upstream.compose.conf").read_text()
    servers = re.findall(r"^ *server (\S+)", upstream, re.MULTILINE)
    assert servers == [f"{address(name)}:{expose}" for name in APPS]
    assert len(APPS) == 2
    for name in APPS:
        assert SERVICES[name]["environment"]["TRUSTED_PROXIES"] == address("nginx")
    (network,) = (each["subnet"] for each in COMPOSE["networks"]["front"]["ipam"]["config"])
    assert all(ip_address(address(name)) in ip_network(network) for name in (*APPS, "nginx"))


def test_the_upstreams_differ_in_their_servers_alone() -> None:
    here, composed = (
        [line for line in (DEPLOY / "nginx" / name).read_text().splitlines() if ";" in line]
        for name in ("upstream.conf", "upstream.compose.conf")
    )
    ours = re.compile(r"server \S+")
    assert [ours.sub("", line) for line in here] == [ours.sub("", line) for line in composed]


def test_what_is_mounted_is_there() -> None:
    for volume in SERVICES["nginx"]["volumes"]:
        source = volume.split(":")[0]
        assert source == "./nginx/tls" or (DEPLOY / source).is_file(), source
    build = SERVICES[APPS[0]]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")


def test_processes_are_set_up_alike_and_stopped_patiently() -> None:
    for name in APPS:
        app = SERVICES[name]
        assert {each.lower() for each in app["environment"]} <= set(Settings.model_fields)
        assert app["environment"]["JWT_SECRET"].startswith("${JWT_SECRET:?")
        assert str(MIN_SECRET_BYTES) in app["environment"]["JWT_SECRET"]
        assert app["environment"] == SERVICES[APPS[0]]["environment"]
        assert app["restart"] == "always"
        assert seconds(app["stop_grace_period"]) >= 2 * STOPS_WITHIN_S
        assert app["ulimits"]["nofile"] >= 2 * Settings.model_fields["max_sockets"].default


def test_the_database_is_a_replica_set_that_nobody_outside_reaches() -> None:
    uri = SERVICES[APPS[0]]["environment"]["MONGODB_URI"]
    assert uri == f"mongodb://{','.join(MEMBERS)}/?replicaSet=focusup"
    assert len(MEMBERS) == 3
    initiate = SERVICES[MEMBERS[0]]["healthcheck"]["test"][-1]
    assert re.findall(r'host: "([\w-]+)"', initiate) == MEMBERS
    assert COMPOSE["networks"]["database"]["internal"] is True
    for name in MEMBERS:
        assert "ports" not in SERVICES[name]
        assert SERVICES[name]["networks"] == ["database"]
        assert SERVICES[name]["command"][:3] == ["mongod", "--replSet", "focusup"]
    assert set(SERVICES) == {*APPS, *MEMBERS, "nginx"}
