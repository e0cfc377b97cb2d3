"""Run the command line as `python -m focusup.cli`; `python -m focusup` is shorter."""

from focusup.cli import main

main(prog_name="focusup")
