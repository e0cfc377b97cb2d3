"""A viewer that keeps what it hears."""

from realtime.engine.tracked import Tracked


class Tab:
    updates = "tick"

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.closed_with: int | None = None
        self.let_go = False

    def push(self, text: str) -> None:
        self.heard.append(text)

    push_count = push

    def close(self, code: int, reason: str) -> None:
        self.closed_with = code

    def released(self, thing: Tracked, *, ended: bool) -> None:
        self.let_go = True
