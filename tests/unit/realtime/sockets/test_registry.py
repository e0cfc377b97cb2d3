"""Sockets are found by what ends their tokens, without a look at all the others."""

from collections.abc import Sequence
from datetime import UTC, datetime

from models.tokens.access_tokens import Identity
from models.tokens.revocations import row_ids
from realtime.protocol.close_codes import CloseCode
from realtime.sockets.registry import Registry

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Socket:
    """Notes who looks at its token."""

    updates = "none"

    def __init__(self, identity: Identity | None) -> None:
        self.given = identity
        self.looks = 0
        self.closed: list[CloseCode] = []
        self.hidden_since_us: int | None = None

    @property
    def identity(self) -> Identity | None:
        self.looks += 1
        return self.given

    def close(self, code: CloseCode, reason: str) -> None:
        self.closed.append(code)


def identity(user: str, login: str | None = None) -> Identity:
    return Identity(user, NOW, NOW, login)


def admitted(registry: Registry, count: int) -> list[Socket]:
    """Two sockets of each user, by one login each, and as many of nobody."""
    sockets = [Socket(identity(f"u{n // 2}", f"l{n}")) for n in range(count)]
    nameless = [Socket(None) for _ in range(count)]
    for number, each in enumerate((*sockets, *nameless)):
        assert registry.admit(each, f"m{number}") is None  # type: ignore[arg-type]
        each.looks = 0
    return [*sockets, *nameless]


def closed(sockets: Sequence[Socket]) -> list[int]:
    return [number for number, each in enumerate(sockets) if each.closed]


def close(registry: Registry, *row_ids: str, refused: bool = True) -> None:
    registry.close_if(row_ids, lambda _: refused, CloseCode.UNAUTHORIZED, "signed out")


def test_only_those_that_may_be_meant_are_looked_at() -> None:
    registry = Registry(max_per_user=1, max_in_all=1000)
    sockets = admitted(registry, 100)
    close(registry, "login:l7", "user:u20", "login:unknown", "user:u7x")
    assert closed(sockets) == [7, 40, 41]
    assert sum(each.looks for each in sockets) == 3
    assert sockets[7].closed == [CloseCode.UNAUTHORIZED]


def test_whose_token_is_good_stays() -> None:
    registry = Registry(max_per_user=1, max_in_all=1000)
    sockets = admitted(registry, 10)
    close(registry, "user:u2", refused=False)
    assert closed(sockets) == []


def test_a_renewed_token_is_what_counts() -> None:
    registry = Registry(max_per_user=1, max_in_all=1000)
    sockets = admitted(registry, 10)
    for number, renewed in ((3, identity("u1", "new")), (12, identity("u9"))):
        before, sockets[number].given = sockets[number].given, renewed
        registry.renewed(sockets[number], before)  # type: ignore[arg-type]
    close(registry, "login:l3")
    assert closed(sockets) == []
    close(registry, "login:new", "user:u9")
    assert closed(sockets) == [3, 12]


def test_who_was_turned_away_or_has_gone_is_not_found() -> None:
    registry = Registry(max_per_user=1, max_in_all=2)
    first, second, third = (Socket(identity("ada", "l")) for _ in range(3))
    for number, each in enumerate((first, second, third)):
        registry.admit(each, f"m{number}")  # type: ignore[arg-type]
    for number, each in ((0, first), (2, third)):
        registry.dismiss(each, f"m{number}")  # type: ignore[arg-type]
    close(registry, *row_ids(identity("ada", "l")))
    assert closed([first, second, third]) == [1]
    registry.dismiss(second, "m1")  # type: ignore[arg-type]
    assert not registry._by_row


def test_the_page_that_is_hidden_longest_gives_way() -> None:
    registry = Registry(max_per_user=3, max_in_all=100)
    sockets = [Socket(identity("ada", f"l{number}")) for number in range(6)]

    def opened(number: int) -> CloseCode | None:
        return registry.admit(sockets[number], "ada")  # type: ignore[arg-type]

    assert [opened(number) for number in range(3)] == [None] * 3
    assert opened(3) is CloseCode.TOO_MANY
    sockets[0].hidden_since_us, sockets[1].hidden_since_us = 20, 10
    assert opened(3) is None
    assert closed(sockets) == [1]
    assert sockets[1].closed == [CloseCode.TAKEN_OVER]
    assert len(registry) == 3, "the place of one that has to go is free at once"
    registry.dismiss(sockets[1], "ada")  # type: ignore[arg-type]
    assert len(registry) == 3, "and is not freed again when it is gone"
    assert opened(4) is None
    assert closed(sockets) == [0, 1]
    assert opened(5) is CloseCode.TOO_MANY


def test_the_only_page_of_a_user_may_give_way() -> None:
    registry = Registry(max_per_user=1, max_in_all=100)
    first, second = Socket(identity("ada")), Socket(identity("ada"))
    first.hidden_since_us = 0
    for each in (first, second):
        assert registry.admit(each, "ada") is None  # type: ignore[arg-type]
    assert (first.closed, len(registry)) == ([CloseCode.TAKEN_OVER], 1)


def test_another_user_gives_no_way() -> None:
    registry = Registry(max_per_user=1, max_in_all=2)
    bob, ada, eve = Socket(identity("bob")), Socket(identity("ada")), Socket(identity("eve"))
    bob.hidden_since_us = 0
    for each, user in ((bob, "bob"), (ada, "ada")):
        registry.admit(each, user)  # type: ignore[arg-type]
    assert registry.admit(eve, "eve") is CloseCode.OVERLOAD  # type: ignore[arg-type]
    assert registry.admit(Socket(identity("ada")), "ada") is CloseCode.OVERLOAD  # type: ignore[arg-type]
    assert not bob.closed
