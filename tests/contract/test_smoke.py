import asyncio, time
from tests.support.app_server import AppServer
from tests.support.socket_client import connected, new_session, stored

async def test_forty_seconds(app_server: AppServer) -> None:
    t0=time.monotonic()
    session = await asyncio.to_thread(new_session, app_server)
    async with connected(app_server) as client:
        await client.start(session)
        await asyncio.to_thread(app_server.advance, 40)
        print(time.monotonic()-t0)
        stopped = await client.ask("stop", "stopped")
    s = stopped["session"]
    assert (s["activeSeconds"], s["idleSeconds"]) == (15, 25), s
