"""`focusup serve`: run the server."""

from pathlib import Path

import click

from focusup.configuration import load_settings


@click.command("serve")
@click.option("--host", help="Address to listen on.  [HOST, default 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 picks one.  [PORT, default 5000]")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the embedded database and the secret live.  [DATA_DIR, default .focusup]",
)
@click.pass_context
def serve_command(
    ctx: click.Context, host: str | None, port: int | None, data_dir: Path | None
) -> None:
    """Run the server until Ctrl-C or SIGTERM.

    Settings come from the environment and from .env; options win over both.
    """
    settings = load_settings(host=host, port=port, data_dir=data_dir)
    from focusup.serving import run

    ctx.exit(run(settings))
