"""Sessions as rows of CSV (RFC 4180), for spreadsheets.

What must always hold: no text of the user's is a formula to a spreadsheet, which may send
what is in other cells to somebody else: text that begins like one gets a `'` in front. Tags are a
list within their cell, quoted as cells are in a line: `"Algebra, linear", math` are two.
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
"""With what a formula begins, or what spreadsheets pass over in front of it."""


def csv_row(session: SessionView) -> str:
    """One line, with its end."""
    fields: dict[str, Any] = session.model_dump(by_alias=True)
    fields |= {"id": session.id, "tags": ", ".join(map(_quoted, session.tags))}
    return _line([_cell(fields[name]) for name in COLUMNS])


def _quoted(tag: str) -> str:
    """A tag as CSV itself would quote it, where it would not be told from several."""
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
    value = value.replace("\0", "")  # no reader of CSV knows what to do with it
    return "'" + value if value.lstrip(" ").startswith(FORMULA) else value


def _line(cells: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()


HEADER = _line(list(COLUMNS))
