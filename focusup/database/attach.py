"""Open the database for a command, beside a running server or without one.

Invariants:

- A running server keeps its data directory and its child process; a command only connects to that
  child.
- A command creates no data directory.
"""

from contextlib import AsyncExitStack
from pathlib import Path

from focusup.database.child import port_file
from focusup.database.connecting import close, connect_to_child, until_it_answers
from focusup.database.errors import DatabaseError, InUseError, short, usable
from focusup.database.opening import MEMORY, OpenedDatabase, open_database
from focusup.database.programs import kinds_kept


async def reach_database(
    *, uri: str | None, name: str, data_dir: Path, timeout_s: float = 5.0
) -> OpenedDatabase:
    """Open the database, through the child of a running server if there is one.

    Raises:
        DatabaseError: There is no database, or it does not answer.
    """
    if uri == MEMORY:
        raise DatabaseError("MONGODB_URI=memory: a database in memory is the server's alone")
    if uri is None:
        with usable(data_dir):
            if not kinds_kept(data_dir):
                raise DatabaseError(
                    f"there is no database in {short(data_dir)}",
                    "start the server once, or set DATA_DIR or MONGODB_URI as for the server",
                )
    try:
        return await open_database(
            uri=uri, name=name, data_dir=data_dir, server_selection_timeout_s=timeout_s
        )
    except InUseError:
        return await beside_the_server(name, data_dir, timeout_s)


async def beside_the_server(name: str, data_dir: Path, timeout_s: float) -> OpenedDatabase:
    """Connect to the child of the server that holds a directory; raise DatabaseError."""
    for kind in kinds_kept(data_dir):
        try:
            port = int(port_file(data_dir, kind).read_text("ascii"))
        except (OSError, ValueError):
            continue
        async with AsyncExitStack() as held:
            client = connect_to_child(port, timeout_s)
            held.push_async_callback(close, client)
            await until_it_answers(client, timeout_s)
            where = f"{kind} of the server on {short(data_dir)}"
            return OpenedDatabase(client[name], kind, where, _held=held.pop_all())
    raise DatabaseError(f"the server on {short(data_dir)} is starting or stopping", "try again")
