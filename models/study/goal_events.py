"""Store which goals were reached when, so that each is sent once: collection `goals_reached`."""

from datetime import date, datetime

from models.base.database import Database, DuplicateKeyError
from models.base.indexes import IndexSpec

COLLECTION = "goals_reached"
KEPT_S = 30 * 86_400
INDEXES = (
    IndexSpec(
        keys=(("reachedAt", 1),),
        query="none: it is forgotten when nobody could be told of it again",
        expire_after_s=KEPT_S,
    ),
    IndexSpec(keys=(("userId", 1),), query="leaving: those of one user"),
)


async def note_reached(
    db: Database,
    user_id: str,
    goal: str,
    *,
    day: date,
    value: int,
    now: datetime,
) -> bool:
    """Store that a goal was reached; return whether it was not stored before.

    `day` is the date, or the Monday of the week.
    """
    document = {"_id": f"{day} {goal} {value} {user_id}", "userId": user_id, "reachedAt": now}
    try:
        await db[COLLECTION].insert_one(document)
    except DuplicateKeyError:
        return False
    return True
