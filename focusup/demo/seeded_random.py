"""Chance that comes out the same each time. Pure."""

from datetime import datetime
from hashlib import sha256
from random import Random

from bson import ObjectId


def dice(seed: int, *what: object) -> Random:
    """Dice of their own for each thing, so that no thing changes with what else is drawn."""
    return Random("/".join(map(str, (seed, *what))))  # noqa: S311 - nothing secret  # nosec B311


def id_of(at: datetime, *what: object) -> ObjectId:
    """An id of this instant, and the same for the same thing."""
    rest = sha256("/".join(map(str, what)).encode()).digest()[:8]
    return ObjectId(ObjectId.from_datetime(at).binary[:4] + rest)
