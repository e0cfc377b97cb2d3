"""Define the command line: one module per command.

Invariants:

- Importing this package imports no heavy package but click, so `focusup --version` and shell
  completion answer at once; each command imports what it needs when it runs.
- Output for programs goes to stdout, everything else to stderr. Exit status 0 is success, 1 a
  failure, 2 wrong usage or settings.
"""

import click

from focusup.cli.admin import admin_command
from focusup.cli.demo import demo_command
from focusup.cli.doctor import doctor_command
from focusup.cli.pages import pages_command
from focusup.cli.serve import serve_command
from focusup.cli.smoke.command import smoke_command
from focusup.cli.token import token_command
from focusup.cli.track import track_command
from focusup.cli.users import users_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="focusup", prog_name="focusup", message="%(prog)s %(version)s")
def main() -> None:
    """FocusUp: a focus-session tracker whose server does the counting."""


main.add_command(admin_command)
main.add_command(demo_command)
main.add_command(doctor_command)
main.add_command(pages_command)
main.add_command(serve_command)
main.add_command(smoke_command)
main.add_command(token_command)
main.add_command(track_command)
main.add_command(users_command)
