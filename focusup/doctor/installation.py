"""Check what is installed: Python, the packages, the event loop, time zones."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import (
    PackageNotFoundError,
    metadata,
    packages_distributions,
    requires,
    version,
)
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from focusup.asgi.versions import REINSTALL
from focusup.doctor.findings import Finding, failed, ok, warning

A_ZONE = "America/Los_Angeles"
TOP_LEVEL = ("focusup", "realtime", "models", "routes", "scoring")
"""The packages that FocusUp installs; other distributions may use these names as well."""


def python(running: tuple[int, int, int] = sys.version_info[:3]) -> Finding:
    """Whether this Python is one that is supported."""
    wanted = str(metadata("focusup")["Requires-Python"])
    number = ".".join(map(str, running))
    if number not in SpecifierSet(wanted):
        advice = f"install Python {wanted.removeprefix('>=')} or newer and make .venv anew"
        return failed("python", f"{number} is not supported ({wanted})", advice)
    return ok("python", f"{number} ({sys.platform})")


def packages(required: list[str] | None = None) -> Iterator[Finding]:
    """Whether each is installed, at a version that is supported.

    `required` is as in the metadata of a package; ours by default.
    """
    needed = [Requirement(text) for text in required or requires("focusup") or ()]
    apply = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    found = {each: _installed(each.name) for each in apply}
    wrong = [
        f"{each.name} {is_there or 'is missing'} (needs {each.specifier or 'any'})"
        for each, is_there in found.items()
        if is_there is None or not each.specifier.contains(is_there, prereleases=True)
    ]
    if wrong:
        yield failed("packages", ", ".join(wrong), REINSTALL)
    else:
        yield ok("packages", f"focusup {version('focusup')}, and the {len(apply)} it needs")


def environment(installed: Mapping[str, Sequence[str]] | None = None) -> Finding:
    """Check that no other distribution installs a package of the same name as ours.

    Args:
        installed: The distributions that install each top-level package; by default those of
            this environment.
    """
    by_name = packages_distributions() if installed is None else installed
    others = {name: sorted(set(by_name.get(name, ())) - {"focusup"}) for name in TOP_LEVEL}
    shared = [f"`{name}` of {', '.join(owners)}" for name, owners in others.items() if owners]
    if shared:
        found = f"other packages have the same names as parts of FocusUp: {', '.join(shared)}"
        advice = "install FocusUp in an environment of its own, such as by pipx install focusup"
        return warning("environment", found, advice)
    return ok("environment", "no other package has the name of a part of FocusUp")


def event_loop() -> Finding:
    """Check which event loop is installed."""
    if sys.platform == "win32":
        return ok("event loop", "asyncio's own (uvloop is not for Windows)")
    found_version = _installed("uvloop")
    if found_version is None:
        found = "asyncio's own, which is slower: uvloop is missing"
        return warning("event loop", found, "pip install uvloop")
    return ok("event loop", f"uvloop {found_version}")


def time_zones() -> Finding:
    """Check that time zones are known."""
    try:
        ZoneInfo(A_ZONE)
    except (ZoneInfoNotFoundError, OSError):
        found = f"the time zone {A_ZONE} is not known here"
        return failed("time zones", found, "pip install tzdata")
    return ok("time zones", "there")


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
