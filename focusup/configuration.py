"""Read the settings for a command, and report wrong ones in a few lines.

Invariants:

- A line names the variable or option and what is expected of it, and never repeats the value, which
  may be a secret.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pydantic import ValidationError

    from focusup.settings import Settings

WRONG_SETTINGS = 2


class WrongSettingsError(Exception):
    """`lines` say what is wrong, one setting each."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def load_settings(**options: Any) -> "Settings":
    """Settings from the environment, overridden by the options that were given.

    Ends the command with exit status 2 when they are wrong.
    """
    try:
        return read_settings(**options)
    except WrongSettingsError as wrong:
        for line in wrong.lines:
            click.echo(f"focusup: {line}", err=True)
    raise click.exceptions.Exit(WRONG_SETTINGS)


def read_settings(**options: Any) -> "Settings":
    """The same; raises WrongSettingsError."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from focusup.settings import Settings

    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = list(_lines(error, given))
    except SettingsError:
        lines = ["a setting in the environment or in .env cannot be read"]
    except UnicodeDecodeError:
        lines = [".env: must be UTF-8 text"]
    except OSError as error:
        lines = [f".env: can't be read: {error.strerror}"]
    raise WrongSettingsError(lines)


def _lines(error: "ValidationError", given: Iterable[str]) -> Iterable[str]:
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        name = str(found["loc"][0]) if found["loc"] else ""
        source = f"--{name.replace('_', '-')}" if name in given else name.upper()
        reason = found["msg"].removeprefix("Value error, ")
        yield f"{source}: {reason}" if source else reason
