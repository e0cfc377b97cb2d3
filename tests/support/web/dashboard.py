"""A server with a past: what the dashboard has to show, as it would have been stored."""

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import MongoClient
from pymongo.collection import Collection

from tests.support.live_server import LiveServer
from tests.support.study import random_session
from tests.support.views import a_view

CONTENTS = ("algebra", "history", "spanish", "chemistry")
PAGES = ("/", "/texts/photosynthesis", "/texts/the-french-revolution", "/quiz", "/me", "/about")
PERSONS = 25
DAY = timedelta(days=1)
Document = dict[str, Any]


def give_past(server: LiveServer, seed: int = 7) -> None:
    """Fill the database of a running server, and start it anew: it counts what is over once,
    so it has to forget what it counted before."""
    chance, now = random.Random(seed), datetime.now(UTC)
    with MongoClient[Document](server.mongodb_uri, tz_aware=True) as client:
        db = client[server.database]
        _let_it_count(db["running_counts"])
        for name, documents in _past(chance, now).items():
            db[name].insert_many(documents)
        for name in ("running_counts", "page_rollups"):
            db[name].drop()
    server.stop()
    server.start()


def _let_it_count(counts: Collection[Document]) -> None:
    """What it counts at its start is stored by then, and none of it comes after our changes."""
    deadline_s, before = time.monotonic() + 10, -1
    while time.monotonic() < deadline_s and not (before == counts.count_documents({}) > 0):
        before = counts.count_documents({})
        time.sleep(0.5)


def _past(chance: random.Random, now: datetime) -> dict[str, list[Document]]:
    persons = [f"person-{number:02}" for number in range(PERSONS)]

    def ago(days: float) -> datetime:
        return now - timedelta(minutes=1) - chance.uniform(0, days) * DAY

    sessions = [
        random_session(chance, chance.choice(persons), ago(6) - timedelta(hours=2))
        | {"contentId": chance.choice([None, *CONTENTS])}
        for _ in range(80)
    ]
    return {
        "known_users": [
            {"_id": id_, "first_seen_at": now - (number + 1) * DAY}
            for number, id_ in enumerate(persons)
        ],
        "sessions": sessions,
        "activity_events": [_event(chance, ago(days)) for days in (6, 170) for _ in range(250)],
        "visitor_sessions": [_visit(number, ago(20)) for number in range(60)],
        "user_presence": [
            {"_id": id_, "last_seen_at": now + number * timedelta(seconds=1)}
            for number, id_ in enumerate(persons[:6])
        ],
        "page_views": [_view(chance, ago(days)) for days in (0.5, 6, 80) for _ in range(150)],
    }


def _event(chance: random.Random, at: datetime) -> Document:
    (type_,) = chance.choices(("login", "signup", "app_open", "action"), (5, 1, 6, 9))
    return {"event_type": type_, "action_name": None, "user_id": None, "created_at": at}


def _visit(number: int, at: datetime) -> Document:
    hashes = {"ip_hash": "a" * 32, "ua_hash": "b" * 32}
    seen = {"first_seen_at": at, "last_seen_at": at, "day_seen_at": at}
    return {"_id": f"visit-{number}", **seen, **hashes}


def _view(chance: random.Random, at: datetime) -> Document:
    visible = chance.choice([0, *(chance.randrange(5, 900) for _ in range(7))])
    engaged = chance.randrange(visible + 1)
    visitor = f"{chance.randrange(40):032x}"
    page = chance.choice(PAGES)
    return a_view(at, page=page, visitor=visitor, visible=visible, engaged=engaged) | {
        "_id": ObjectId()
    }
