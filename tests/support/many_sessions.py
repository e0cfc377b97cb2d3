"""A user with many sessions, for exports and lists."""

from datetime import UTC, datetime, timedelta
from typing import Any

from models.sessions.queries import new_id
from models.sessions.session import NewSession, ended_fields, new_document
from scoring.timeline import Kind, Run, pack

SECOND_US = 1_000_000
YEARS = timedelta(days=3 * 365)


def fill(db: Any, user: str, count: int) -> None:
    """Insert `count` sessions of some size, over three years, half of them within one day."""
    now = datetime.now(UTC)
    half = count // 2
    steps = [now - YEARS + YEARS / half * number for number in range(half)]
    steps += [now - YEARS / 2 + timedelta(days=1) / half * number for number in range(half)]
    runs = [Run(Kind(n % 2), n * 60 * SECOND_US, 60 * SECOND_US, n % 2) for n in range(10)]
    counted = {"activeSeconds": 300, "idleSeconds": 300, "elapsedSeconds": 600, "tabSwitches": 5}
    rows = []
    for number, at in enumerate(steps):
        body = NewSession(title=f"Chapter {number}", notes="notes " * 20, tags=["a", "b"])
        document = {**new_document(user, body, stamp="test.1", now=at), **counted}
        document |= ended_fields(document, "completed", at + timedelta(minutes=10))
        rows.append({**document, "_id": new_id(at), "timeline": pack(runs)})
        if len(rows) == 2000:
            db["sessions"].insert_many(rows)
            rows = []
    if rows:
        db["sessions"].insert_many(rows)
