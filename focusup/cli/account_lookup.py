"""Find an account by its address, and show it, for `focusup admin` and `focusup users`.

Invariants:

- The printed text of an account cannot move the cursor or change the direction of the text.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from focusup.cli.attach import address_of, with_database
from focusup.configuration import load_settings

if TYPE_CHECKING:
    from models.accounts.operator_actions import Account
    from models.base.database import Database

T = TypeVar("T")
Work = Callable[["Database", "Account", datetime, datetime], Awaitable[T]]
"""What is done with an account: by the database, now, and until when its tokens last."""


def on_account(email: str, data_dir: Path | None, work: "Work[T]") -> T:
    """Find the account with this address and do `work`; end the command where there is none."""
    from datetime import timedelta

    from models.accounts.operator_actions import find_account

    address, settings = address_of(email, "EMAIL"), load_settings(data_dir=data_dir)

    async def run(db: "Database") -> T:
        now = datetime.now(UTC)
        until = now + timedelta(minutes=settings.access_token_minutes)
        return await work(db, await find_account(db, address), now, until)

    return with_database(settings, run)


def describe(account: "Account") -> str:
    """Return lines by which an operator can tell whose account it is."""
    user = account.user
    used = "never" if account.last_used_at is None else f"{account.last_used_at:%Y-%m-%d %H:%M} UTC"
    lines = {
        "e-mail": user.email,
        "name": user.name or "-",
        "id": str(user.id),
        "role": user.role,
        "signed up": f"{user.created_at:%Y-%m-%d %H:%M} UTC",
        "logins": f"{account.logins}, last used {used}",
        "locked": "no" if user.locked_at is None else f"since {user.locked_at:%Y-%m-%d %H:%M} UTC",
    }
    return "\n".join(f"  {name + ':':<11}{_printable(value)}" for name, value in lines.items())


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)


def confirm(question: str, account: "Account", *, yes: bool) -> None:
    """Show the account and ask; end the command unless the answer is yes."""
    click.echo(describe(account), err=True)
    if not yes:
        click.confirm(question, abort=True, err=True)
