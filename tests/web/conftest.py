"""Fixtures of the tests of pages."""

import uuid

import pytest


@pytest.fixture
def email() -> str:
    return f"{uuid.uuid4().hex[:12]}@example.com"
