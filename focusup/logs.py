"""Configure logs: one line an event, readable on a terminal, JSON elsewhere.

Invariants:

- No token, password or query string reaches a log, whatever a library logs.
- Tracebacks go to the log, never to a client.
"""

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

TOKEN = re.compile(
    r"(?<=token=)[^&\s\"'\\]+|(?<=visitor=)[^&\s\"'\\]+|(?<=Bearer )[^\s\"',\\]+"
    r"|(?<=://)[^/@\s]+(?=@)"  # the credentials within an address
    # A JWT: base64 of `{`, and what JSON allows then. Looked for once in each run of such
    # characters, and only in one that a second follows: the time grows with the text alone.
    r"|(?<![\w-])(?=[\w-]++\.[\w-]{6})[\w-]*?e[wy][\w-]{8,}+\.[\w-]++(\.[\w-]*+)?"
    r"|(?<![\w-])[\w-]{22}\.[\w-]{43}(?![\w-])"  # a refresh token
)


def redact(value: Any) -> Any:
    """The same without secrets; what is neither text nor number becomes text."""
    if isinstance(value, str):
        return TOKEN.sub("[redacted]", value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, dict):
        return {key: redact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return TOKEN.sub("[redacted]", repr(value))


def _redacted(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    return {key: redact(value) for key, value in event.items()}


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
        last: Any = structlog.dev.ConsoleRenderer()
    else:
        last = structlog.processors.JSONRenderer()
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
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                _redacted,
                last,
            ],
        )
    )
    # Of what can't be written Python would print the bare arguments.
    logging.raiseExceptions = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("pymongo", "hypercorn.error", "quart.app", "asyncio", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
