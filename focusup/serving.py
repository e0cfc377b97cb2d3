"""Run the server: listen, print where it runs, and stop without losing a second.

Invariants:

- On SIGTERM or Ctrl-C no session is joined any more, everything counted is written, every socket is
  closed with 1012, and then Hypercorn and the database stop, all within `STOP_WITHIN_S`.
- A stop before serving ends the process at once: an index under construction is built by the
  database, and a step of a migration may be repeated.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import click
import structlog
from hypercorn.asyncio import serve

from focusup import file_descriptors
from focusup.app import VERSION, create_app
from focusup.asgi.admission import Admission
from focusup.asgi.idle_connections import ConnectionLimits, ServerConfig
from focusup.asgi.versions import check_versions
from focusup.cancellation import Interrupted, unless_set
from focusup.database import NOTHING_KEPT, DatabaseError, OpenedDatabase, open_database
from focusup.file_descriptors import Capacity
from focusup.listening import BACKLOG, bind, listen
from focusup.logs import configure_logs
from focusup.operator_errors import OperatorError
from focusup.own_command import own_command
from focusup.security.signing_key import is_kept, load_secret, secret_file
from focusup.settings import Settings
from focusup.wiring.data import indexes_of, prepare
from models.base.driver_errors import StatementRefused, StorageUnavailable
from models.migrations.schema_version import SchemaTooNew
from routes.api.sockets import PATHS
from routes.http.client_address import TrustedProxies
from routes.http.services import KEY, Services

STOP_WITHIN_S = 5.0
ANSWER_WITHIN_S = 1.5
"""What requests get that are under way when all is written, or come meanwhile."""

log = structlog.get_logger(__name__)


def run(settings: Settings) -> int:
    """Serve until a stop is requested; return the exit status of the process."""
    configure_logs(settings.log_level)
    _tame_garbage_collection()
    try:
        check_versions()
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            all_written = runner.run(_serve(settings))
    except OperatorError as error:
        click.echo(f"focusup: {error}", err=True)
        return 1
    except Interrupted:
        log.info("start_interrupted")
        _leave(0)
    if not all_written:
        _leave(1)
    return 0


def _leave(status: int) -> NoReturn:
    """End the process at once.

    Threads of the driver may wait for a database that does not answer, and the interpreter would
    wait for them.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _tame_garbage_collection() -> None:
    """Look for cycles rarely: each look walks every connection, and stalls the tick.

    Nothing on the hot path makes cycles; what is imported by now lives for good.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the fastest event loop there is; None is the one of asyncio (Windows)."""
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings) -> bool:
    """Serve until a stop is requested; return whether every counted second was written.

    Raises:
        Interrupted: A stop was requested before serving began.
    """
    asyncio.get_running_loop().set_exception_handler(_on_loop_error)
    settings = _within_descriptors(settings)
    stopping = _stop_signal()
    listener = bind(settings.host, settings.port)
    secret_is_new = settings.jwt_secret is None and not is_kept(settings)
    secret = load_secret(settings)
    opening = open_database(
        uri=settings.mongodb_uri, name=settings.mongodb_database, data_dir=settings.data_dir
    )
    database = await unless_set(stopping, opening)
    try:
        await unless_set(stopping, _prepare(database, settings))
        app = create_app(settings, database, secret)
        # Not before: a proxy takes who listens for who answers.
        listen(listener, settings.host, settings.port)
        services: Services = app.extensions[KEY]
        host, port = listener.getsockname()[:2]
        url = f"http://{_readable(host)}:{port}{settings.base_path}"
        _greet(settings, database, url, secret_is_new=secret_is_new)

        all_written = True

        async def until_stopped() -> None:
            nonlocal all_written
            await stopping.wait()
            app.stopping = True
            all_written = await stop(services)

        await serve(app, config(listener, settings), shutdown_trigger=until_stopped)
        await close(services)
        return all_written
    finally:
        await database.close()


async def _prepare(database: OpenedDatabase, settings: Settings) -> None:
    try:
        await prepare(database, indexes_of(settings))
    except (SchemaTooNew, StatementRefused, StorageUnavailable) as error:
        raise DatabaseError(f"the database ({database.where}) can't be used: {error}") from error


