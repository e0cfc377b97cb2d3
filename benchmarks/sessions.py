"""How many sessions one server holds, ours beside the published design.

N sockets track a session each for `--seconds`, saying `activity` every 5 s; they offer
compression, as browsers do (Hypercorn grants it to the published design, ours refuses it,
and that is most of the difference in memory). The published design sends no ticks; what
ours sends is set by `--updates`. What fell due
is known from the clients' own clock (from `started` to the moment the socket is closed);
what was booked is read from the database five seconds after that. Meanwhile the stored
documents are sampled: a session is *behind* by the age of its oldest second that fell due
and is not stored. A server *holds* N sessions if it books at least 99.5 % of the due
seconds with p99 behind at most 2 s.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient

from benchmarks.load import Client, connect_all, stay_active
from benchmarks.servers import SECRET, Which, raise_descriptor_limit, running
from models.sessions.session import NewSession, ended_fields, new_document
from models.tokens.access_tokens import TokenAuthority

ACTIVITY_EVERY_S = 5.0
WARM_UP_S = 3.0
SAMPLE_EVERY_S = 0.37  # no divisor of a second, so that every phase is met
SAMPLED = 200
SETTLE_S = 5.0
TICKS_FROM = 1000
"""Clients whose ticks are timed, so that the load stays cheap."""
HELD_BOOKED, HELD_BEHIND_S = 0.995, 2.0
JOINS_PER_S = 400
STEPS: dict[Which, tuple[int, ...]] = {
    "naive": (250, 500, 750, 1000, 1500),
    "ours": (2500, 5000, 7500, 10_000, 12_500, 15_000, 17_500, 19_500),
}


@dataclass
class Result:
    server: Which
    sessions: int
    seconds_due: int
    seconds_booked: int
    behind_p50_s: float
    behind_p99_s: float
    behind_max_s: float
    server_cpu_us_per_session_second: float
    database_cpu_us_per_session_second: float
    memory_kb_per_connection: float
    statements_per_second: float
    connections_lost: int
    tick_delay_p50_ms: float | None = None
    tick_delay_p99_ms: float | None = None

    @property
    def booked(self) -> float:
        return self.seconds_booked / self.seconds_due

    @property
    def held(self) -> bool:
        return self.booked >= HELD_BOOKED and self.behind_p99_s <= HELD_BEHIND_S


async def measure(
    which: Which, count: int, seconds: float, updates: str, *, old: int = 0
) -> Result:
    """One server under this load, with so many ended sessions in its database."""
    with running(which) as server:
        mongo: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(server.mongodb_uri)
        sessions = mongo["focusup"]["sessions"]
        await insert(sessions, old, ended=True)
        ids = await insert(sessions, count)
        token, _ = TokenAuthority(SECRET, 86_000).issue("bench", now=datetime.now(UTC))
        clients = [
            Client(
                f"/ws/sessions?token={token}",
                json.dumps({"type": "start", "sessionId": str(id_), "updates": updates}).encode(),
            )
            for id_ in ids
        ]
        rss_before = server.rss_bytes()
        await connect_all(server.port, clients, over_s=count / JOINS_PER_S)
        await stay_active(clients, every_s=ACTIVITY_EVERY_S, for_s=WARM_UP_S)
        rss = server.rss_bytes() - rss_before
        delays_s: list[float] = []
        if updates == "tick" and which == "ours":
            for client in clients[:: max(1, count // TICKS_FROM)]:
                client.tick_delays_s = delays_s
        before = server.measure()
        sampling = asyncio.create_task(_sample(sessions, dict(zip(ids, clients, strict=True))))
        await stay_active(clients, every_s=ACTIVITY_EVERY_S, for_s=seconds)
        sampling.cancel()
        after = server.measure()
        behind = sorted(await sampling)
        lost = sum(client.lost_s is not None for client in clients)
        closed_s = time.monotonic()
        for client in clients:
            client.close()
        await asyncio.sleep(SETTLE_S)
        stored: dict[ObjectId, int] = {}
        for at in range(0, count, 1000):
            stored |= await _read(sessions, {"_id": {"$in": ids[at : at + 1000]}})
        mongo.close()
    lived = {id_: closed_s - c.started_s for id_, c in zip(ids, clients, strict=True)}
    wall_s = after.at_s - before.at_s
    return Result(
        server=which,
        sessions=count,
        seconds_due=sum(int(age_s) for age_s in lived.values()),
        seconds_booked=sum(min(stored[id_], int(age_s)) for id_, age_s in lived.items()),
        behind_p50_s=statistics.median(behind),
        behind_p99_s=behind[int(len(behind) * 0.99)],
        behind_max_s=behind[-1],
        server_cpu_us_per_session_second=_us(
            after.server_cpu_s - before.server_cpu_s, wall_s, count
        ),
        database_cpu_us_per_session_second=_us(
            after.database_cpu_s - before.database_cpu_s, wall_s, count
        ),
        memory_kb_per_connection=rss / 1024 / count,
        statements_per_second=(after.statements - before.statements) / wall_s,
        connections_lost=lost,
        tick_delay_p50_ms=_percentile_ms(delays_s, 0.5),
        tick_delay_p99_ms=_percentile_ms(delays_s, 0.99),
    )


def _percentile_ms(delays_s: list[float], part: float) -> float | None:
    return sorted(delays_s)[int(len(delays_s) * part)] * 1000 if delays_s else None


def _us(cpu_s: float, wall_s: float, count: int) -> float:
    return cpu_s / wall_s / count * 1e6


async def insert(sessions: Any, count: int, *, ended: bool = False) -> list[ObjectId]:
    now = datetime.now(UTC)
    ids = [ObjectId() for _ in range(count)]
    for at in range(0, count, 1000):
        documents: list[dict[str, Any]] = [
            {"_id": id_, **new_document("bench", NewSession(), stamp=f"bench.{id_}", now=now)}
            for id_ in ids[at : at + 1000]
        ]
        if ended:
            documents = [each | ended_fields(each, "completed", now) for each in documents]
        await sessions.insert_many(documents)
    return ids


async def _read(sessions: Any, wanted: dict[str, Any]) -> dict[ObjectId, int]:
    found = await sessions.find(wanted, {"elapsedSeconds": 1}).to_list(None)
    return {document["_id"]: document["elapsedSeconds"] for document in found}


async def _sample(sessions: Any, clients: dict[ObjectId, Client]) -> list[float]:
    """How far behind the stored documents are, some at a time, again and again until
    cancelled. The clock is read after the documents, so it is never understated."""
    samples: list[float] = []
    ids = list(clients)
    try:
        while True:
            some = random.sample(ids, min(SAMPLED, len(ids)))
            stored = await _read(sessions, {"_id": {"$in": some}})
            now_s = time.monotonic()
            samples += [
                max(0.0, now_s - clients[id_].started_s - (elapsed + 1))
                for id_, elapsed in stored.items()
            ]
            await asyncio.sleep(SAMPLE_EVERY_S)
    except asyncio.CancelledError:
        return samples


def show(result: Result) -> None:
    ticks = ""
    if result.tick_delay_p99_ms is not None:
        ticks = f"; ticks p50 {result.tick_delay_p50_ms:.0f} p99 {result.tick_delay_p99_ms:.0f} ms"
    print(
        f"{result.server:<6} {result.sessions:>6} sessions: "
        f"{result.seconds_booked}/{result.seconds_due} seconds booked ({result.booked:.2%}), "
        f"behind p50 {result.behind_p50_s:.2f} p99 {result.behind_p99_s:.2f} "
        f"max {result.behind_max_s:.2f} s; per session-second "
        f"{result.server_cpu_us_per_session_second:.0f} µs server, "
        f"{result.database_cpu_us_per_session_second:.0f} µs database CPU; "
        f"{result.memory_kb_per_connection:.0f} KB/connection; "
        f"{result.statements_per_second:.0f} statements/s; lost {result.connections_lost}"
        f"{ticks} -> {'held' if result.held else 'NOT held'}",
        flush=True,
    )


def show_ratios(ours: Result, naive: Result) -> None:
    """What was held, and what a session-second costs, against each other."""
    print(f"\nsessions held, ours / naive: {ours.sessions / naive.sessions:.1f}")
    for name in (
        "server_cpu_us_per_session_second",
        "database_cpu_us_per_session_second",
        "memory_kb_per_connection",
    ):
        print(f"{name}, naive / ours: {getattr(naive, name) / getattr(ours, name):.1f}")
    each = [result.statements_per_second / result.sessions for result in (naive, ours)]
    print(f"statements per session-second, naive / ours: {each[0] / each[1]:.0f}")


def _ceiling(which: Which, seconds: float, updates: str, old: int) -> list[Result]:
    """Raise the load until it is not held any more; the last result is the failure."""
    results: list[Result] = []
    for count in STEPS[which]:
        try:
            results.append(asyncio.run(measure(which, count, seconds, updates, old=old)))
        except TimeoutError:
            print(f"{which:<6} {count:>6} sessions: not all could start -> NOT held", flush=True)
            break
        show(results[-1])
        if not results[-1].held:
            break
    return results


def main(options: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks sessions", description=__doc__)
    parser.add_argument("--sessions", type=int, default=5000, help="for ours (default 5000)")
    parser.add_argument(
        "--naive", type=int, default=500, help="for the other (default 500; 0: not)"
    )
    parser.add_argument("--old", type=int, default=0, help="ended sessions stored before")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--updates", choices=["tick", "change", "none"], default="change")
    parser.add_argument("--find-ceiling", action="store_true", help="raise both until they fail")
    parser.add_argument("--quick", action="store_true", help="1000 and 200 sessions for 10 s")
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")
    given = parser.parse_args(options)
    descriptors = raise_descriptor_limit()
    if given.quick:
        given.sessions, given.naive, given.seconds = 1000, 200, 10
    if given.sessions > descriptors - 200:
        sys.exit(f"only {descriptors} open files are allowed here: raise ulimit -n")
    if given.find_ceiling:
        naive = _ceiling("naive", given.seconds, given.updates, 0)
        ours = _ceiling("ours", given.seconds, given.updates, given.old)
    else:
        naive = []
        if given.naive:
            naive = [asyncio.run(measure("naive", given.naive, given.seconds, given.updates))]
            show(naive[0])
        ours = [
            asyncio.run(
                measure("ours", given.sessions, given.seconds, given.updates, old=given.old)
            )
        ]
        show(ours[0])
    held = [[result for result in results if result.held] for results in (ours, naive)]
    if all(held):
        show_ratios(held[0][-1], held[1][-1])
    if given.json:
        with open(given.json, "w") as file:  # noqa: PTH123
            json.dump([asdict(result) for result in naive + ours], file, indent=1)
