"""The database under the server: a MongoDB somewhere, or a child process of our own."""

from focusup.database.errors import DatabaseError
from focusup.database.opening import OpenedDatabase, open_database

__all__ = ["DatabaseError", "OpenedDatabase", "open_database"]
