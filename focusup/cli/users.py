"""`focusup users`: accounts that need the operator, while the server runs or not."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from focusup.cli.account_lookup import describe, on_account
from focusup.cli.attach import with_data_dir, with_database
from focusup.configuration import load_settings

if TYPE_CHECKING:
    from models.accounts.operator_actions import Account
    from models.base.database import Database


@click.group("users")
def users_command() -> None:
    """Show, lock, sign out an account, or reset its password.

    All of it takes effect on running servers within 2 seconds.
    """


@users_command.command("show")
@click.argument("email")
@with_data_dir
def show_command(email: str, data_dir: Path | None) -> None:
    """Print what an operator can see of an account."""

    async def work(_db: "Database", account: "Account", *_: datetime) -> str:
        return describe(account)

    click.echo(on_account(email, data_dir, work))


@users_command.command("reset-password")
@click.argument("email")
@with_data_dir
def reset_password_command(email: str, data_dir: Path | None) -> None:
    """Print a password that is good for 24 hours, and end all logins.

    The user signs in with it and chooses another one (PUT /api/me/password).
    """

    async def work(
        db: "Database", account: "Account", now: datetime, until: datetime
    ) -> str | None:
        from models.accounts.operator_actions import reset_password
        from models.accounts.passwords import PasswordHashes

        hashes = PasswordHashes()
        try:
            return await reset_password(db, account.user, now, until, hashes)
        finally:
            hashes.close()

    password = on_account(email, data_dir, work)
    if password is None:
        raise click.ClickException("the user changed the password just now; try again")
    click.echo("Good for 24 hours; all logins were ended.", err=True)
    click.echo(password)


@users_command.command("lock")
@click.argument("email")
@with_data_dir
def lock_command(email: str, data_dir: Path | None) -> None:
    """End all logins of an account, and refuse new ones."""

    async def work(db: "Database", account: "Account", now: datetime, until: datetime) -> str:
        from models.accounts.operator_actions import lock

        await lock(db, account.user, now, until)
        return account.user.email

    click.echo(f"{on_account(email, data_dir, work)} is locked.", err=True)


@users_command.command("unlock")
@click.argument("email")
@with_data_dir
def unlock_command(email: str, data_dir: Path | None) -> None:
    """Let a locked account sign in again."""

    async def work(db: "Database", account: "Account", now: datetime, _until: datetime) -> str:
        from models.accounts.operator_actions import unlock

        await unlock(db, account.user, now)
        return account.user.email

    click.echo(f"{on_account(email, data_dir, work)} is not locked.", err=True)


@users_command.command("sign-out")
@click.argument("email", required=False)
@click.option("--all", "everybody", is_flag=True, help="All accounts, as after a restored backup.")
@with_data_dir
def sign_out_command(email: str | None, everybody: bool, data_dir: Path | None) -> None:
    """End all logins of an account, or of all accounts."""
    if (email is None) is not everybody:
        raise click.UsageError("Give an EMAIL, or --all.")
    if email is None:
        click.echo(f"{_sign_out_everybody(data_dir)} logins were ended.", err=True)
        return

    async def work(db: "Database", account: "Account", now: datetime, until: datetime) -> int:
        from models.accounts.operator_actions import sign_out

        await sign_out(db, account.user, now, until)
        return account.logins

    click.echo(f"{on_account(email, data_dir, work)} logins were ended.", err=True)


def _sign_out_everybody(data_dir: Path | None) -> int:
    from datetime import UTC, timedelta

    from models.accounts.operator_actions import sign_out_everybody

    settings = load_settings(data_dir=data_dir)
    now = datetime.now(UTC)
    until = now + timedelta(minutes=settings.access_token_minutes)
    return with_database(settings, lambda db: sign_out_everybody(db, now, until))
