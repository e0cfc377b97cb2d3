"""`focusup track`: a terminal client that tracks an existing session."""

import json
import sys
from typing import Any

import click


@click.command("track")
@click.option("--session", "session_id", required=True, metavar="ID", help="The session.")
@click.option(
    "--token",
    required=True,
    envvar="FOCUSUP_TOKEN",
    metavar="JWT",
    help="Access token of its user, or - to read it from stdin.  [FOCUSUP_TOKEN]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, max=86_400),
    default=5,
    show_default=True,
    help="How long to track it.",
)
@click.option(
    "--url",
    envvar="FOCUSUP_URL",
    default="http://127.0.0.1:5000",
    show_default=True,
    help="The server.  [FOCUSUP_URL]",
)
@click.option("--no-stop", is_flag=True, help="Leave without ending the session.")
def track_command(session_id: str, token: str, seconds: float, url: str, no_stop: bool) -> None:
    """Track a session over the socket, as a study app would, and end it.

    Says once a second that the user is there, and prints each message of the server as a
    line of JSON. The list of processes shows the token to all users of this machine if it is
    given as an option; in FOCUSUP_TOKEN or on stdin it does not.
    """
    from focusup.cli.client import ServerError, Socket, checked_url

    base_url = checked_url(url)
    if token == "-":  # noqa: S105 - no secret
        token = sys.stdin.readline().strip()
    try:
        socket = Socket(base_url, token, hear=_print)
        try:
            socket.ask("start", "started", sessionId=session_id)
            socket.stay_active(seconds)
            if not no_stop:
                socket.ask("stop", "stopped")
        finally:
            socket.close()
    except ServerError as error:
        raise click.ClickException(str(error)) from None


def _print(message: dict[str, Any]) -> None:
    click.echo(json.dumps(message))
