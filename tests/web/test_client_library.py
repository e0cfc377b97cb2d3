"""The client library: its own tests, its size and types, and what it does with a real server."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from models.base.schema_types import WireModel
from models.sessions.session import NewSession, ScoreBreakdown, SessionView
from models.study.statistics import PeriodProgress, Progress, UserStats
from realtime.protocol import page_messages, server_messages
from realtime.protocol.close_codes import CloseCode
from tests.support.live_server import LiveServer, running_server
from tests.support.paths import NODE, ROOT
from tests.support.requirements import missing, require
from tests.support.socket_client import stored
from tests.support.web.coverage import node_environment

LIBRARY = ROOT / "focusup" / "web" / "static" / "focusup.js"
MODULES = (LIBRARY, *sorted((LIBRARY.parent / "client").glob("*.js")))
MOST_BYTES = 12 * 1024
"""Of all its modules, each compressed by itself as it is sent."""
MOST_LINES = 300
IMPORT = re.compile(r"""(?:\bfrom|^import)\s+"([^"]+)"|\bimport\(""", re.MULTILINE)
WHY = "the client library runs in it"
ADVICE = {
    "rest": "rest",
    "reconnect with backoff": "again",
    "reconnect with jitter": "spread",
    "get a token, reconnect": "token",
    "reconnect when needed": "return",
    "rest until the user comes back": "return",
    "reconnect later": "later",
}
"""What the library calls the advice of the table of close codes."""


def node(*packages: str) -> str:
    path = require("node", WHY)
    for name in packages:
        if not (NODE / "node_modules" / name).is_dir():
            missing(f"the package {name} is not installed: npm install --prefix tests/node")
    return path


def run(*command: str, cwd: Path = NODE, within_s: float = 100) -> str:
    environment = os.environ | node_environment()
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_own_tests() -> None:
    files = sorted(path.name for path in NODE.glob("*.test.mjs") if path.name != "types.test.mjs")
    told = run(node(), "--test", "--test-reporter=tap", *files)
    passed = re.search(r"^# pass (\d+)$", told, re.MULTILINE)
    assert passed, told
    assert int(passed[1]) >= 100
    assert "# skipped 0" in told


@pytest.mark.timeout(120)
def test_its_types() -> None:
    run(node("typescript"), "--test", "types.test.mjs")


DECLARED: dict[str, type[WireModel]] = {
    **{
        name: getattr(server_messages, name)
        for name in (
            *("Started", "Tick", "State", "Paused", "Resumed", "Stopped", "TargetReached"),
            *("GoalReached", "Superseded", "Degraded", "Recovered"),
        )
    },
    "Viewing": page_messages.Viewing,
    "PageTick": page_messages.PageTick,
    "Session": SessionView,
    "ScoreBreakdown": ScoreBreakdown,
    "UserStats": UserStats,
    "PeriodProgress": PeriodProgress,
    "Progress": Progress,
    "NewSession": NewSession,
}
"""What the server calls what the library declares."""
ANSWERS = {"Paused", "Resumed", "Stopped", "Started", "Viewing"}
"""What the library asks for, with an `id`; the others are told unasked."""


def test_what_is_declared_of_messages_is_what_the_server_sends() -> None:
    told = json.loads(run(node("typescript"), "declared.mjs", *DECLARED))
    for name, model in DECLARED.items():
        schema = model.model_json_schema(mode="serialization")["properties"]
        if name not in ANSWERS:
            schema.pop("id", None)
        assert set(told[name]) == set(schema), name
        unasked = issubclass(model, server_messages.ServerMessage) and model.unasked
        for field, how in told[name].items():
            nulls = {"type": "null"} in schema[field].get("anyOf", [])
            assert how["nullable"] == nulls, (name, field)
            left_out = name == "NewSession" or (field == "id" and unasked)
            assert how["optional"] == left_out, (name, field)


def test_it_is_small() -> None:
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in MODULES) <= MOST_BYTES
    assert all(len(path.read_text().splitlines()) <= MOST_LINES for path in MODULES)


def test_it_imports_its_own_modules_alone() -> None:
    imported = {
        (path.parent / name).resolve()
        for path in MODULES
        for name in IMPORT.findall(re.sub(r"/\*\*.*?\*/", "", path.read_text()))
    }
    assert imported == set(MODULES) - {LIBRARY}


def test_what_it_does_after_each_close_code_is_what_the_table_says() -> None:
    tell = "({ AFTER_CLOSE }) => console.log(JSON.stringify(AFTER_CLOSE))"
    told = json.loads(run(node(), "-e", f"import('{LIBRARY.as_uri()}').then({tell})"))
    done = {int(code): then for code, then in told.items()}
    text = (ROOT / "docs" / "protocol.md").read_text()
    rows = re.findall(r"^\| (\d{4}(?:(?:,| /) \d{4})*) \| .* \| ([a-z, ]+) \|$", text, re.MULTILINE)
    published = {
        int(code): ADVICE[then] for codes, then in rows for code in re.findall(r"\d+", codes)
    }
    assert done == published
    assert {int(code): ADVICE[code.advice] for code in CloseCode}.items() <= done.items()


