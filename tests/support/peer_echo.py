"""An application that sends every message back, on the product's own sockets: what suites of
WebSocket cases need. `python -m tests.support.peer_echo` says on which port it listens.
"""

import asyncio
import socket
from contextlib import suppress

from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, websocket

from focusup.asgi import hypercorn_hooks
from realtime.engine.metrics import SocketMetrics
from realtime.sockets.transport import SocketTransport


class Echo:
    """A listener that says what it hears."""

    def __init__(self, wire: SocketTransport) -> None:
        self._wire = wire

    def received(self, text: str) -> None:
        self._wire.push(text)

    def gone(self) -> None:
        """Nothing was kept for the peer."""


def application() -> Quart:
    app = Quart("echo")

    @app.websocket("/")
    async def echo() -> None:
        await websocket.accept()
        wire = SocketTransport("echo", SocketMetrics())
        hypercorn_hooks.take_over(wire)
        wire.listen(Echo(wire))

    return app


async def main() -> None:
    hypercorn_hooks.install()
    listener = socket.create_server(("127.0.0.1", 0))
    config = Config()
    print(listener.getsockname()[1], flush=True)
    config.bind = [f"fd://{listener.detach()}"]
    await serve(application(), config, shutdown_trigger=asyncio.Event().wait)


def run() -> None:
    factory = None
    with suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


if __name__ == "__main__":
    run()
