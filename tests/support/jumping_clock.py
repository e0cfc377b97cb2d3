"""The `sitecustomize` of a server whose wall clock jumps.

What must hold: `time.time`, `time.time_ns` and `datetime.now` agree, for whoever asks, and
are ahead of the truth by the seconds that the file of `WALL_CLOCK` holds at that moment;
monotonic clocks are as they were.
"""

import ctypes
import gc
import mmap
import os
import struct
import time
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

AHEAD = struct.Struct("<q")
VARIABLE = "WALL_CLOCK"


def write(path: Path, ahead_s: int) -> None:
    """Let the clocks that read this file be ahead by so much."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(AHEAD.pack(ahead_s))


def install(path: Path) -> None:
    with path.open("rb") as file:
        ahead = mmap.mmap(file.fileno(), AHEAD.size, access=mmap.ACCESS_READ)
    true_ns = time.time_ns

    def time_ns() -> int:
        return true_ns() + int(AHEAD.unpack(ahead)[0]) * 1_000_000_000

    def now(cls: type[datetime], tz: tzinfo | None = None) -> datetime:
        return cls.fromtimestamp(time_ns() / 1e9, tz)

    def utcnow(cls: type[datetime]) -> datetime:
        return cls.fromtimestamp(time_ns() / 1e9, UTC).replace(tzinfo=None)

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9
    _set(datetime, "now", classmethod(now))
    _set(datetime, "utcnow", classmethod(utcnow))


def _set(type_: type, name: str, value: Any) -> None:
    """Also where a type is not meant to be changed: others hold on to it already."""
    (attributes,) = gc.get_referents(type_.__dict__)
    attributes[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(type_))


if __name__ == "sitecustomize":
    install(Path(os.environ[VARIABLE]))
