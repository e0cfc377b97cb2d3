r"""Read settings literally from the environment and `.env`: a value is what is written.

Invariants:

- nothing within a value is replaced: no `${x}`, which secrets may hold, and no `\n`, which
  paths of Windows do. That is why `.env` is not read by python-dotenv;
- one pair of quotes around a value is none of it, in `.env` as in the environment: a file of
  a container's environment (`docker run --env-file`) passes them on.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource
from pydantic_settings.sources.utils import parse_env_vars

_SETTING = re.compile(
    r"""
    ^[^\S\n]* (?:export[^\S\n]+)?
    (?P<name>[A-Za-z_]\w*) [^\S\n]* = [^\S\n]*
    (?: "(?P<double>[^"]*)" | '(?P<single>[^']*)' | (?P<bare>[^\n]*?) )
    [^\S\n]* (?:(?<=\s)\#[^\n]*)? $
    """,
    re.MULTILINE | re.VERBOSE,
)


def settings_in(text: str) -> dict[str, str]:
    """Return what the text of a `.env` sets. Quoted values may have several lines."""
    found = {}
    for match in _SETTING.finditer(text.removeprefix("\ufeff")):
        quoted = match["single"] if match["double"] is None else match["double"]
        found[match["name"]] = unquoted(match["bare"]) if quoted is None else quoted
    return found


def unquoted(value: str) -> str:
    """Return the value without blanks and one pair of quotes around it."""
    value = value.strip()
    for quote in ('"', "'"):
        if len(value) > 1 and value.startswith(quote) and value.endswith(quote):
            return value[1:-1].replace("\\" + quote, quote)
    return value


class Environment(EnvSettingsSource):
    """The environment of the process."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        given = {name: unquoted(value) for name, value in os.environ.items()}
        return parse_env_vars(given, self.case_sensitive, self.env_ignore_empty)


class EnvFile(DotEnvSettingsSource):
    """The file `.env`."""

    def _read_env_file(self, file_path: Path) -> Mapping[str, str | None]:
        given = settings_in(file_path.read_text(self.env_file_encoding))
        return parse_env_vars(given, self.case_sensitive, self.env_ignore_empty)
