"""Many cheap clients on one server, each with the oracle of its session.

What must hold: a client knows when it sent what and when it was answered, and costs so
little that two thousand of them measure the server and not themselves.
"""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pymongo
from bson import ObjectId

from benchmarks.load import ACTIVITY, PING, PONG, Client, connect_all, frame, stay_active
from benchmarks.servers import raise_descriptor_limit
from models.sessions.session import NewSession, new_document
from tests.support.database_server import Database, uri
from tests.support.live_server import LiveServer, running_server
from tests.support.oracle import Oracle, Verdict, judge, now_s, worst

DATABASE = "focusup_faults"
SETTINGS = {"MONGODB_DATABASE": DATABASE, "MAX_SOCKETS_PER_USER": "5000"}
USER = "fleet"
TEXT, CLOSE = 1, 8
POLL_S = 0.05
JOINS_PER_S = 400
WARM_UP_S = 1.0
JOINED_WITHIN_S = 40.0
"""Time for all to start on a busy machine; how fast that is, other tests measure."""
BEHIND_S, SAMPLE_EVERY_S, SAMPLES = 0.6, 0.3, 4

Document = Mapping[str, Any]


class Member(Client):
    """One socket that tracks one session."""

    def __init__(self, token: str, session: ObjectId, oracle: Oracle, updates: str) -> None:
        start = {"type": "start", "sessionId": str(session), "updates": updates}
        super().__init__(f"/ws/sessions?token={token}", json.dumps(start).encode())
        self.session = session
        self.oracle = oracle
        self.updates = updates
        self.resumed = False
        self.heard: Counter[str] = Counter()
        self.ticks: list[int] = []
        """Their `elapsedSeconds`."""
        self.late_s: list[float] = []
        """How late each of them came, at most."""
        self.told: list[tuple[str, float]] = []
        """Each `degraded` and `recovered`, and when it came."""
        self.recovered = asyncio.Event()
        self.gone = asyncio.Event()
        self.close_code: int | None = None
        self.sent_s = 0.0
        """When it said `start`."""

    def send(self, data: bytes) -> None:
        if self.lost_s is not None:
            return
        if not self.sent_s:  # the first of all is `start`
            self.sent_s = now_s()
        if data is ACTIVITY:
            self.oracle.sign(now_s())
        super().send(data)

    @property
    def upgraded(self) -> bool:
        """Whether the server has accepted the socket."""
        return bool(self.sent_s)

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except RuntimeError:  # no socket, but an answer of HTTP
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.gone.set()

    def leave(self) -> None:
        """Be cut off."""
        self.oracle.holds(now_s())
        self.close()

    @property
    def heard_every_second(self) -> bool:
        """Whether each of its seconds was told, once it has left."""
        return self.ticks == list(range(1, round(self.oracle.bounds().elapsed.low) + 1))

    def _take_frames(self) -> None:
        at, buffer = 0, self._buffer
        while len(buffer) - at >= 2:
            size, head = buffer[at + 1], 2
            if size == 126:
                if len(buffer) - at < 4:
                    break
                size, head = int.from_bytes(buffer[at + 2 : at + 4], "big"), 4
            if len(buffer) - at < head + size:
                break
            self._take(buffer[at], buffer[at + head : at + head + size])
            at += head + size
        self._buffer = buffer[at:]

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == PING:
            self.send(frame(b"", PONG))
        elif kind & 0x0F == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
            self.send(frame(payload, 0x80 | CLOSE))
        elif kind & 0x0F == TEXT:
            self._hear(json.loads(payload))

    def _hear(self, message: dict[str, Any]) -> None:
        self.heard[message["type"]] += 1
        if message["type"] == "tick":
            self.ticks.append(message["elapsedSeconds"])
            if self.oracle.counts:
                self.late_s.append(self.oracle.late_s(self.ticks[-1], now_s()))
        elif message["type"] == "started":
            self.started_s = now_s()
            self.resumed = message["resumed"]
            self.oracle.runs(self.sent_s, self.started_s, message["nextSecondInMs"])
            self.started.set()
        elif message["type"] in ("degraded", "recovered"):
            self.told.append((message["type"], now_s()))
            if message["type"] == "recovered":
                self.recovered.set()


class Reachable(Protocol):
    """A database of any make."""

    @property
    def uri(self) -> str: ...


