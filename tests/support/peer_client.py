"""A client in a process of its own, for a network of its own: `peer_client.py HOST PORT TOKEN
SESSION`. It starts the session, says so, and from then on only answers pings.
"""

import json
import sys

from websockets.sync.client import connect


def main(host: str, port: str, token: str, session_id: str) -> None:
    with connect(f"ws://{host}:{port}/ws/sessions?token={token}", ping_interval=None) as socket:
        socket.send(json.dumps({"type": "start", "sessionId": session_id, "updates": "none"}))
        print(json.loads(socket.recv())["type"], flush=True)
        for _ in socket:
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
