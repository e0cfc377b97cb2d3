"""Logs: one line an event, readable on a terminal, JSON elsewhere.

What must always hold: no token, password or query string reaches a log, whatever a
library logs; tracebacks go to the log, never to a client.
"""

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+(\.[\w-]*)?|(?<=token=)[^&\s\"']+|(?<=://)[^/@\s]+(?=@)")
"""A JWT, a `token=` parameter, or the credentials within an address."""


def redact(value: Any) -> Any:
    if isinstance(value, str):
        return TOKEN.sub("[redacted]", value)
    if isinstance(value, dict):
        return {key: redact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return value


def _redacted(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    return {key: value if key == "exc_info" else redact(value) for key, value in event.items()}


def configure_logs(level: str, *, terminal: bool | None = None) -> None:
    """Send everything, our own lines and those of libraries, to stderr."""
    if terminal is None:
        terminal = sys.stderr.isatty()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if terminal:
        last: list[Any] = [
            _redacted,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
    else:
        last = [
            structlog.processors.format_exc_info,
            _redacted,
            structlog.processors.JSONRenderer(),
        ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("pymongo", "hypercorn.error", "quart.app", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
