"""The database under the server: a MongoDB somewhere, or a child process of our own."""

from focusup.database.attach import reach_database
from focusup.database.errors import DatabaseError
from focusup.database.opening import NOTHING_KEPT, OpenedDatabase, open_database

__all__ = ["NOTHING_KEPT", "DatabaseError", "OpenedDatabase", "open_database", "reach_database"]