async def stop(services: Services) -> bool:
    """Write everything and close every socket; False if some seconds stay unwritten."""
    sessions, views = await asyncio.gather(
        services.sessions.tracking.stop(within_s=STOP_WITHIN_S),
        services.page_views.tracking.stop(within_s=STOP_WITHIN_S),
    )
    for tracked in sessions:
        log.error(
            "seconds_unwritten",
            session=str(tracked.tracked_id),
            active=tracked.active - tracked.stored.active,
            idle=tracked.idle - tracked.stored.idle,
            of_these_in_doubt=tracked.in_doubt,
        )
    for view in views:
        log.error(
            "seconds_unwritten",
            view=str(view.tracked_id),
            engaged=view.active - view.stored.active,
            visible=view.elapsed - view.stored.elapsed,
            of_these_in_doubt=view.in_doubt,
        )
    return not sessions and not views


async def close(services: Services) -> None:
    """End what still works in the background when the last request has been answered."""
    services.access.accounts.close()
    await services.study.periods.close()


def _on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # At the stop, connections whose clients do not answer our close are cut off.
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def _stop_signal() -> asyncio.Event:
    """Set by Ctrl-C, SIGTERM and, on Windows, Ctrl-Break."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(*_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: the second Ctrl-C came at the end
            loop.call_soon_threadsafe(stopping.set)

    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is None:
            continue
        try:
            loop.add_signal_handler(number, stopping.set)
        except NotImplementedError:  # Windows
            signal.signal(number, stop)
    return stopping


def _within_descriptors(settings: Settings) -> Settings:
    """The settings, with no more connections than the system has descriptors for."""
    wanted = Capacity(settings.max_sockets, settings.max_idle_connections)
    limit = file_descriptors.raise_limit(file_descriptors.needed_files(wanted))
    found = file_descriptors.within(limit, wanted)
    if found != wanted:
        log.warning(
            "descriptors_short",
            limit=limit,
            needed=file_descriptors.needed_files(wanted),
            max_sockets=found.max_sockets,
            max_idle_connections=found.max_idle,
        )
    return settings.model_copy(
        update={"max_sockets": found.max_sockets, "max_idle_connections": found.max_idle}
    )


def config(listener: socket.socket, settings: Settings) -> ServerConfig:
    """Return how Hypercorn serves on this listening socket."""
    config = ServerConfig()
    proxies = TrustedProxies(settings.trusted_proxies)
    admission = Admission(proxies.client, handshakes_per_minute=settings.handshakes_per_minute)
    config.limits = ConnectionLimits(
        idle_in_all=settings.max_idle_connections,
        idle_of_one=settings.max_idle_connections_per_address,
        is_proxy=proxies.is_proxy,
        admission=admission if settings.rate_limits else None,
    )
    config.socket_paths = PATHS
    config.keep_alive_timeout = settings.keep_alive_seconds
    # Should it ever serve TLS itself: HTTP/2 is not announced, as it is not spoken.
    config.alpn_protocols = ["http/1.1"]
    config.bind = [f"fd://{listener.detach()}"]
    config.backlog = BACKLOG
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    config.graceful_timeout = ANSWER_WITHIN_S
    return config


def _readable(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _greet(settings: Settings, database: OpenedDatabase, url: str, *, secret_is_new: bool) -> None:
    """Say what runs where, and what to type next."""
    lines = [
        ("FocusUp", f"{VERSION} on {url}"),
        ("Database", database.where),
        ("Open", f"{url}/   (sign up and study; {url}/docs is the API)"),
    ]
    if settings.jwt_secret is None:
        made = "generated into" if secret_is_new else "kept in"
        lines.append(("Secret", f"JWT_SECRET is not set: {made} {secret_file(settings)}"))
    port = "" if url.endswith(":5000") else f" --url {url}"
    lines.append(
        ("Next", f"{own_command()} smoke{port}   (in another terminal; Ctrl-C stops this)")
    )
    for name, text in lines:
        click.echo(f"{name + ':':<10}{text}")
    if database.kind == "memory":
        bar = "#" * (len(NOTHING_KEPT) + 6)
        block = f"{bar}\n#  {NOTHING_KEPT}  #\n{bar}"
        click.secho(block, fg="red", bold=True, err=True)
    with suppress(OSError):
        sys.stdout.flush()
