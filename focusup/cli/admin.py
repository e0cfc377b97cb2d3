"""`focusup admin`: which accounts are admins', while the server runs or not."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from focusup.cli.configuration import load_settings
from focusup.cli.reaching import address_of, with_data_dir, with_database

if TYPE_CHECKING:
    from models.users import Role

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

    for user in with_database(load_settings(data_dir=data_dir), list_admins):
        click.echo(user.email)


def _set_role(email: str, role: "Role", data_dir: Path | None) -> None:
    from models.users import set_role

    address = address_of(email, "EMAIL")
    settings = load_settings(data_dir=data_dir)
    if not with_database(settings, lambda db: set_role(db, address, role)):
        raise click.ClickException(
            f"there is no account with the address {email}; sign up first "
            "(POST /api/auth/signup), then repeat this"
        )
