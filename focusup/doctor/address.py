"""Check the address to listen on: free, in use by this server, or by another program."""

from focusup.doctor.findings import Finding, failed_by, ok, warning
from focusup.listening import ListenError, bind, neighbour


def address(host: str, port: int) -> Finding:
    """Check whether the address is free, or which program uses it."""
    try:
        bind(host, port).close()
    except ListenError as error:
        who = neighbour(host, port) if port else None
        if who is None or who.version is None:
            return failed_by("port", error)
        found = f"{who} runs on {host}:{port}"
        if who.status != "ok":
            return warning("port", f"{found}, and says {who.status}", "see its log")
        return ok("port", f"{found}, and is well")
    if port == 0:
        return ok("port", f"any free one of {host}")
    return ok("port", f"{host}:{port} is free")
