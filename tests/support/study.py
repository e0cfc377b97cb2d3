"""Sessions of the past, as they would have been stored."""

import random
from datetime import datetime, timedelta
from typing import Any

from models.base.schema_types import milliseconds
from models.sessions import past_sessions
from models.sessions.queries import new_id
from models.sessions.session import NewSession, ended_fields
from scoring.timeline import SECOND_US, Kind, Run

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo")


def past_session(
    user: str,
    at: datetime,
    *,
    active: int = 1200,
    idle: int = 0,
    paused: float = 0,
    status: str = "completed",
    zone: str = "UTC",
    content: str | None = None,
    tags: tuple[str, ...] = (),
    title: str | None = None,
    tab_switches: int = 0,
    parts: int = 1,
) -> dict[str, Any]:
    """One that was started at `at` and lived without a break, as a document. Its active and
    idle seconds take turns in `parts` parts."""
    at = milliseconds(at)
    body = NewSession(
        content_id=content, tags=list(tags), title=title, time_zone=zone, target_minutes=20
    )
    runs: list[Run] = []
    at_us = 0
    for number in range(parts):
        for kind, seconds in ((Kind.ACTIVE, active), (Kind.IDLE, idle)):
            share = seconds // parts + (seconds % parts if number == 0 else 0)
            if share:
                runs.append(Run(kind, at_us, share * SECOND_US))
                at_us = runs[-1].end_us
    if paused:
        runs.append(Run(Kind.PAUSED, at_us, round(paused * SECOND_US)))
        at_us = runs[-1].end_us
    if runs and tab_switches:
        runs[0] = runs[0]._replace(tab_switches=tab_switches)
    document = past_sessions.past_session(
        user, body, runs, session_id=new_id(at), created_at=at, started_at=at, stamp="past.1"
    )
    if status in ("active", "paused"):
        return document | {"status": status}
    return document | ended_fields(document, status, at + timedelta(microseconds=at_us))


def random_session(chance: random.Random, user: str, at: datetime) -> dict[str, Any]:
    """Any."""
    return past_session(
        user,
        at,
        active=chance.randrange(0, 4000),
        idle=chance.randrange(0, 600),
        paused=chance.choice([0, 0, 61.5]),
        status=chance.choice(["completed"] * 4 + ["abandoned", "cancelled", "active", "paused"]),
        zone=chance.choice(ZONES),
        content=chance.choice([None, "algebra", "history"]),
        tags=tuple(chance.sample(["hard", "exam"], chance.randrange(3))),
        tab_switches=chance.randrange(3),
        parts=chance.randrange(1, 4),
    )
