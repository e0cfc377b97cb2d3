"""`focusup demo`: a learner with a year behind them, to look at; and to be rid of."""

import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from focusup.cli.attach import address_of, with_data_dir, with_database
from focusup.configuration import load_settings

if TYPE_CHECKING:
    from focusup.demo.storage import Made
    from focusup.settings import Settings
    from models.base.database import Database
    from models.privacy.deletions import Deletions

T = TypeVar("T")

with_email = click.option(
    "--email", default="demo@focusup.test", show_default=True, help="The address of its account."
)


class _AddUnlessSaid(click.Group):
    """Without a command of its own, it is `add`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["add", *args]
        return super().parse_args(ctx, args)


@click.group("demo", cls=_AddUnlessSaid)
def demo_command() -> None:
    """Make a demonstration to look at: a learner's year, and two weeks of a site.

    Without a command it is `add`. Beside a server that runs, or without one.
    """


@demo_command.command("add")
@with_email
@click.option(
    "--seed", type=int, default=1, show_default=True, help="The same seed makes the same year."
)
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), help="The last day of the year.  [today]"
)
@with_data_dir
def add_command(email: str, seed: int, until: datetime | None, data_dir: Path | None) -> None:
    """Make the account and fill it; what was there of it before is replaced.

    Prints its address, a new password and where to look.
    """
    from focusup.demo.storage import add

    address, password = address_of(email, "--email"), secrets.token_urlsafe(9)
    settings = load_settings(data_dir=data_dir)
    now = datetime.now(UTC)
    end = now if until is None else _end_of(until.date(), now)
    made = _with_departures(
        settings,
        lambda db, gone: add(
            db, gone, email=address, password=password, seed=seed, until=end, now=now
        ),
    )
    _tell(made)
    click.echo(f"look at: http://127.0.0.1:{settings.port}/me")
    click.echo(f"e-mail: {address}\npassword: {password}")


@demo_command.command("remove")
@with_email
@with_data_dir
def remove_command(email: str, data_dir: Path | None) -> None:
    """Remove the account and everything that was made with it."""
    from focusup.demo.storage import remove

    address, settings = address_of(email, "--email"), load_settings(data_dir=data_dir)
    now = datetime.now(UTC)
    _with_departures(settings, lambda db, gone: remove(db, gone, email=address, now=now))
    click.echo(f"{address} and all that was made with it is removed.", err=True)


def _with_departures(
    settings: "Settings", work: "Callable[[Database, Deletions], Awaitable[T]]"
) -> T:
    """`work` with the server's way to let somebody go, who may be signed in there."""
    from focusup.security.signing_key import SecretError, load_secret
    from models.privacy.deletions import Deletions

    async def run(db: "Database") -> T:
        ttl_s = settings.access_token_minutes * 60
        return await work(db, Deletions(db, load_secret(settings), ttl_s))

    try:
        return with_database(settings, run)
    except SecretError as error:
        raise click.ClickException(str(error)) from None


def _end_of(day: date, now: datetime) -> datetime:
    """When the day is over for the learner; now, if that is still to come."""
    from focusup.demo.profile import ZONE
    from scoring.local_days import midnight_us, utc_datetime

    if day > now.date() + timedelta(days=1):
        raise click.BadParameter("must not be in the future", param_hint="--until")
    return min(utc_datetime(midnight_us(day + timedelta(days=1), ZONE)), now)


def _tell(made: "Made") -> None:
    from focusup.demo.profile import NAME, STREAK_DAYS, ZONE

    site = made.site
    lines = (
        f"{'Replaced' if made.replaced else 'Made'} the {NAME}: {made.sessions} sessions of a "
        f"year in {ZONE}, {made.focused_s // 3600} hours focused, a streak of {STREAK_DAYS} days",
        f"and two weeks of a site: {len(site.visits)} visits, {len(site.events)} events, "
        f"{len(site.page_views)} page views of {len(site.visitors)} browsers.",
        "All of it goes with: focusup demo remove",
    )
    for line in lines:
        click.echo(line, err=True)
