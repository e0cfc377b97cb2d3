"""`focusup token`: an access token without an account, for smoke tests and scripts."""

from datetime import UTC, datetime
from pathlib import Path

import click

from focusup.configuration import load_settings


@click.command("token")
@click.option("--user", "user_id", required=True, metavar="ID", help="The user, as `sub`.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.1, max=525_600),
    help="How long it is good for.  [ACCESS_TOKEN_MINUTES, default 60]",
)
@click.option("--role", help="A role to claim, such as admin.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The server's data directory, for its generated secret.  [DATA_DIR, default .focusup]",
)
def token_command(
    user_id: str, minutes: float | None, role: str | None, data_dir: Path | None
) -> None:
    """Print an access token, and nothing else.

    Signed with JWT_SECRET or, without one, with the secret that the server has generated
    into its data directory.
    """
    settings = load_settings(data_dir=data_dir)
    from focusup.security.signing_key import SecretError, load_secret
    from models.base.errors import Unauthorized
    from models.tokens.access_tokens import TokenAuthority

    ttl_s = 60 * (settings.access_token_minutes if minutes is None else minutes)
    now = datetime.now(UTC)
    try:
        authority = TokenAuthority(load_secret(settings), ttl_s)
        token, _ = authority.issue(user_id, role=role, now=now)
        authority.verify(token, now)  # never hand out what the server would refuse
    except (SecretError, Unauthorized, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(token)
