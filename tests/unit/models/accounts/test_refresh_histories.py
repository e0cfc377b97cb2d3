"""The rule of refresh tokens, against a model: an honest client whose answers get lost stays
signed in; whoever uses a token whose successor was used ends the login for all."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from bson import ObjectId
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from mongomock_motor import AsyncMongoMockClient
from pymongo.errors import AutoReconnect

from models.accounts.refresh_tokens import (
    end_login_of_token,
    find_login,
    rotate_login,
    start_login,
)
from models.base.database import Database
from models.base.errors import Unauthorized

T = TypeVar("T")
TTL_S = 30 * 86_400.0
HOUR = timedelta(hours=1)


class Faulty:
    """A database one of whose statements gets no answer: done all the same, or not."""

    def __init__(self, db: Database, fails_at: int, *, done: bool) -> None:
        self._db, self._left, self._done = db, fails_at, done

    def __getitem__(self, name: str) -> "FaultyCollection":
        return FaultyCollection(self, self._db[name])

    async def call(self, statement: Any, *arguments: Any) -> Any:
        self._left -= 1
        if self._left == 0 and not self._done:
            raise AutoReconnect
        answer = await statement(*arguments)
        if self._left == 0:
            raise AutoReconnect
        return answer


class FaultyCollection:
    def __init__(self, of: Faulty, collection: Any) -> None:
        self._of, self._collection = of, collection

    def __getattr__(self, name: str) -> Any:
        statement = getattr(self._collection, name)

        async def call(*arguments: Any, **_options: Any) -> Any:
            return await self._of.call(statement, *arguments)

        return call


class Refreshing(RuleBasedStateMachine):
    """`tokens` are those that were ever given out, in their order; the successor of each is
    the next one. `used` is how many of them were used."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.db: Database = AsyncMongoMockClient(tz_aware=True)["focusup"]
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.tokens: list[str] = []
        self.used = 0
        self.held = 0
        """The place of the token that the honest client has."""
        self.ended = False

    def teardown(self) -> None:
        self.loop.close()

    def do(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def sign_in(self) -> None:
        login, token = self.do(start_login(self.db, ObjectId(), self.now, TTL_S))
        self.login_id = login.id
        self.tokens.append(token)

    async def refresh(self, token: str, db: Any) -> str:
        until = self.now + HOUR
        login = await find_login(db, token, self.now, until)
        return await rotate_login(db, login, token, self.now, TTL_S, tokens_until=until)

    def attempt(self, place: int, db: Any = None) -> None:
        """Use a token that was given out, and compare with the rule."""
        good = not self.ended and place >= self.used - 1
        try:
            given = self.do(self.refresh(self.tokens[place], db or self.db))
        except Unauthorized:
            assert not good
            self.ended = True
            return
        assert good
        self.gave(place, given)

    def gave(self, place: int, given: str) -> None:
        if place + 1 < len(self.tokens):
            assert self.tokens[place + 1] == given
        else:
            self.tokens.append(given)
        self.used = max(self.used, place + 1)

    @rule(lost=st.booleans(), later_h=st.integers(0, 30))
    def the_honest_client_refreshes(self, lost: bool, later_h: int) -> None:
        self.now += later_h * HOUR
        self.attempt(self.held)
        if not lost and not self.ended:
            self.held += 1

    @rule(fails_at=st.integers(1, 4), done=st.booleans())
    def the_database_fails_under_it(self, fails_at: int, done: bool) -> None:
        """Its client asks again with what it has."""
        faulty = Faulty(self.db, fails_at, done=done)
        try:
            given = self.do(self.refresh(self.tokens[self.held], faulty))
        except AutoReconnect:
            self.attempt(self.held)
            return
        except Unauthorized:
            assert self.ended or self.held < self.used - 1
            self.ended = True
            return
        assert not self.ended
        self.gave(self.held, given)

    @rule(at_once=st.integers(2, 4))
    def several_tabs_refresh(self, at_once: int) -> None:
        async def together() -> list[str | BaseException]:
            token = self.tokens[self.held]
            tabs = (self.refresh(token, self.db) for _ in range(at_once))
            return await asyncio.gather(*tabs, return_exceptions=True)

        results = self.do(together())
        if self.ended or self.held < self.used - 1:
            assert all(isinstance(each, Unauthorized) for each in results)
            self.ended = True
        else:
            assert len({str(each) for each in results}) == 1
            self.gave(self.held, str(results[0]))

    @precondition(lambda self: len(self.tokens) > 1)
    @rule(data=st.data())
    def a_thief_uses_an_older_one(self, data: st.DataObject) -> None:
        self.attempt(data.draw(st.integers(0, len(self.tokens) - 1)))

    @rule(secret=st.text("abcXYZ019_-", min_size=43, max_size=43))
    def someone_makes_one_up(self, secret: str) -> None:
        made_up = f"{self.login_id}.{secret}"
        with pytest.raises(Unauthorized):
            self.do(self.refresh(made_up, self.db))
        self.do(end_login_of_token(self.db, made_up, self.now, self.now + HOUR))

    @invariant()
    def it_is_there_until_it_ends(self) -> None:
        if self.tokens:
            stored = self.do(self.db["logins"].find({}).to_list(None))
            assert len(stored) == (0 if self.ended else 1)
            assert not any(token.split(".")[1] in repr(stored) for token in self.tokens)
            assert len(repr(stored)) < 1_000
            revoked = self.do(self.db["revocations"].count_documents({}))
            assert revoked == (1 if self.ended else 0)


Refreshing.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
test_refreshing = Refreshing.TestCase
