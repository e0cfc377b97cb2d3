"""Build documents of past sessions from their runs, for demonstrations and benchmarks. Pure.

Invariants:

- The server could have written such a document: its counters are those of its runs, and it has no
  owner.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from bson import ObjectId

from models.base.database import Document
from models.base.schema_types import milliseconds
from models.sessions.session import NewSession, new_document
from scoring.timeline import Kind, Run, counts_of, pack, paused_us_of


def past_session(
    user_id: str,
    body: NewSession,
    runs: Sequence[Run],
    *,
    session_id: ObjectId,
    created_at: datetime,
    started_at: datetime,
    stamp: str,
) -> Document:
    """Return a session that started at `started_at`, has these runs, and has not ended.

    `session_id` is of the instant of `created_at`, as `queries.new_id` makes it.
    """
    started_at = milliseconds(started_at)
    document = new_document(user_id, body, stamp=stamp, now=milliseconds(created_at))
    counts = counts_of(runs)
    left_us = [run.end_us for run, after in pairwise(runs) if after.start_us > run.end_us]

    def at(us: Sequence[int]) -> datetime | None:
        return milliseconds(started_at + timedelta(microseconds=us[-1])) if us else None

    return document | {
        "_id": session_id,
        "startedAt": started_at,
        "elapsedSeconds": counts.elapsed,
        "activeSeconds": counts.active,
        "idleSeconds": counts.idle,
        "tabSwitches": counts.tab_switches,
        "timeline": pack(runs),
        "pausedMs": paused_us_of(runs) / 1000,
        "lastActiveAt": at([run.end_us for run in runs if run.kind == Kind.ACTIVE]),
        "lastBookedAt": at([run.end_us for run in runs if run.kind != Kind.PAUSED]),
        "leftAt": at(left_us),
    }
