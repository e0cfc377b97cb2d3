"""The machine: its clocks, and how many sockets it lets us open."""

import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime

from focusup.doctor.findings import Finding, failed, ok, warning
from focusup.file_descriptors import SPARE_FILES, Capacity, needed_files

NO_EARLIER = datetime(2026, 1, 1, tzinfo=UTC)
NO_LATER = datetime(2100, 1, 1, tzinfo=UTC)
WAITED_S = 0.05
ASK_WITHIN_S = 3.0


def monotonic_clock() -> Finding:
    """Whether the clock that counts seconds goes on."""
    began_s = time.monotonic()
    time.sleep(WAITED_S)
    passed_s = time.monotonic() - began_s
    if passed_s <= 0:
        found = f"the monotonic clock moved by {passed_s:g} s in {WAITED_S:g} s"
        return failed("monotonic clock", found, "no second can be counted on this machine")
    return ok("monotonic clock", "goes on")


def wall_clock(now: datetime | None = None, synchronised: bool | None = None) -> Finding:
    """`synchronised` is whether the system keeps it right; None where it does not tell."""
    now = now or datetime.now(UTC)
    told = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if not NO_EARLIER <= now <= NO_LATER:
        return failed("wall clock", f"{told} can't be right", "set the clock of this machine")
    if synchronised is False:
        found = f"{told}, not synchronised (NTP)"
        return warning("wall clock", found, "timedatectl set-ntp true; tokens and days need it")
    return ok("wall clock", f"{told}, synchronised" if synchronised else told)


def is_synchronised() -> bool | None:
    """What timedatectl says of NTP; None where there is none, or it does not know."""
    program = shutil.which("timedatectl")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command  # nosec B603
            [program, "show", "--property=NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=ASK_WITHIN_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"yes": True, "no": False}.get(done.stdout.strip())


def open_files(max_sockets: int, max_idle: int) -> Finding:
    """Check whether the system allows as many sockets as MAX_SOCKETS says, of each kind.

    A start raises the soft limit to the hard one, which is checked.
    """
    if sys.platform == "win32":
        return ok("open files", "Windows sets no limit")
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit in (resource.RLIM_INFINITY, -1):
        return ok("open files", "no limit")
    needed = needed_files(Capacity(max_sockets, max_idle))
    if limit >= needed:
        return ok("open files", f"{limit} for MAX_SOCKETS={max_sockets}")
    found = f"{limit} are too few for MAX_SOCKETS={max_sockets}"
    fits = max(1, (limit - SPARE_FILES - max_idle) // 2)
    advice = f"LimitNOFILE={needed} in the service, or MAX_SOCKETS={fits}"
    return warning("open files", found, advice)
