"""Check the versions of the packages whose internals this room reaches into.

Invariants:

- The server starts on no version of these packages but those it was tried with: a release that
  moves an internal could otherwise lose requests without a word.
"""

from collections.abc import Callable, Iterator
from importlib.metadata import requires, version

from packaging.requirements import Requirement

from focusup.operator_errors import OperatorError

RELIED_ON = ("hypercorn", "quart", "websockets")
REINSTALL = "pip install -e . -c constraints.txt (or `make run`, which does it)"


class UnsupportedVersionError(OperatorError):
    """A package has a version that this server was not tried with."""


def check_versions(installed: Callable[[str], str] = version) -> None:
    """Raise UnsupportedVersionError where a version is not in the range of pyproject.toml.

    Args:
        installed: Returns the installed version of a package.
    """
    wrong = [
        f"{needed.name} {found} (needs {needed.specifier})"
        for needed in _relied_on()
        if (found := installed(needed.name)) not in needed.specifier
    ]
    if wrong:
        raise UnsupportedVersionError(f"FocusUp was not tried with {', '.join(wrong)}", REINSTALL)


def _relied_on() -> Iterator[Requirement]:
    for text in requires("focusup") or ():
        needed = Requirement(text)
        if needed.name in RELIED_ON:
            yield needed
