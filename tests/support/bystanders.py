"""What others see of a server that is attacked: late ticks and slow answers.

A machine of tests is busy with more than the server. How long the system let it wait for a core
is known on Linux; what it did in so much less time is judged by so much more.
"""

import asyncio
import contextlib
import math
import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.live_server import LiveServer
from tests.support.peer_watch import process_of

TICK_LATE_S, ANSWER_P50_S = 0.25, 0.1
TIMES_THE_CONTROL = 3.0
"""What a machine that is busy with something else may add: as much as it does to the controls,
which are the same server without an attack, before and after it."""
BUSY = 0.3
"""A server that used less of a core than this was not what anybody waited for."""
LAG = re.compile(r'focusup_tick_lag_seconds_bucket\{kind="session",le="([^"]+)"\} (\S+)')


@dataclass(frozen=True)
class Seen:
    """What others saw of the server for a while."""

    late_s: float
    """Ticks, p99."""
    answer_s: float
    """Requests, p50."""
    cpu: float
    """Cores that the server used."""
    wanted: float
    """Cores that it would have used, had it been given them at once."""

    def __str__(self) -> str:
        return (
            f"{self.late_s * 1e3:.0f} {self.answer_s * 1e3:.0f} ms {self.cpu:.2f}/{self.wanted:.2f}"
        )

    def is_held_up(self, controls: list["Seen"]) -> bool:
        times = max(1.0, self.wanted / max(self.cpu, 0.01))
        late_s = max(each.late_s for each in controls)
        answer_s = max(each.answer_s for each in controls)
        is_late = self.late_s > max(TICK_LATE_S * times, TIMES_THE_CONTROL * late_s)
        is_slow = self.answer_s > max(ANSWER_P50_S * times, TIMES_THE_CONTROL * answer_s)
        return (is_late or is_slow) and self.cpu > BUSY


async def watched(
    server: LiveServer, seconds: float, front: LiveServer | None = None, *, apart: bool = False
) -> Seen:
    """Ask the server, perhaps through what is in front of it, perhaps from another address."""

    def watch() -> Seen:
        took_s = []
        options: dict[str, Any] = {}
        if apart:
            options["transport"] = httpx.HTTPTransport(local_address="127.0.0.2", verify=False)
        with server.rest("bystander") as own, (front or server).rest(None, **options) as rest:
            before, used, waited_s = lags(own), process_of(server).cpu_times(), waited(server)
            start_s = began_s = time.monotonic()
            while began_s < start_s + seconds:
                with contextlib.suppress(httpx.TimeoutException):  # as long as it took
                    assert rest.get("/api/health").status_code == 200
                took_s.append(time.monotonic() - began_s)
                time.sleep(0.02)
                began_s = time.monotonic()
            now = process_of(server).cpu_times()
            cpu_s = now.user + now.system - used.user - used.system
            waited_s = waited(server) - waited_s
            late_s = p99_s(before, lags(own))
            lasted_s = began_s - start_s
            wanted = (cpu_s + waited_s) / lasted_s
            return Seen(late_s, statistics.median(took_s), cpu_s / lasted_s, wanted)

    return await asyncio.to_thread(watch)


def waited(server: LiveServer) -> float:
    """Seconds for which the server could run and had no core; 0 where that is not known."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{server.pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


def lags(rest: httpx.Client) -> dict[float, float]:
    """How often the wheel has turned so late, or less, by the server's own clock."""
    text = rest.get("/metrics", timeout=60).text
    return {float(most): float(count) for most, count in LAG.findall(text)}


def p99_s(before: dict[float, float], after: dict[float, float]) -> float:
    """The bound below which 99 of 100 turns between the two are."""
    turns = after[math.inf] - before[math.inf]
    return min(most for most in after if after[most] - before[most] >= 0.99 * turns)
