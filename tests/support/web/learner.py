"""Somebody with a past, and the progress page in a browser in which they are signed in."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from playwright.async_api import Locator, Page, expect
from pymongo import MongoClient

from tests.support.live_server import LiveServer
from tests.support.study import past_session
from tests.support.web.browser import PASSWORD, at

ZONE = "Europe/Berlin"
SESSIONS = 60


@dataclass(frozen=True)
class Learner:
    """Signed up over REST, with the client that speaks for them."""

    server: LiveServer
    email: str
    signed_in: dict[str, Any]
    client: httpx.Client

    @property
    def id(self) -> str:
        return str(self.signed_in["user"]["id"])

    def get(self, path: str, **query: Any) -> Any:
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stats(self) -> Any:
        return self.get("/api/stats/me")["stats"]

    def sessions(self, **query: Any) -> Any:
        return self.get("/api/sessions", **query)["sessions"]

    def session(self, session_id: str) -> Any:
        return self.get(f"/api/sessions/{session_id}")["session"]

    def give(self, *documents: dict[str, Any]) -> None:
        with MongoClient[dict[str, Any]](self.server.mongodb_uri, tz_aware=True) as client:
            client[self.server.database].sessions.insert_many(documents)


def signed_up(server: LiveServer, email: str) -> Learner:
    client = server.rest(None)
    body = {"email": email, "password": PASSWORD, "timeZone": ZONE}
    answer = client.post("/api/auth/signup", json=body)
    assert answer.status_code == 201, answer.text
    client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    return Learner(server, email, answer.json(), client)


def give_past(learner: Learner) -> None:
    """Goals, and a session a week or so for more than a year."""
    chance, now = random.Random(7), datetime.now(UTC)
    learner.give(
        *(
            past_session(
                learner.id,
                now - number * timedelta(days=7, hours=1) - timedelta(hours=2),
                active=chance.randrange(300, 5000),
                idle=chance.randrange(60, 300),
                paused=chance.choice([0, 90.5]),
                zone=ZONE,
                content=(None, "algebra", "history")[number % 3],
                tags=(("exam",), ("exam", "hard"), ())[number % 3],
                title=f"Chapter {number}",
                status="abandoned" if number % 5 == 4 else "completed",
                tab_switches=number % 4,
                parts=1 + number % 3,
            )
            for number in range(SESSIONS)
        )
    )
    goals = {"dailyMinutes": 30, "weeklyMinutes": 100, "sessionsPerDay": 1}
    learner.client.put("/api/goals", json=goals).raise_for_status()


@asynccontextmanager
async def progress(
    learner: Learner,
    *,
    width: int = 1280,
    zone: str = ZONE,
    script: str = "",
    expected: str | None = None,
    **options: Any,
) -> AsyncIterator[Page]:
    """The page of this learner, once it is all there; `script` runs in it before its own."""
    url = learner.server.url
    kept = {"name": "focusup.account", "value": json.dumps(learner.signed_in)}
    options |= {
        "storage_state": {"cookies": [], "origins": [{"origin": url, "localStorage": [kept]}]},
        "timezone_id": zone,
        "viewport": {"width": width, "height": 900},
    }
    async with at(url, expected=expected, **options) as context:
        await context.add_init_script(script)
        page = await context.new_page()
        await page.goto(f"{url}/me")
        await expect(page.locator("#progress")).to_be_visible()
        if not await page.locator("#invite").is_visible():
            await expect(page.locator("#sessions > li").first).to_be_visible()
            await expect(page.locator("#by-tag")).not_to_be_empty()
            await expect(page.locator("#year-map svg")).to_be_visible()
        yield page


async def opened(page: Page, session_id: str) -> Locator:
    """A session of the history, shown in its place."""
    item = page.locator(f'[data-session="{session_id}"]')
    await item.locator("summary").first.click()
    await expect(item.locator(".facts")).to_be_visible()
    return item


async def table(page: Page, place: str) -> list[list[str]]:
    """The numbers of a chart."""
    rows: list[list[str]] = await page.eval_on_selector_all(
        f"{place} tbody tr", "rows => rows.map(row => [...row.cells].map(c => c.textContent))"
    )
    return rows


def clock(seconds: int) -> str:
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: int) -> str:
    hours, minutes = seconds // 3600, seconds // 60 % 60
    parts = [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes)
    return " ".join(parts) if seconds >= 60 else f"{seconds} s"
