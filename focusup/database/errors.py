"""What is told to people when there is no database to run on."""

import re

CREDENTIALS = re.compile(r"(?<=://)[^/?#]*@")


class DatabaseError(Exception):
    """What is wrong and what to do about it, in words for people."""


def without_credentials(uri: str) -> str:
    """A connection string that may be shown."""
    return CREDENTIALS.sub("", uri)
