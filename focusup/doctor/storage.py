"""What the embedded database needs: a directory that can be used, and a program."""

import os
from pathlib import Path

from focusup.database.directory import holder
from focusup.database.errors import short
from focusup.database.programs import choose, how_to_keep, kinds_kept, version_of
from focusup.disk_space import CHOOSE_ANOTHER, MAKE_ROOM, NEEDED_MIB, free_mib
from focusup.doctor.findings import Finding, failed, ok, warning

COMFORTABLE_MIB = 1024


def data_directory(data_dir: Path) -> Finding:
    """Whether it can be used or made, and who uses it."""
    place = _nearest(data_dir)
    where = short(data_dir)
    if not place.is_dir():
        return failed("data directory", f"{short(place)} is a file", CHOOSE_ANOTHER)
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        return failed("data directory", f"{short(place)} may not be written", CHOOSE_ANOTHER)
    if place != data_dir:
        return ok("data directory", f"{where} is not there yet: the first start makes it")
    kinds = " and ".join(kinds_kept(data_dir))
    told = f"{where}, written by {kinds}" if kinds else f"{where}, without a database"
    by = holder(data_dir)
    return ok("data directory", f"{told}; {f'in use by {by}' if by else 'not in use'}")


def database_program(data_dir: Path) -> Finding:
    """Which program serves the data, if any."""
    program = choose(data_dir)
    kept = kinds_kept(data_dir)
    if program is None:
        advice = how_to_keep()
        if kept:
            found = f"the program that wrote {short(data_dir)} ({kept[0]}) is not installed"
            return failed("database program", found, advice)
        found = "there is none: all data would be in memory, and gone at the stop"
        return warning("database program", found, advice)
    if not os.access(program.path, os.X_OK):
        found = f"{program.path} may not be run"
        return failed("database program", found, f"chmod +x {program.path}")
    found = f"{program.kind} {version_of(program)}"
    if kept and program.kind != kept[0]:
        advice = f"install {kept[0]} to have that data back"
        return warning("database program", f"{found}, but {kept[0]} wrote here first", advice)
    return ok("database program", found)


def room(data_dir: Path) -> Finding:
    """Whether there is room for the database."""
    mib = free_mib(_nearest(data_dir))
    advice = f"{MAKE_ROOM}: {COMFORTABLE_MIB} MiB are comfortable"
    if mib < NEEDED_MIB:
        return failed("disk", f"{mib} MiB are free for the data directory", advice)
    if mib < COMFORTABLE_MIB:
        return warning("disk", f"{mib} MiB are free for the data directory", advice)
    return ok("disk", f"{mib} MiB are free for the data directory")


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.absolute().parent
    return path
