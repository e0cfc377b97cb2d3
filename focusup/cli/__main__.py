"""`python -m focusup.cli`, for where the console script is not on the path."""

from focusup.cli import main

main(prog_name="focusup")
