"""`focusup pages`: the names that page views may have, while the server runs or not."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from focusup.cli.attach import with_data_dir, with_database
from focusup.configuration import load_settings

if TYPE_CHECKING:
    from models.base.database import Database


@click.group("pages")
def pages_command() -> None:
    """Manage the names of pages, of which a server knows MAX_PAGES."""


@pages_command.command("prune")
@click.option(
    "--unseen-days",
    type=click.IntRange(min=0),
    default=7,
    show_default=True,
    help="Remove the names that were not viewed for so many days; 0 removes all.",
)
@click.option("--once", is_flag=True, help="Of these, only names that were viewed on one day.")
@click.option("--dry-run", is_flag=True, help="Print the names, and remove nothing.")
@with_data_dir
def prune_command(unseen_days: int, once: bool, dry_run: bool, data_dir: Path | None) -> None:
    """Remove names of pages that are not viewed, to make room for new ones.

    Page views and statistics keep their names. A page that is viewed again gets its name back.
    Running servers follow within a minute. Names that were viewed on one day alone expire by
    themselves after 2 days, others after 30.
    """
    from models.pageviews.page_view import ONE_DAY, delete_page_names, read_page_names

    before = datetime.now(UTC) - timedelta(days=unseen_days)

    async def prune(db: "Database") -> list[str]:
        found = []
        for row in await read_page_names(db):
            last_seen_at = row.get("lastSeenAt") or row["firstSeenAt"]
            is_once = last_seen_at - row["firstSeenAt"] < ONE_DAY
            if last_seen_at <= before and (is_once or not once):
                found.append(row["_id"])
        if not dry_run:
            await delete_page_names(db, found)
        return found

    names = with_database(load_settings(data_dir=data_dir), prune)
    if dry_run:
        for name in sorted(names):
            click.echo(name)
    click.echo(f"{len(names)} names {'would be' if dry_run else 'were'} removed.", err=True)
