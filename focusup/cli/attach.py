"""The database for commands beside a server that runs, and without one."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from focusup.settings import Settings
    from models.base.database import Database

T = TypeVar("T")

with_data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The server's data directory.  [DATA_DIR, default .focusup]",
)


def with_database(settings: "Settings", work: "Callable[[Database], Awaitable[T]]") -> T:
    """Run `work` on the database of the settings, and return its result.

    An error of the database or of the domain ends the command.
    """
    from focusup.database import DatabaseError, reach_database
    from models.base.driver_errors import StatementRefused, translated
    from models.base.errors import DomainError
    from models.migrations.schema_version import SchemaTooNew, refuse_newer

    async def run() -> T:
        database = await reach_database(
            uri=settings.mongodb_uri, name=settings.mongodb_database, data_dir=settings.data_dir
        )
        try:
            with translated():
                await refuse_newer(database.db)
                return await work(database.db)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except DomainError as error:
        raise click.ClickException(error.message) from None
    except (DatabaseError, SchemaTooNew, StatementRefused) as error:
        raise click.ClickException(str(error)) from None


def address_of(email: str, option: str) -> str:
    """An e-mail address in its one spelling; `option` is where it was given."""
    from models.accounts.users import normalised_email

    try:
        return normalised_email(email)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None
