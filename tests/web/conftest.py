"""Fixtures of the tests of pages."""

import uuid
from collections.abc import Iterator

import pytest
from playwright.async_api import expect

from tests.support.live_server import LiveServer
from tests.support.web.browser import PATIENCE_S
from tests.support.web.learner import Learner, give_past, signed_up

# Its own 5 s are too few on a machine that is busy.
expect.set_options(timeout=1000 * PATIENCE_S)


@pytest.fixture
def email() -> str:
    return f"{uuid.uuid4().hex[:12]}@example.com"


@pytest.fixture
def newcomer(live_server: LiveServer, email: str) -> Iterator[Learner]:
    """Who has an account, and nothing else yet."""
    learner = signed_up(live_server, email)
    yield learner
    learner.client.close()


@pytest.fixture
def learner(newcomer: Learner) -> Learner:
    """Who has studied for more than a year."""
    give_past(newcomer)
    return newcomer
