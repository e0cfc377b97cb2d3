"""Run the command line as `python -m focusup`."""

from focusup.cli import main

main(prog_name="focusup")
