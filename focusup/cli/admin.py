"""`focusup admin`: which accounts are admins', while the server runs or not."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from focusup.cli.account_lookup import Work, confirm, on_account
from focusup.cli.attach import with_data_dir, with_database
from focusup.configuration import load_settings

if TYPE_CHECKING:
    from models.accounts.operator_actions import Account
    from models.accounts.users import Role
    from models.base.database import Database


@click.group("admin")
def admin_command() -> None:
    """Say who is an admin, list who is.

    An admin sees the metrics, all users and their sessions (/api/admin).
    """


@admin_command.command("add")
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_data_dir
def add_command(email: str, yes: bool, data_dir: Path | None) -> None:
    """Make the account with this address an admin's.

    Anybody can sign up with any address, since none is verified: shows the account and asks.
    """
    account = on_account(email, data_dir, _found)
    confirm("Make this account an admin's?", account, yes=yes)
    on_account(email, data_dir, _with_role("admin", account))
    click.echo(
        f"{account.user.email} is an admin. It takes effect with the next sign-in, "
        "or refresh of the token.",
        err=True,
    )


@admin_command.command("remove")
@click.argument("email")
@with_data_dir
def remove_command(email: str, data_dir: Path | None) -> None:
    """Make the account with this address a user's again.

    On all servers within 2 seconds, for tokens that are out too.
    """
    account = on_account(email, data_dir, _with_role("user"))
    click.echo(f"{account.user.email} is not an admin any more.", err=True)


@admin_command.command("list")
@with_data_dir
def list_command(data_dir: Path | None) -> None:
    """Print the addresses of all admins."""
    from models.accounts.users import list_admins

    for user in with_database(load_settings(data_dir=data_dir), list_admins):
        click.echo(user.email)


async def _found(_db: "Database", account: "Account", *_: object) -> "Account":
    return account


def _with_role(role: "Role", shown: "Account | None" = None) -> "Work[Account]":
    """`shown` is the account that was confirmed, which no other may replace meanwhile."""

    async def work(db: "Database", account: "Account", now: datetime, _: datetime) -> "Account":
        from models.accounts.operator_actions import give_role

        if shown is not None and account.user.id != shown.user.id:
            raise click.ClickException("the account was replaced by another one meanwhile")
        await give_role(db, account.user, role, now)
        return account

    return work