class Fleet:
    """Sessions straight in the database, and a member for each on the server."""

    def __init__(
        self,
        server: LiveServer,
        database: Reachable,
        count: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        raise_descriptor_limit()
        self.server = server
        self.port = int(server.url.rpartition(":")[2])
        self.tls = tls
        self.oracles = {ObjectId(): Oracle() for _ in range(count)}
        self.members: list[Member] = []
        # Everything is asked on the database itself: a proxy is not in our way.
        self._mongo: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            database.uri, serverSelectionTimeoutMS=20_000
        )
        self.sessions = self._mongo[DATABASE]["sessions"]

    def insert(self) -> None:
        now = datetime.now(UTC)
        self.sessions.insert_many(
            {"_id": id_, **new_document(USER, NewSession(), stamp=f"fleet.{id_}", now=now)}
            for id_ in self.oracles
        )

    def end(self) -> None:
        for member in self.members:
            member.close()
        self._mongo.close()

    # --- clients ------------------------------------------------------------------------

    def enlist(self, *, ticking: int = 0) -> None:
        """A new member for each session; the first so many hear every second."""
        token = self.server.token(USER)
        self.members = [
            Member(token, id_, oracle, "tick" if number < ticking else "change")
            for number, (id_, oracle) in enumerate(self.oracles.items())
        ]

    async def join(self, *, ticking: int = 0, over_s: float | None = None) -> None:
        """All connect, and start their sessions (again)."""
        self.enlist(ticking=ticking)
        await self.connect(self.members, over_s=over_s)

    async def connect(self, members: list[Member], *, over_s: float | None = None) -> None:
        """These connect, and start their sessions."""
        over_s = len(members) / JOINS_PER_S if over_s is None else over_s
        await connect_all(self.port, members, over_s=over_s, within_s=JOINED_WITHIN_S, tls=self.tls)

    async def try_to_join(self, *, over_s: float) -> None:
        """All connect; until each has been started and lost, or turned away."""
        self.enlist()
        for member in self.members:
            try:
                await asyncio.get_running_loop().create_connection(
                    lambda member=member: member,  # type: ignore[misc]
                    "127.0.0.1",
                    self.port,
                )
            except OSError:
                member.gone.set()
            await asyncio.sleep(over_s / len(self.members))
        await asyncio.gather(*(member.gone.wait() for member in self.members))

    async def leave(self, members: Iterable[Member] | None = None) -> None:
        """Each is cut off in the middle of a second of its own, so that what it must have
        counted is beyond doubt."""
        began_s, loop = now_s(), asyncio.get_running_loop()
        staying = set(self.members if members is None else members)
        gone = loop.create_future()

        def leave(member: Member) -> None:
            member.leave()
            staying.discard(member)
            if not staying:
                gone.set_result(None)

        for member in list(staying):
            loop.call_later(member.oracle.in_mid_second_s(began_s) - began_s, leave, member)
        await gone

    # --- database -------------------------------------------------------------------------

    async def documents(self) -> dict[ObjectId, Document]:
        fields = dict.fromkeys(
            ("elapsedSeconds", "activeSeconds", "idleSeconds", "carryMs", "owner", "status"), 1
        )
        found = await asyncio.to_thread(
            lambda: list(self.sessions.find({"_id": {"$in": list(self.oracles)}}, fields))
        )
        return {document["_id"]: document for document in found}

    async def until(
        self, holds: Callable[[dict[ObjectId, Document]], bool], *, within_s: float
    ) -> float:
        """Until this holds of what is stored; how long that took."""
        began_s = now_s()
        documents = await self.documents()
        while not holds(documents):
            assert now_s() - began_s < within_s, f"not within {within_s} s: {documents}"[:2000]
            await asyncio.sleep(POLL_S)
            documents = await self.documents()
        return now_s() - began_s

    async def caught_up(self, *, within_s: float) -> float:
        """Until all that is due now is stored."""
        began_s = now_s()
        due = {id_: oracle.due(began_s) for id_, oracle in self.oracles.items()}
        return await self.until(
            lambda stored: all(stored[id_]["elapsedSeconds"] >= due[id_] for id_ in due),
            within_s=within_s,
        )

    async def let_go(self, *, within_s: float = 10.0) -> float:
        """Until no session is tracked any more, so that everything has been written."""
        return await self.until(
            lambda stored: all(document["owner"] is None for document in stored.values()),
            within_s=within_s,
        )

    async def audit(self) -> Verdict:
        """What is lost or doubled while users go on.

        To be asked before they leave: leaving writes totals, which hides what increments
        have done wrong. Each session is met when its latest second has had time to be
        written and the next one has not fallen due.
        """
        samples = []
        for _ in range(SAMPLES):
            from_s = now_s() - BEHIND_S
            documents = await self.documents()
            samples.append((from_s, documents, now_s()))
            await asyncio.sleep(SAMPLE_EVERY_S)
        return worst(
            [
                judge(
                    (oracle.as_if_held(from_s, until_s), documents[id_])
                    for id_, oracle in self.oracles.items()
                )
                for from_s, documents, until_s in samples
            ]
        )

    async def verdict(self) -> Verdict:
        """Once all have left, and have been let go."""
        documents = await self.documents()
        return judge((oracle, documents[id_]) for id_, oracle in self.oracles.items())


@asynccontextmanager
async def fleet(
    server: LiveServer, database: Reachable, count: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Fleet]:
    """So many sessions, stored and not yet tracked."""
    crew = Fleet(server, database, count, tls)
    try:
        await asyncio.to_thread(crew.insert)
        yield crew
    finally:
        crew.end()


@asynccontextmanager
async def load(
    directory: Path,
    database: Database,
    count: int,
    *,
    port: int | None = None,
    ticking: int = 0,
    over_s: float | None = None,
) -> AsyncIterator[Fleet]:
    """A server with so many sockets, which reaches the database at this port."""
    where = uri(port or database.port)
    with running_server(directory, MONGODB_URI=where, **SETTINGS) as server:
        async with fleet(server, database, count) as crew:
            await crew.join(ticking=ticking, over_s=over_s)
            await stay_active(crew.members, every_s=1, for_s=WARM_UP_S)
            yield crew


def logged(server: LiveServer, event: str) -> list[dict[str, Any]]:
    """The lines of the log with this event."""
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def percentile(values: Iterable[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
