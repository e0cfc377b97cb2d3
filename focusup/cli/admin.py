"""`focusup admin`: which accounts are admins', while the server runs or not."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from focusup.cli.configuration import load_settings

if TYPE_CHECKING:
    from models.users import Database, Role

T = TypeVar("T")

with_data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The server's data directory.  [DATA_DIR, default .focusup]",
)
LATER = "It takes effect with the next sign-in, or refresh of the token."


@click.group("admin")
def admin_command() -> None:
    """Say who is an admin, list who is.

    An admin sees the metrics, all users and their sessions (/api/admin).
    """


@admin_command.command("add")
@click.argument("email")
@with_data_dir
def add_command(email: str, data_dir: Path | None) -> None:
    """Make the account with this address an admin's."""
    _set_role(email, "admin", data_dir)
    click.echo(f"{email} is an admin. {LATER}", err=True)


@admin_command.command("remove")
@click.argument("email")
@with_data_dir
def remove_command(email: str, data_dir: Path | None) -> None:
    """Make the account with this address a user's again."""
    _set_role(email, "user", data_dir)
    click.echo(f"{email} is no admin. {LATER}", err=True)


@admin_command.command("list")
@with_data_dir
def list_command(data_dir: Path | None) -> None:
    """Print the addresses of all admins."""
    from models.users import list_admins

    for user in _with_database(data_dir, list_admins):
        click.echo(user.email)


def _set_role(email: str, role: "Role", data_dir: Path | None) -> None:
    from models.users import normalised_email, set_role

    try:
        address = normalised_email(email)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="EMAIL") from None
    if not _with_database(data_dir, lambda db: set_role(db, address, role)):
        raise click.ClickException(
            f"there is no account with the address {email}; sign up first "
            "(POST /api/auth/signup), then repeat this"
        )


def _with_database(data_dir: Path | None, work: "Callable[[Database], Awaitable[T]]") -> T:
    """What `work` gives, done on the database of the settings."""
    settings = load_settings(data_dir=data_dir)
    from focusup.database import DatabaseError, reach_database
    from models.storage import StatementRefused, StorageUnavailable, translated

    async def run() -> T:
        database = await reach_database(
            uri=settings.mongodb_uri, name=settings.mongodb_database, data_dir=settings.data_dir
        )
        try:
            with translated():
                return await work(database.db)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except (DatabaseError, StatementRefused, StorageUnavailable) as error:
        raise click.ClickException(str(error)) from None
