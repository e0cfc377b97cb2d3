"""The database for a command, whether or not a server runs on it.

What must always hold: a server that runs keeps its data directory and its child; a command
beside it only talks to that child. A command makes no data directory.
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
    """As `open_database`, but through the child of a server that runs.

    Raises DatabaseError.
    """
    if uri == MEMORY:
        raise DatabaseError("MONGODB_URI=memory: a database in memory is the server's alone")
    if uri is None:
        with usable(data_dir):
            if not kinds_kept(data_dir):
                raise DatabaseError(
                    f"there is no database in {short(data_dir)}; start the server once, or set "
                    "DATA_DIR or MONGODB_URI as it is set for the server"
                )
    try:
        return await open_database(
            uri=uri, name=name, data_dir=data_dir, server_selection_timeout_s=timeout_s
        )
    except InUseError:
        return await beside_the_server(name, data_dir, timeout_s)


async def beside_the_server(name: str, data_dir: Path, timeout_s: float) -> OpenedDatabase:
    """The child of the server that holds this directory. Raises DatabaseError."""
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
    raise DatabaseError(f"the server on {short(data_dir)} is starting or stopping; try again")
