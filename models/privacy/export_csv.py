"""Write sessions as rows of CSV (RFC 4180), for spreadsheets.

Tags are a list within their cell, quoted like cells in a line: `"Algebra, linear", math` are two.

Invariant: no text is a formula to a spreadsheet, since a formula can send other cells to another
server. Text that starts like one gets a `'` in front (OWASP, "CSV Injection").
"""

import csv
import io
from typing import Any

from models.base.schema_types import iso_utc
from models.sessions.session import SessionView

COLUMNS = (
    *("id", "status", "title", "contentId", "tags", "notes", "targetMinutes", "idleMode"),
    *("timeZone", "createdAt", "startedAt", "endedAt", "lastActiveAt", "updatedAt"),
    *("elapsedSeconds", "activeSeconds", "idleSeconds", "pausedSeconds", "awaySeconds"),
    *("tabSwitches", "focusScore", "edited", "manualSeconds"),
)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
"""Characters with which a formula starts, or which spreadsheets skip before it."""


def csv_row(session: SessionView) -> str:
    """Return a session as one line, with its line break."""
    fields: dict[str, Any] = session.model_dump(by_alias=True)
    fields |= {"id": session.id, "tags": ", ".join(map(_quoted, session.tags))}
    return _line([_cell(fields[name]) for name in COLUMNS])


def _quoted(tag: str) -> str:
    """Quote a tag like a CSV field if it holds a separator or a quote."""
    return '"' + tag.replace('"', '""') + '"' if "," in tag or '"' in tag else tag


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    return value if isinstance(value, int | float) else iso_utc(value)


def _text(value: str) -> str:
    value = value.replace("\0", "")  # readers of CSV stop at it or fail
    return "'" + value if value.lstrip(" ").startswith(FORMULA) else value


def _line(cells: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()


HEADER = _line(list(COLUMNS))
