"""Sockets are found by what ends their tokens, without a look at all the others."""

from collections.abc import Sequence
from datetime import UTC, datetime

from models.revocations import row_ids
from models.tokens import Identity
from realtime.close_codes import CloseCode
from realtime.hub import Hub

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Socket:
    """Notes who looks at its token."""

    updates = "none"

    def __init__(self, identity: Identity | None) -> None:
        self.given = identity
        self.looks = 0
        self.closed: list[CloseCode] = []

    @property
    def identity(self) -> Identity | None:
        self.looks += 1
        return self.given

    def close(self, code: CloseCode, reason: str) -> None:
        self.closed.append(code)


def identity(user: str, login: str | None = None) -> Identity:
    return Identity(user, NOW, NOW, login)


def admitted(hub: Hub, count: int) -> list[Socket]:
    """Two sockets of each user, by one login each, and as many of nobody."""
    sockets = [Socket(identity(f"u{n // 2}", f"l{n}")) for n in range(count)]
    nameless = [Socket(None) for _ in range(count)]
    for number, each in enumerate((*sockets, *nameless)):
        assert hub.admit(each, f"m{number}") is None  # type: ignore[arg-type]
        each.looks = 0
    return [*sockets, *nameless]


def closed(sockets: Sequence[Socket]) -> list[int]:
    return [number for number, each in enumerate(sockets) if each.closed]


def close(hub: Hub, *row_ids: str, refused: bool = True) -> None:
    hub.close_if(row_ids, lambda _: refused, CloseCode.UNAUTHORIZED, "signed out")


def test_only_those_that_may_be_meant_are_looked_at() -> None:
    hub = Hub(max_per_user=1, max_in_all=1000)
    sockets = admitted(hub, 100)
    close(hub, "login:l7", "user:u20", "login:unknown", "user:u7x")
    assert closed(sockets) == [7, 40, 41]
    assert sum(each.looks for each in sockets) == 3
    assert sockets[7].closed == [CloseCode.UNAUTHORIZED]


def test_whose_token_is_good_stays() -> None:
    hub = Hub(max_per_user=1, max_in_all=1000)
    sockets = admitted(hub, 10)
    close(hub, "user:u2", refused=False)
    assert closed(sockets) == []


def test_a_renewed_token_is_what_counts() -> None:
    hub = Hub(max_per_user=1, max_in_all=1000)
    sockets = admitted(hub, 10)
    for number, renewed in ((3, identity("u1", "new")), (12, identity("u9"))):
        before, sockets[number].given = sockets[number].given, renewed
        hub.renewed(sockets[number], before)  # type: ignore[arg-type]
    close(hub, "login:l3")
    assert closed(sockets) == []
    close(hub, "login:new", "user:u9")
    assert closed(sockets) == [3, 12]


def test_who_was_turned_away_or_has_gone_is_not_found() -> None:
    hub = Hub(max_per_user=1, max_in_all=2)
    first, second, third = (Socket(identity("ada", "l")) for _ in range(3))
    for number, each in enumerate((first, second, third)):
        hub.admit(each, f"m{number}")  # type: ignore[arg-type]
    for number, each in ((0, first), (2, third)):
        hub.dismiss(each, f"m{number}")  # type: ignore[arg-type]
    close(hub, *row_ids(identity("ada", "l")))
    assert closed([first, second, third]) == [1]
    hub.dismiss(second, "m1")  # type: ignore[arg-type]
    assert not hub._by_row
