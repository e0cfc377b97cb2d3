"""Run `focusup smoke`: check that a server does what it promises.

Invariants:

- The steps run in order, each is shown, and nothing runs after a failed one.
"""

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from focusup.cli.smoke.steps import Smoke


@click.command("smoke")
@click.option(
    "--url",
    envvar="FOCUSUP_URL",
    default="http://127.0.0.1:5000",
    show_default=True,
    help="The server.  [FOCUSUP_URL]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=2, max=3600),
    default=5,
    show_default=True,
    help="How long to track, in real time.",
)
@click.pass_context
def smoke_command(ctx: click.Context, url: str, seconds: float) -> None:
    """Walk through everything against a live server: from sign-up to a deleted session.

    Makes an account with a random e-mail address at example.com. Exit status 1 if a step
    fails; the steps after it are skipped.
    """
    from focusup.cli.client import checked_url
    from focusup.cli.smoke.steps import Smoke

    with Smoke(checked_url(url), seconds) as run:
        ctx.exit(0 if _all_pass(run) else 1)


def _all_pass(run: "Smoke") -> bool:
    from focusup.cli.smoke.steps import FAILURES

    failed = False
    for name, step in run.steps:
        if failed:
            _show("skip", "yellow", name)
            continue
        began = time.monotonic()
        try:
            note = step()
        except FAILURES as error:
            failed = True
            reason = f"{type(error).__name__} {error}" if _is_bare(error) else str(error)
            _show("FAIL", "red", name, time.monotonic() - began, reason)
        else:
            _show("pass", "green", name, time.monotonic() - began, note)
    return not failed


def _is_bare(error: Exception) -> bool:
    """Whether its text alone, such as that of a KeyError, would say little."""
    return isinstance(error, LookupError | TypeError) or not str(error)


def _show(word: str, colour: str, name: str, took_s: float | None = None, note: str = "") -> None:
    from rich.console import Console
    from rich.text import Text

    took = "" if took_s is None else f"{took_s * 1000:.0f} ms"
    line = Text.assemble((word, colour), f"  {name:<18}{took:>9}  {note}".rstrip())
    Console(highlight=False, soft_wrap=True).print(line)
