"""Runs a server with its database statements counted: `python -m benchmarks.counted FILE ours`.

Twice a second the number of commands sent so far is written into FILE. The counting costs
both servers the same: one increment a statement.
"""

import sys
import threading
import time
from pathlib import Path

from pymongo import monitoring


class Counter(monitoring.CommandListener):
    def __init__(self) -> None:
        self.count = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in {"update", "find", "insert", "delete", "bulkWrite"}:
            self.count += 1

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


def report(counter: Counter, path: Path) -> None:
    while True:
        draft = path.with_suffix(".draft")
        draft.write_text(str(counter.count))
        draft.replace(path)
        time.sleep(0.5)


def main() -> None:
    path, which = sys.argv[1:]
    counter = Counter()
    monitoring.register(counter)
    threading.Thread(target=report, args=(counter, Path(path)), daemon=True).start()
    if which == "ours":
        from focusup.serving import run
        from focusup.settings import Settings

        sys.exit(run(Settings()))
    from benchmarks.naive_server import run as run_naive

    run_naive()


if __name__ == "__main__":
    main()
