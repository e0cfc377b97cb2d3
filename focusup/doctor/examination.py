"""Run all checks, in an order in which causes come before effects."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from focusup.configuration import WrongSettingsError, read_settings
from focusup.doctor import address, configuration, database_check, installation, machine, storage
from focusup.doctor.findings import Finding, failed
from focusup.settings import Settings

Check = Callable[[], Finding | Iterable[Finding]]


def examine(**options: Any) -> Iterator[Finding]:
    """Each finding as it is made. `options` win over the environment, as they do at a start.

    Where settings are wrong, what depends on them is not looked at.
    """
    yield from _made("python", installation.python)
    yield from _made("packages", installation.packages)
    yield from _made("environment", installation.environment)
    yield from _made("event loop", installation.event_loop)
    yield from _made("time zones", installation.time_zones)
    yield from _made("monotonic clock", machine.monotonic_clock)
    yield from _made(
        "wall clock", lambda: machine.wall_clock(synchronised=machine.is_synchronised())
    )
    yield from _made("settings", configuration.misspelt)
    try:
        settings = read_settings(**options)
    except WrongSettingsError as wrong:
        for line in wrong.lines:
            yield failed("settings", line, "correct it, then ask again: more is looked at then")
        return
    yield from _made("settings", lambda: configuration.sources(options))
    yield from _with_settings(settings)


def _with_settings(settings: Settings) -> Iterator[Finding]:
    yield from _made("secret", lambda: configuration.secret(settings))
    yield from _made("other issuer", lambda: configuration.other_issuer(settings))
    yield from _made("origins", lambda: configuration.origins(settings))
    yield from _made("proxies", lambda: configuration.proxies(settings))
    yield from _made(
        "open files",
        lambda: machine.open_files(settings.max_sockets, settings.max_idle_connections),
    )
    yield from _made("port", lambda: address.address(settings.host, settings.port))
    if settings.mongodb_uri is None or settings.jwt_secret is None:
        yield from _made("data directory", lambda: storage.data_directory(settings.data_dir))
    if settings.mongodb_uri is None:
        yield from _made("disk", lambda: storage.room(settings.data_dir))
        yield from _made("database program", lambda: storage.database_program(settings.data_dir))
    yield from _made("database", lambda: asyncio.run(database_check.database(settings)))


def _made(name: str, check: Check) -> Iterator[Finding]:
    try:
        found = check()
        yield from [found] if isinstance(found, Finding) else list(found)
    except OSError as error:
        reason = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        yield failed(name, f"can't be checked ({reason})", "let this user read it")
    except Exception as error:  # the other checks are made all the same
        yield failed(name, f"can't be checked ({type(error).__name__})", "report this")
