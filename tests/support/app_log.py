"""What an application in this process logs, as text."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from structlog.typing import EventDict, WrappedLogger


class AppLog(logging.Handler):
    """Collects our own lines and those of libraries; nothing is printed."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: list[str] = []

    def text(self) -> str:
        return "\n".join(self._lines)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))

    def keep(self, _logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
        self._lines.append(f"[{name}] " + " ".join(f"{key}={event[key]}" for key in event))
        raise structlog.DropEvent

    @contextmanager
    def collecting(self) -> Iterator[None]:
        before = structlog.get_config()
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.format_exc_info,
                self.keep,
            ],
            cache_logger_on_first_use=False,
        )
        logging.getLogger().addHandler(self)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(self)
            structlog.configure(**before)
