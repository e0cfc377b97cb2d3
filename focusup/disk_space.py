"""A data directory that the file system refuses, or that has too little room: what to do."""

import errno
import shutil
from pathlib import Path

NEEDED_MIB = 300
"""For the log of the embedded database, its journal, and some data; without it, it stops."""
MIB = 2**20
FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
MAKE_ROOM = "make room, or set DATA_DIR to another disk"
CHOOSE_ANOTHER = "set DATA_DIR to a folder that you may write to"


def remedy(error: OSError) -> str:
    """What to do about a data directory after this error."""
    return MAKE_ROOM if error.errno in FULL else CHOOSE_ANOTHER


def free_mib(place: Path) -> int:
    """How much may be written to the disk of this folder. Raises OSError."""
    return shutil.disk_usage(place).free // MIB
