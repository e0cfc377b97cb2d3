"""`focusup doctor`: what is not well, and what to do about it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from focusup.cli.attach import with_data_dir

if TYPE_CHECKING:
    from focusup.doctor.findings import Finding

COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command("doctor")
@click.option("--host", help="Address to listen on.  [HOST, default 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on.  [PORT, default 5000]")
@with_data_dir
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@click.pass_context
def doctor_command(
    ctx: click.Context, host: str | None, port: int | None, data_dir: Path | None, as_json: bool
) -> None:
    """Look at settings, database, port, clock and versions, and say what to do.

    Changes nothing, and shows no secret: what it prints can be sent to others. Exit status 1
    if anything failed; warnings are no failure.
    """
    from importlib.metadata import version

    from focusup.doctor.examination import examine
    from focusup.doctor.findings import all_well, report, summary

    findings = []
    for finding in examine(host=host, port=port, data_dir=data_dir):
        findings.append(finding)
        if not as_json:
            _show(finding)
    told = json.dumps(report(findings, version("focusup")), indent=2)
    click.echo(told if as_json else summary(findings))
    ctx.exit(0 if all_well(findings) else 1)


def _show(finding: "Finding") -> None:
    click.echo(f"{click.style(f'{finding.status:<8}', fg=COLOURS[finding.status])} {finding.line}")
