"""The history of the progress page: found, told and corrected as REST says."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Page, expect

from tests.support.socket_client import connected
from tests.support.web.learner import ZONE, Learner, clock, duration, opened, progress, table


async def listed(page: Page) -> list[str]:
    ids: list[str] = await page.eval_on_selector_all(
        "#sessions > li", "items => items.map(item => item.dataset.session)"
    )
    return ids


async def test_history_is_found_page_by_page(learner: Learner) -> None:
    everything = learner.sessions(limit=100)
    ids = [each["_id"] for each in everything]
    async with progress(learner) as page:
        assert await listed(page) == ids[:20]
        await page.locator("#more").click()
        await expect(page.locator("#sessions > li")).to_have_count(40)
        await expect(page.locator("#sessions > li:nth-child(21) summary")).to_be_focused()
        await page.locator("#more").click()
        await expect(page.locator("#found")).to_have_text("60 sessions.")
        assert await listed(page) == ids
        assert not await page.locator("#more").is_visible()

        async def finds(count: int, **query: str) -> None:
            await page.locator("#filters [type=submit]").click()
            await expect(page.locator("#sessions > li")).to_have_count(min(count, 20))
            said = learner.sessions(limit=20, **query)
            assert await listed(page) == [each["_id"] for each in said]

        await page.locator("#q").fill("chapter 5")
        await finds(11, q="chapter 5")
        await page.locator("#status").select_option("abandoned")
        await finds(2, q="chapter 5", status="abandoned")
        await page.locator("#q").fill("nothing is called so")
        await finds(0, q="nothing is called so")
        await expect(page.locator("#history-empty")).to_be_visible()
        await page.locator("#filters [type=reset]").click()
        await expect(page.locator("#sessions > li")).to_have_count(20)
        await page.locator("#filters details summary").click()
        await page.locator("#content").fill("history")
        await page.locator("#tag").fill("exam")
        await finds(0, contentId="history", tag="exam")
        await page.locator("#tag").fill("")
        await finds(20, contentId="history")
        there = datetime.fromisoformat(everything[9]["createdAt"]).astimezone(ZoneInfo(ZONE))
        await page.locator("#content").fill("")
        await page.locator("#from").fill(f"{there:%Y-%m-%d}")
        await page.locator("#to").fill(f"{there:%Y-%m-%d}")
        await page.locator("#filters [type=submit]").click()
        await expect(page.locator("#sessions > li")).to_have_count(1)
        assert await listed(page) == [ids[9]]


async def test_a_session_run_by_run(learner: Learner) -> None:
    session = next(each for each in learner.sessions() if each["title"] == "Chapter 2")
    timeline = learner.get(f"/api/sessions/{session['_id']}/timeline")["timeline"]
    assert len(timeline["runs"]) >= 6
    async with progress(learner) as page:
        item = await opened(page, session["_id"])
        rows = await table(page, f"#strip-{session['_id']}")
        widths = await item.locator("svg rect").evaluate_all(
            "all => all.map(r => +r.getAttribute('width'))"
        )
        facts = await item.locator(".facts dd").all_text_contents()
        why = await item.locator(".why .numbers").text_content()
    runs = timeline["runs"]
    assert [(row[0].lower(), row[1]) for row in rows] == [
        (run["kind"], clock(run["seconds"])) for run in runs
    ]
    begun = [datetime.fromisoformat(run["startedAt"]).astimezone(ZoneInfo(ZONE)) for run in runs]
    assert [row[3] for row in rows] == [f"{at:%-I:%M:%S} {at:%p}" for at in begun]
    assert [bool(row[2]) for row in rows] == [run["kind"] == "idle" for run in runs]
    whole = sum(run["seconds"] for run in runs)
    for width, run in zip(widths, runs, strict=True):
        assert width / sum(widths) == pytest.approx(run["seconds"] / whole, abs=0.002)
    seconds = ("activeSeconds", "idleSeconds", "pausedSeconds", "awaySeconds")
    assert facts == [
        *(clock(session[name]) for name in seconds),
        str(session["tabSwitches"]),
        f"{session['targetMinutes']:g}",
    ]
    assert why is not None
    assert why.endswith(f"= {session['focusScore']}")


async def test_a_session_is_edited(learner: Learner) -> None:
    before = learner.sessions(limit=1)[0]
    async with progress(learner) as page:
        item = await opened(page, before["_id"])
        await item.get_by_role("button", name="Edit", exact=True).click()
        await page.locator("#edit-name").fill("Chapter one")
        await page.locator("#edit-notes").fill("two\nlines")
        await page.locator("#edit-tags").fill("a, b ,")
        await page.locator("#edit-content").fill("geometry")
        await page.locator("#edit [type=submit]").click()
        await expect(page.locator("#said")).to_have_text("Saved.")
        await expect(item.locator("summary strong").first).to_have_text("Chapter one")
        await expect(item.locator("summary").first).to_be_focused()
        after = learner.session(before["_id"])
        assert (after["title"], after["notes"], after["tags"], after["contentId"]) == (
            *("Chapter one", "two\nlines", ["a", "b"]),
            "geometry",
        )
        assert (after["edited"], after["focusScore"]) == (False, before["focusScore"])

        await item.get_by_role("button", name="Edit", exact=True).click()
        await page.locator("#counters summary").click()
        await page.locator("#edit-active").fill("600")
        await page.locator("#edit-idle").fill("30")
        await page.locator("#edit [type=submit]").click()
        await expect(item.locator(".edits summary")).to_have_text("1 edit")
        now = learner.session(before["_id"])
        assert (now["activeSeconds"], now["idleSeconds"], now["edited"]) == (600, 30, True)
        await expect(item.locator(".score b")).to_have_text(str(now["focusScore"]))
        focused = learner.stats()["focusedSeconds"]
        await expect(page.locator("#sums dd").first).to_have_text(duration(focused))
        await item.locator(".edits summary").click()
        await expect(item.locator(".edits .numbers")).to_contain_text(
            f"{clock(before['activeSeconds'])} active"
        )


async def test_a_comma_in_a_tag_survives(newcomer: Learner) -> None:
    body = {"title": "Vectors", "tags": ["Algebra, linear"]}
    session = newcomer.client.post("/api/sessions", json=body).json()["session"]
    async with progress(newcomer) as page:
        item = await opened(page, session["_id"])
        await item.get_by_role("button", name="Edit", exact=True).click()
        await expect(page.locator("#edit-tags")).to_have_value('"Algebra, linear"')
        await page.locator("#edit-name").fill("Matrices")
        await page.locator("#edit [type=submit]").click()
        await expect(item.locator("summary strong").first).to_have_text("Matrices")
        assert newcomer.session(session["_id"])["tags"] == ["Algebra, linear"]
        await item.get_by_role("button", name="Edit", exact=True).click()
        await page.locator("#edit-tags").fill('"Algebra, linear", exam')
        await page.locator("#edit [type=submit]").click()
        await expect(item.locator(".labels .badge")).to_have_text(["#Algebra, linear", "#exam"])


async def test_what_is_too_long_is_said_at_the_field(learner: Learner) -> None:
    before = learner.sessions(limit=1)[0]
    async with progress(learner, expected="status of 422") as page:
        item = await opened(page, before["_id"])
        await item.get_by_role("button", name="Edit", exact=True).click()
        await page.locator("#edit-name").fill("😀" * 201)
        await page.locator("#edit [type=submit]").click()
        await expect(page.locator("#edit-name-wrong")).to_have_text("Use up to 200 characters.")
        await page.locator("#edit-name").fill("😀" * 200)
        await page.locator("#edit [type=submit]").click()
        await expect(item.locator("summary strong").first).to_have_text("😀" * 200)


async def test_idle_time_becomes_active(learner: Learner) -> None:
    before = learner.sessions(limit=1)[0]
    async with progress(learner) as page:
        item = await opened(page, before["_id"])
        await item.locator("figure summary").click()
        await item.locator("figure button").first.click()
        await expect(page.locator("#reassign-run")).to_contain_text("Idle")
        await page.locator("#reassign [type=submit]").click()
        await expect(page.locator("#reassign")).to_be_visible()  # a reason is needed
        await page.locator("#reason").fill("read on paper")
        await page.locator("#reassign [type=submit]").click()
        await expect(item.locator(".edits .notes")).to_have_text("“read on paper”")
        after = learner.session(before["_id"])
        assert after["idleSeconds"] == 0
        assert after["activeSeconds"] == before["elapsedSeconds"]
        await expect(item.locator(".score b")).to_have_text(str(after["focusScore"]))
        assert await item.locator("figure button").count() == 0


async def test_counters_of_a_tracked_session_are_left_alone(learner: Learner) -> None:
    session = learner.client.post("/api/sessions", json={"title": "Running"}).json()["session"]
    async with connected(learner.server, learner.id) as tab, progress(learner) as page:
        await tab.start(session["_id"])
        await tab.next("tick")
        item = await opened(page, session["_id"])
        assert await item.locator("figure button").count() == 0
        await item.get_by_role("button", name="Edit", exact=True).click()
        await page.locator("#counters summary").click()
        await expect(page.locator("#edit-active")).to_be_disabled()
        await page.locator("#edit-name").fill("Still running")
        await page.locator("#edit [type=submit]").click()
        await expect(item.locator("summary strong").first).to_have_text("Still running")
    assert learner.session(session["_id"])["edited"] is False


async def test_a_refusal_is_said_where_it_belongs(learner: Learner) -> None:
    session = learner.sessions(limit=1)[0]
    async with progress(learner, expected="status of 40") as page:
        item = await opened(page, session["_id"])
        await item.get_by_role("button", name="Edit", exact=True).click()
        learner.client.delete(f"/api/sessions/{session['_id']}").raise_for_status()
        await page.locator("#edit-name").fill("Too late")
        await page.locator("#edit [type=submit]").click()
        refused = learner.client.get(f"/api/sessions/{session['_id']}").json()["detail"]
        await expect(page.locator("#edit [data-wrong]")).to_have_text(refused)
        await expect(page.locator("#edit [type=submit]")).to_be_enabled()
        await expect(page.locator("#edit-name")).to_have_value("Too late")


async def test_a_session_is_deleted_if_that_is_meant(learner: Learner) -> None:
    session = learner.sessions(limit=1)[0]
    async with progress(learner) as page:
        item = await opened(page, session["_id"])
        await item.get_by_role("button", name="Delete", exact=True).click()
        await page.locator("#delete [data-close]").click()
        assert learner.session(session["_id"]) == session
        await item.get_by_role("button", name="Delete", exact=True).click()
        await page.locator("#delete [type=submit]").click()
        await expect(item).to_have_count(0)
        assert learner.client.get(f"/api/sessions/{session['_id']}").status_code == 404
        focused = learner.stats()["focusedSeconds"]
        await expect(page.locator("#sums dd").first).to_have_text(duration(focused))