# --- as an npm package ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("npm")
    packed = run(sys.executable, str(ROOT / "scripts" / "pack_npm.py"), str(directory), cwd=ROOT)
    return Path(packed.strip())


def test_the_package_has_the_same_files_and_the_version(package: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert package.name == f"focusup-{version}.tgz"
    with tarfile.open(package) as archive:
        read = {name: archive.extractfile(name) for name in archive.getnames()}
        contents = {name: file.read() for name, file in read.items() if file is not None}
    modules = {path.relative_to(LIBRARY.parent).as_posix(): path for path in MODULES}
    assert set(contents) == {
        f"package/{name}"
        for name in ("package.json", "focusup.d.ts", "README.md", "LICENSE", *modules)
    }
    for name, path in modules.items():
        assert contents[f"package/{name}"] == path.read_bytes()
    assert contents["package/focusup.d.ts"] == LIBRARY.with_suffix(".d.ts").read_bytes()
    assert json.loads(contents["package/package.json"])["version"] == version


@pytest.fixture(scope="module")
def app(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of its own, with the package installed as npm does it."""
    directory = tmp_path_factory.mktemp("app")
    (directory / "package.json").write_text('{"name": "app", "private": true, "type": "module"}')
    npm = require("npm", "the package is installed with it")
    run(npm, "install", "--offline", "--no-audit", "--no-fund", str(package), cwd=directory)
    shutil.copy(NODE / "installed_client.mjs", directory)
    return directory


def test_a_session_from_node(app: Path, live_server: LiveServer) -> None:
    user = uuid.uuid4().hex
    ws = (NODE / "node_modules" / "ws" / "wrapper.mjs").as_uri()
    script = (node("ws"), "installed_client.mjs", live_server.url, live_server.token(user), ws)
    result = json.loads(run(*script, cwd=app, within_s=30))
    told = [type_ for type_, _ in result["told"]]
    assert told.index("started") < told.index("tick") < told.index("paused")
    assert told.index("paused") < told.index("resumed") < told.index("stopped")
    assert (told.count("stopped"), told.count("error")) == (1, 0)
    assert result["told"][-1] == ["connection", "closed"]
    assert result["begun"]["title"] == "from npm"
    assert result["paused"]["elapsedSeconds"] == 2
    assert result["ended"] == result["again"] == stored(live_server, result["ended"]["_id"], user)
    session = result["ended"]
    assert (session["status"], session["tabSwitches"], session["idleSeconds"]) == (
        "completed",
        1,
        0,
    )
    assert session["elapsedSeconds"] == 3
    assert result["page"] == "/kiosk"


def test_its_types_are_found(app: Path) -> None:
    sample = (NODE / "sample.ts").read_text()
    (app / "sample.ts").write_text(sample.replace("../../focusup/web/static/focusup.js", "focusup"))
    tsc = NODE / "node_modules" / "typescript" / "bin" / "tsc"
    flags = ("--noEmit", "--strict", "--module", "nodenext", "--target", "es2022")
    run(node("typescript"), str(tsc), *flags, "sample.ts", cwd=app)


# --- through faults ---------------------------------------------------------------------------


class Client:
    """The library in Node, told what to do line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.told: list[dict[str, Any]] = []

    def do(self, command: str) -> None:
        assert self._process.stdin is not None
        print(command, file=self._process.stdin, flush=True)

    def until(self, type_: str, **fields: Any) -> dict[str, Any]:
        """The next event of this type with these fields."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event: dict[str, Any] = json.loads(line)
            self.told.append(event)
            if event.items() >= {"type": type_, **fields}.items():
                return event
        raise AssertionError(f"no {type_} {fields}: {self.told}")


@contextmanager
def client(server: LiveServer, user: str) -> Iterator[Client]:
    with subprocess.Popen(
        [node("ws"), "faulty_days.mjs", server.url, server.token(user)],
        cwd=NODE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Client(process)
        finally:
            process.kill()


def test_a_session_goes_on_by_itself_and_ends_though_the_server_is_gone(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, client(server, "ada") as page:
        page.do("start")
        page.until("tick", elapsedSeconds=1)
        assert server.stop() == 0
        page.until("connection", state="waiting", code=1012)
        server.start()
        assert page.until("started")["resumed"] is True
        page.until("tick", elapsedSeconds=3)

        server.kill()
        page.until("connection", state="waiting")
        page.do("pause")
        server.start()
        page.until("answered", to="paused")

        server.kill()
        page.until("connection", state="waiting")
        page.do("stop")
        page.until("connection", state="closed")
        server.start()
        session = page.until("answered", to="stop")["session"]
        assert (session["status"], session["tracked"]) == ("completed", False)
        assert session["elapsedSeconds"] >= 2  # a kill takes one second at most
        assert [event["type"] for event in page.told].count("stopped") == 1
        assert "error" not in [event["type"] for event in page.told]
