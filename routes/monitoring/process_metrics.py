"""The figures of the process, under the names that Prometheus' own clients use.

What must always hold: they cost the same however many sockets are open. The library's
collector lists every descriptor, which takes 18 ms at 10,000. What a system does not tell
is left out.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

DESCRIPTORS = Path("/proc/self/fd")
MEMORY = Path("/proc/self/statm")


class ProcessMetrics(Collector):
    def __init__(self) -> None:
        self._started_s = time.time()

    def collect(self) -> Iterator[Metric]:
        """All that the system tells, as it is now."""
        yield CounterMetricFamily("process_cpu_seconds", "CPU time of the process.",
                                  time.process_time())  # fmt: skip
        yield GaugeMetricFamily("process_start_time_seconds", "When it began to serve (Unix time).",
                                self._started_s)  # fmt: skip
        with contextlib.suppress(OSError):
            pages = int(MEMORY.read_text().split()[1])
            yield GaugeMetricFamily("process_resident_memory_bytes", "Memory in use.",
                                    pages * os.sysconf("SC_PAGE_SIZE"))  # fmt: skip
        with contextlib.suppress(OSError):
            # Linux 6.2 tells their number as the size of the folder, before it is 0.
            if count := DESCRIPTORS.stat().st_size:
                yield GaugeMetricFamily("process_open_fds", "Open descriptors, sockets included.",
                                        count)  # fmt: skip
        if resource is not None:
            yield GaugeMetricFamily("process_max_fds", "How many descriptors it may have.",
                                    resource.getrlimit(resource.RLIMIT_NOFILE)[0])  # fmt: skip
