"""Validate time zones: names of the IANA database, such as `Europe/Berlin`.

Invariants:

- Every server of this version knows a name that was accepted: the data are those of the package
  `tzdata`, not of the machine.
"""

from functools import lru_cache
from importlib.resources import files
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

UTC = "UTC"


@lru_cache(maxsize=1)
def known_zones() -> frozenset[str]:
    """Return every accepted name."""
    return frozenset(files("tzdata").joinpath("zones").read_text("ascii").split())


def _known(name: str) -> str:
    if name not in known_zones():
        raise ValueError("must be an IANA time zone, such as Europe/Berlin")
    return name


TimeZone = Annotated[
    str,
    AfterValidator(_known),
    WithJsonSchema({"type": "string", "examples": ["Europe/Berlin", "UTC"]}),
]
