"""What one `activity` message costs the server: `python -m benchmarks activity`.

`--clients` sockets track a session each. First they say nothing for `--seconds`, then each
says `activity` `--hertz` times a second, as a raw mousemove does. The difference in the
server's CPU time, divided by the messages, is the cost of one. The same is measured on the
published design (`benchmarks/naive_server.py`), which takes them through Hypercorn and Quart.
"""

import argparse
import asyncio
import json
import time
from datetime import UTC, datetime

from motor.motor_asyncio import AsyncIOMotorClient

from benchmarks.load import ACTIVITY, Client, connect_all
from benchmarks.servers import SECRET, Which, raise_descriptor_limit, running
from benchmarks.sessions import insert
from models.tokens.access_tokens import TokenAuthority


async def measure(which: Which, count: int, hertz: float, seconds: float) -> float:
    """Microseconds of server CPU per message."""
    with running(which) as server:
        mongo: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(server.mongodb_uri)
        ids = await insert(mongo["focusup"]["sessions"], count)
        mongo.close()
        token, _ = TokenAuthority(SECRET, 86_000).issue("bench", now=datetime.now(UTC))
        start = {"type": "start", "updates": "none"}
        clients = [
            Client(
                f"/ws/sessions?token={token}",
                json.dumps({**start, "sessionId": str(id_)}).encode(),
            )
            for id_ in ids
        ]
        await connect_all(server.port, clients, over_s=1)
        await asyncio.sleep(2)
        before = server.measure()
        await asyncio.sleep(seconds)
        quiet = server.measure()
        sent = await move(clients, hertz, seconds)
        busy = server.measure()
        for client in clients:
            client.close()
    idle_cpu = (quiet.server_cpu_s - before.server_cpu_s) / (quiet.at_s - before.at_s)
    busy_cpu_s = busy.server_cpu_s - quiet.server_cpu_s
    return (busy_cpu_s - idle_cpu * (busy.at_s - quiet.at_s)) / sent * 1e6


async def move(clients: list[Client], hertz: float, seconds: float) -> int:
    """Each client sends so often, spread evenly; how many were sent in all."""
    began_s, sent = time.monotonic(), 0
    per_second = len(clients) * hertz
    while (passed_s := time.monotonic() - began_s) < seconds:
        due = int(passed_s * per_second)
        for number in range(sent, due):
            clients[number % len(clients)].send(ACTIVITY)
        sent = max(sent, due)
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.5)
    return sent


def main(options: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks activity", description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--hertz", type=float, default=60)
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args(options)
    raise_descriptor_limit()
    cost = {}
    servers: tuple[Which, ...] = ("naive", "ours")
    for which in servers:
        run = measure(which, given.clients, given.hertz, given.seconds)
        cost[which] = asyncio.run(run)
        print(f"{which:<6} {cost[which]:.1f} µs of server CPU per activity message", flush=True)
    print(f"naive / ours: {cost['naive'] / cost['ours']:.1f}")
