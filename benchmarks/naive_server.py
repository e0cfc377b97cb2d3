"""The published design, done competently: a task and an `update_one` a second per socket.

The same framework, event loop, driver, database and durability as ours; what differs is
the design: each socket has a loop of its own, and each second of each session is a write
of its own. Nothing is fenced, nothing is carried over.
"""

import asyncio
import contextlib
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import uvloop
from bson import ObjectId
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, request, websocket

from focusup.database import open_database

IDLE_AFTER_S = 15.0


class State:
    """What one socket tracks."""

    def __init__(self) -> None:
        self.session_id: ObjectId | None = None
        self.last_active_s = time.monotonic()
        self.tick: asyncio.Task[None] | None = None


def create_app(db: Any, secret: str) -> Quart:
    app = Quart("naive")
    sessions = db["sessions"]

    async def tick(state: State) -> None:
        loop = asyncio.get_running_loop()
        next_s = loop.time() + 1
        while True:
            await asyncio.sleep(max(0, next_s - loop.time()))
            next_s += 1
            idle = time.monotonic() - state.last_active_s > IDLE_AFTER_S
            counted = {
                "elapsedSeconds": 1,
                "activeSeconds": 0 if idle else 1,
                "idleSeconds": 1 if idle else 0,
            }
            await sessions.update_one({"_id": state.session_id}, {"$inc": counted})

    @app.get("/api/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/api/sessions")
    async def create() -> tuple[dict[str, Any], int]:
        body = await request.get_json(force=True)
        user = jwt.decode(request.headers["Authorization"][7:], secret, ["HS256"])["sub"]
        counters = dict.fromkeys(("elapsedSeconds", "activeSeconds", "idleSeconds"), 0)
        document = {"userId": user, **body, **counters, "tabSwitches": 0, "status": "active"}
        await sessions.insert_one(document)
        return {"session": {**document, "_id": str(document["_id"])}}, 201

    @app.post("/api/track-visit")
    async def track_visit() -> dict[str, int]:
        body = await request.get_json(force=True)
        seen = {"$set": {"last_seen_at": (now := datetime.now(UTC))}}
        first = {"$setOnInsert": {"first_seen_at": now, "ip_hash": "0" * 32, "ua_hash": "0" * 32}}
        await db["visitor_sessions"].update_one(
            {"_id": body["sessionId"]}, seen | first, upsert=True
        )
        return {"nextInSeconds": 300}

    @app.post("/api/heartbeat")
    async def heartbeat() -> dict[str, int]:
        user = jwt.decode(request.headers["Authorization"][7:], secret, ["HS256"])["sub"]
        seen = {"$set": {"last_seen_at": datetime.now(UTC)}}
        await db["user_presence"].update_one({"_id": user}, seen, upsert=True)
        return {"nextInSeconds": 60}

    @app.websocket("/ws/sessions")
    async def track() -> None:
        jwt.decode(websocket.args["token"], secret, ["HS256"])
        state = State()
        try:
            while True:
                message = await websocket.receive_json()
                match message["type"]:
                    case "start":
                        state.session_id = ObjectId(message["sessionId"])
                        state.last_active_s = time.monotonic()
                        state.tick = asyncio.create_task(tick(state))
                        await websocket.send_json({"type": "started"})
                    case "activity":
                        state.last_active_s = time.monotonic()
                    case "tabSwitch":
                        switched = {"$inc": {"tabSwitches": 1}}
                        await sessions.update_one({"_id": state.session_id}, switched)
                    case "stop":
                        ended = {"status": "completed", "endedAt": datetime.now(UTC)}
                        await sessions.update_one({"_id": state.session_id}, {"$set": ended})
        finally:
            if state.tick is not None:
                state.tick.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await state.tick

    return app


async def _serve() -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    database = await open_database(uri=None, name="focusup", data_dir=Path(os.environ["DATA_DIR"]))
    app = create_app(database.db, os.environ["JWT_SECRET"])
    config = Config()
    config.bind = [f"127.0.0.1:{os.environ['PORT']}"]
    config.backlog = 2048
    config.graceful_timeout = 1
    config.errorlog = None
    try:
        await serve(app, config, shutdown_trigger=stopping.wait)
    finally:
        await database.close()


def run() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
