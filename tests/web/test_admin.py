"""The dashboard in a real Chromium: it says what the API says, goes on saying it, and lets
itself be used meanwhile."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from tests.support.live_server import LiveServer, running_server
from tests.support.requirements import require
from tests.support.socket_client import connected, new_session
from tests.support.web.axe import violations
from tests.support.web.browser import FLAGS, PASSWORD, watched, window
from tests.support.web.dashboard import PERSONS, give_past

STATUSES = ("completed", "abandoned", "cancelled")
OF_METRICS = ("activeUsersNow", "visitorsNow", "activeVisits", "visitorsToday", "totalVisits")
NONE = "\N{EN DASH}"
REFRESH_S, PATIENCE_MS = 10, 12_000

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp("empty")) as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp("dashboard")) as server:
        give_past(server)
        yield server


def told(server: LiveServer, path: str, **query: str) -> dict[str, Any]:
    """What an admin is answered."""
    with server.rest("root", role="admin") as client:
        answer = client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def done(server: LiveServer, method: str, path: str, **options: Any) -> None:
    with server.rest("root", role="admin") as client:
        client.request(method, path, **options).raise_for_status()


def account(server: LiveServer) -> str:
    """What a browser keeps of an admin who is signed in there."""
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    who = {"id": "root", "email": "root@example.com", "role": "admin"}
    token = server.token("root", role="admin")
    kept = {"token": token, "refreshToken": "none", "user": who}
    return json.dumps({**kept, "expiresAt": expires_at.isoformat()})


@dataclass
class Shown:
    page: Page
    requests: list[str] = field(default_factory=list)

    def asked(self, path: str) -> int:
        """How often this was asked for until now."""
        return sum(path in request for request in self.requests)

    async def numbers(self, chart: str) -> list[list[str]]:
        """The rows behind "Show numbers"."""
        return await self.table(f"#{chart} tbody")

    async def table(self, body: str) -> list[list[str]]:
        rows: list[list[str]] = await self.page.locator(body).evaluate(
            "body => [...body.rows].map(row => [...row.cells].map(cell => cell.textContent))"
        )
        return rows


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    chromium = require("chromium", "the dashboard is shown in it")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        await browser.close()


@asynccontextmanager
async def showing(
    browser: Browser,
    server: LiveServer,
    *,
    kept: str | None = None,
    clock: bool = False,
    expected: str = "nothing",
    **options: Any,
) -> AsyncIterator[Shown]:
    """The dashboard in a profile of its own, with what it keeps in its storage; nothing may
    go wrong in it, but what the console is `expected` to tell."""
    context = await browser.new_context(**options)
    watch = watched(context, server.url)
    page = await context.new_page()
    shown = Shown(page)
    page.on("request", lambda request: shown.requests.append(request.url))
    page.on("websocket", lambda socket: shown.requests.append(socket.url))
    if clock:
        await page.clock.install()
    if kept:
        await page.add_init_script(f"localStorage['focusup.account'] ??= {json.dumps(kept)}")
    await page.goto(f"{server.url}/admin")
    yield shown
    await context.close()
    assert [wrong for wrong in watch.wrong if expected not in wrong] == []


@asynccontextmanager
async def dashboard(browser: Browser, server: LiveServer, **options: Any) -> AsyncIterator[Shown]:
    """The same for an admin, once all figures are there."""
    async with showing(browser, server, kept=account(server), **options) as shown:
        for figure in ("#count-sockets", "#count-trackedNow", "#count-totalVisits", "#fact-views"):
            await expect(shown.page.locator(figure)).not_to_have_text(NONE)
        yield shown


def run_cli(server: LiveServer, directory: Path, command: list[str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "focusup", *command],
        env={
            **os.environ,
            "DATA_DIR": str(server.data_dir),
            "MONGODB_DATABASE": server.database,
        },
        cwd=directory,
        check=True,
        timeout=30,
    )


def duration(seconds: float) -> str:
    """As the page tells it."""
    minutes = int(seconds // 60)
    if not minutes:
        return f"{int(seconds + 0.5)} s"
    hours, rest = divmod(minutes, 60)
    return " ".join([*([f"{hours} h"] if hours else []), *([f"{rest} min"] if rest else [])])


def optional(seconds: float | None) -> str:
    return NONE if seconds is None else duration(seconds)


def named(day: str) -> str:
    found = date.fromisoformat(day)
    return f"{found:%b} {found.day}, {found.year}"


def page_row(row: dict[str, Any], name: str) -> list[str]:
    seconds = (row["visibleSeconds"], row["engagedSeconds"])
    return [
        name,
        *(str(row[key]) for key in ("views", "neverVisible", "visitors")),
        *(
            text
            for kind in seconds
            for text in (duration(kind["total"]), optional(kind["mean"]), optional(kind["median"]))
        ),
    ]


# --- what it says ---------------------------------------------------------------------------


async def test_the_figures_are_those_of_the_api(browser: Browser, server: LiveServer) -> None:
    metrics = told(server, "/api/admin/metrics")
    focus = told(server, "/api/admin/metrics/sessions")
    assert min(metrics["totalVisits"], metrics["activeUsersNow"], len(focus["topContent"])) > 0
    async with dashboard(browser, server) as shown:
        for name in OF_METRICS:
            count = shown.page.locator(f"#count-{name}")
            await expect(count).to_have_text(str(metrics[name]))
        days = [(named(each["date"]), each) for each in metrics["dailyActivity"]]
        assert await shown.numbers("daily") == [
            [day, *(str(each[name]) for name in ("logins", "appOpens", "actions"))]
            for day, each in days
        ]
        assert await shown.numbers("by-day") == [
            [named(each["date"]), str(each["logins"]), str(each["signups"])]
            for each in metrics["activityByDay"]
        ]
        monthly = [row[1] for row in await shown.numbers("monthly")]
        assert monthly == [str(each["logins"]) for each in metrics["monthlyLogins"]]
        assert await shown.numbers("ended") == [
            [named(each["date"]), *(str(each[name]) for name in STATUSES)]
            for each in focus["byDay"]
        ]
        hours = [float(row[1].removesuffix(" h")) for row in await shown.numbers("hours")]
        assert hours == pytest.approx([day["focusedHours"] for day in focus["byDay"]], abs=0.051)
        for chart, name, factor in (
            ("rate", "completionRate", 100),
            ("score", "meanFocusScore", 1),
        ):
            shares = [float(row[1].rstrip("%")) for row in await shown.numbers(chart)]
            known = [day[name] * factor for day in focus["byDay"] if day[name] is not None]
            assert shares == pytest.approx(known, abs=0.501)
        assert [row[:2] for row in await shown.table("#contents")] == [
            [each["contentId"], str(each["sessions"])] for each in focus["topContent"]
        ]


async def test_page_engagement_by_range_rank_and_hour(browser: Browser, server: LiveServer) -> None:
    async with dashboard(browser, server) as shown:
        page = shown.page

        async def agrees(days: int, sort: str, by: str) -> None:
            since = str((datetime.now(UTC) - timedelta(days=days - 1)).date())
            query = {"from": since, "sort": sort, "by": by}
            found = told(server, "/api/stats/pages", **query)
            assert len(found["pages"]) > 1
            await expect(page.locator("#views tbody tr")).to_have_count(len(found["series"]))
            await expect(page.locator("#pages tr th").first).to_have_text(found["pages"][0]["page"])
            assert await shown.table("#pages") == [
                page_row(row, row["page"]) for row in found["pages"]
            ]
            assert await shown.table("#pages-total") == [page_row(found["total"], "All pages")]
            assert [row[1:] for row in await shown.numbers("views")] == [
                [str(each["views"] - each["neverVisible"]), str(each["neverVisible"])]
                for each in found["series"]
            ]
            stats = told(server, "/api/stats", **{"from": since})["stats"]
            await expect(page.locator("#fact-users")).to_have_text(str(stats["users"]))
            for kind in ("visible", "engaged"):
                per_user = optional(stats[f"{kind}Seconds"]["perUser"])
                await expect(page.locator(f"#fact-{kind}PerUser")).to_have_text(per_user)

        await agrees(7, "visibleSeconds", "day")
        await page.locator("#sort").select_option("page")
        await agrees(7, "page", "day")
        sorted_by = page.locator('[data-sorted="page"]')
        await expect(sorted_by).to_have_attribute("aria-sort", "ascending")
        await page.locator("label", has_text="Today").click()
        await page.locator("#range label", has_text="Hour").click()
        await agrees(1, "page", "hour")
        await page.locator("label", has_text="90 days").click()
        await expect(page.locator('input[value="hour"]')).to_be_disabled()
        await agrees(90, "page", "day")


async def test_users_page_by_page_and_the_sessions_of_one(
    browser: Browser, server: LiveServer
) -> None:
    everybody = told(server, "/api/admin/users", limit="100")["users"]
    assert len(everybody) >= PERSONS
    names = [user["email"] or user["id"] for user in everybody]
    async with dashboard(browser, server) as shown:
        page = shown.page
        pager = page.locator("#users-pager")
        await expect(page.locator("#users tr")).to_have_count(10)
        seen = [row[0] for row in await shown.table("#users")]
        while await pager.locator("[data-next]").get_attribute("aria-disabled") == "false":
            await pager.locator("[data-next]").click()
            await expect(page.locator("#users th").first).to_have_text(names[len(seen)])
            seen += [row[0] for row in await shown.table("#users")]
        assert seen == names
        await pager.locator("[data-previous]").click()
        someone = next(user for user in everybody[10:20] if user["sessions"])
        await page.get_by_role("button", name=f"Sessions of {someone['id']}").click()
        sessions = told(server, f"/api/admin/users/{someone['id']}/sessions", limit="10")
        await expect(page.locator("#sessions tr")).to_have_count(len(sessions["sessions"]))
        rows = await shown.table("#sessions")
        assert [(row[4], row[5], row[7]) for row in rows] == [
            (
                duration(each["activeSeconds"]),
                duration(each["idleSeconds"]),
                NONE if each["focusScore"] is None else f"{each['focusScore']:,}",
            )
            for each in sessions["sessions"]
        ]
        await page.keyboard.press("Escape")
        await expect(page.locator("#user")).to_be_hidden()
        focused = page.get_by_role("button", name=f"Sessions of {someone['id']}")
        await expect(focused).to_be_focused()


async def test_attention_coefficients_are_set_changed_and_deleted(
    browser: Browser, server: LiveServer
) -> None:
    def stored() -> dict[str, float]:
        found = told(server, "/api/admin/page-coefficients")["pageCoefficients"]
        return {each["pattern"]: each["coefficient"] for each in found}

    async with dashboard(browser, server) as shown:
        page = shown.page
        await page.get_by_label("Coefficient", exact=True).fill("0")
        await page.get_by_role("button", name="Set", exact=True).click()
        await expect(page.locator("#pattern-wrong")).not_to_be_empty()
        await expect(page.locator("#value-wrong")).not_to_be_empty()
        await expect(page.get_by_label("Page or pattern")).to_be_focused()
        assert stored() == {}
        await page.locator("#pattern").fill("/texts/*")
        await page.locator("#value").fill("2.5")
        await page.keyboard.press("Enter")
        await expect(page.locator("#coefficients tr")).to_have_count(1)
        assert stored() == {"/texts/*": 2.5}
        await page.get_by_role("button", name="Change /texts/*").click()
        await page.locator("#value").fill("4")
        await page.keyboard.press("Enter")
        await expect(page.locator("#coefficients td").first).to_have_text("4")
        assert stored() == {"/texts/*": 4}
        await page.get_by_role("button", name="Delete /texts/*").click()
        await expect(page.locator("#coefficients-empty")).to_be_visible()
        assert stored() == {}
        await expect(page.locator("#pattern")).to_have_value("/texts/*")


async def test_nothing_is_said_to_be_nothing(browser: Browser, empty: LiveServer) -> None:
    async with dashboard(browser, empty) as shown:
        for name in ("contents", "pages", "users", "coefficients"):
            await expect(shown.page.locator(f"#{name}-empty")).to_be_visible()
        for chart in ("ended", "hours", "rate", "score", "daily", "monthly", "views", "time"):
            await expect(shown.page.locator(f"#{chart}")).to_have_text("Nothing yet.")


# --- it stays fresh -------------------------------------------------------------------------


async def test_a_session_that_begins_elsewhere_is_counted_and_uncounted(
    browser: Browser,
    server: LiveServer,
) -> None:
    async with dashboard(browser, server) as shown:
        tracked, sockets = (shown.page.locator(f"#count-{n}") for n in ("trackedNow", "sockets"))
        await expect(tracked).to_have_text("0")
        await expect(sockets).to_have_text("0")
        session = new_session(server, "elsewhere")
        async with connected(server, "elsewhere") as tab:
            await tab.start(session)
            await expect(tracked).to_have_text("1", timeout=PATIENCE_MS)
            await expect(sockets).to_have_text("1")
            await tab.ask("stop", "stopped")
        await expect(tracked).to_have_text("0", timeout=PATIENCE_MS)
        await expect(sockets).to_have_text("0")


async def test_a_refresh_leaves_what_one_is_at(browser: Browser, server: LiveServer) -> None:
    async with dashboard(browser, server, clock=True) as shown:
        page = shown.page
        logins = int((await shown.numbers("daily"))[-1][1])
        await page.locator("#daily summary").click()
        chart = await page.locator("#daily svg").element_handle()
        button = page.locator("#users button").nth(5)
        await button.focus()
        at = await page.evaluate("scrollY")
        assert at > 0
        done(server, "POST", "/api/track-event", json={"type": "login"})
        await page.clock.run_for(REFRESH_S * 1000)
        shown_logins = page.locator("#daily tbody tr").last.locator("td").nth(1)
        await expect(shown_logins).to_have_text(str(logins + 1))
        await expect(page.locator("#daily details")).to_have_attribute("open", "")
        await expect(button).to_be_focused()
        assert await page.evaluate("scrollY") == at
        assert chart is not None
        assert await chart.evaluate("chart => chart.isConnected")


async def test_it_can_be_paused_and_goes_on_at_once(browser: Browser, server: LiveServer) -> None:
    async with dashboard(browser, server, clock=True) as shown:
        page = shown.page
        await page.get_by_role("button", name="Pause refreshing").click()
        await expect(page.locator("#as-of")).to_contain_text("paused")
        before = shown.asked("/api/")
        await page.clock.run_for(60_000)
        assert shown.asked("/api/") == before
        async with page.expect_response("**/api/admin/metrics"):
            await page.get_by_role("button", name="Refresh now").click()
        await page.clock.run_for(60_000)
        assert shown.asked("/api/admin/metrics/sessions") == 2
        async with page.expect_response("**/api/health"):
            await page.get_by_role("button", name="Resume refreshing").click()
        async with page.expect_response("**/api/health"):
            await page.clock.run_for(REFRESH_S * 1000)


async def test_what_was_not_answered_is_not_asked_again(
    browser: Browser, server: LiveServer
) -> None:
    async with dashboard(browser, server, clock=True) as shown:
        page = shown.page
        let_go = asyncio.Event()

        async def hold(route: Route) -> None:
            await let_go.wait()
            await route.continue_()

        await page.route("**/api/health", hold)
        before = shown.asked("/api/health")
        for _ in range(2):  # within the time in which an answer is waited for
            async with page.expect_response("**/api/admin/metrics"):
                await page.clock.run_for(REFRESH_S * 1000)
        assert shown.asked("/api/health") == before + 1
        await expect(page.locator("#old")).to_contain_text("Data is out of date (last update")
        let_go.set()
        await expect(page.locator("#old")).to_be_hidden()


async def test_nobody_looks_and_nothing_is_asked(server: LiveServer, tmp_path: Path) -> None:
    async with window(tmp_path / "profile", server.url) as context:
        page = context.pages[0]
        shown = Shown(page)
        page.on("request", lambda request: shown.requests.append(request.url))
        await page.goto(f"{server.url}/docs")
        await page.evaluate("kept => localStorage['focusup.account'] = kept", account(server))
        await page.goto(f"{server.url}/admin")
        await expect(page.locator("#count-totalVisits")).not_to_have_text(NONE)
        other = await context.new_page()
        await other.bring_to_front()
        await page.wait_for_timeout(500)
        before = shown.asked("/api/")
        await page.wait_for_timeout((REFRESH_S + 2) * 1000)
        assert shown.asked("/api/") == before
        async with page.expect_response("**/api/admin/metrics", timeout=3000):
            await page.bring_to_front()


async def test_figures_that_are_old_say_so_until_they_are_not(
    browser: Browser, tmp_path: Path
) -> None:
    with running_server(tmp_path) as server:
        async with showing(browser, server, kept=account(server)) as shown:
            page, old = shown.page, shown.page.locator("#old")
            await expect(page.locator("#count-totalVisits")).to_have_text("0")
            server.stop()
            await expect(old).to_contain_text("Data is out of date", timeout=PATIENCE_MS)
            await expect(old).to_contain_text("can't be reached")
            as_of = (await page.locator("#as-of").inner_text()).split()[2].strip(",.")
            assert as_of in await old.inner_text()
            datetime.strptime(as_of, "%H:%M:%S").replace(tzinfo=UTC)
            server.start()
            done(server, "POST", "/api/track-visit", json={"sessionId": "new"})
            await expect(old).to_be_hidden(timeout=PATIENCE_MS)
            await expect(page.locator("#count-totalVisits")).to_have_text("1", timeout=PATIENCE_MS)


# --- who sees it ----------------------------------------------------------------------------


async def test_who_is_signed_out_comes_back_after_signing_in(
    browser: Browser, empty: LiveServer
) -> None:
    async with showing(browser, empty) as shown:
        await shown.page.wait_for_url(f"{empty.url}/?next=%2Fadmin")


async def test_a_user_is_told_how_to_become_an_admin(
    browser: Browser, empty: LiveServer, user: str, tmp_path: Path
) -> None:
    email = f"{user}@example.com"
    async with showing(browser, empty) as shown:
        page = shown.page
        await page.wait_for_url("**/?next=*")
        await page.get_by_role("tab", name="Sign up").click()
        await page.get_by_label("E-mail").fill(email)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_label("Password").press("Enter")
        await expect(page.locator("#command")).to_have_text(f"focusup admin add {email}")
        await expect(page.locator("#dashboard")).to_be_hidden()
        assert await violations(page) == []
        await page.get_by_role("button", name="Check again").click()
        await expect(page.locator("#checked")).to_have_text("You're not an admin yet.")
        assert shown.asked("/api/admin") == 0
        command = (await page.locator("#command").inner_text()).split()[1:]
        run_cli(empty, tmp_path, [*command, "--yes"])
        await page.get_by_role("button", name="Check again").click()
        await expect(page.locator("#users th")).to_have_text(email)


async def test_who_is_an_admin_no_more_is_told(browser: Browser, empty: LiveServer) -> None:
    kept = json.loads(account(empty)) | {"token": empty.token("root")}
    async with showing(browser, empty, kept=json.dumps(kept), expected="status of 403") as shown:
        await expect(shown.page.locator("#command")).to_contain_text("root@example.com")
        await expect(shown.page.locator("#dashboard")).to_be_hidden()


async def test_looking_at_it_is_not_counted(browser: Browser, empty: LiveServer) -> None:
    before = told(empty, "/api/admin/metrics")
    async with dashboard(browser, empty) as shown:
        assert shown.asked("/ws/") == shown.asked("/api/track-") == 0
        assert shown.asked("/api/heartbeat") == 0
    assert told(empty, "/api/admin/metrics") == before


# --- everybody can use it -------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("what", ["empty", "server"])
async def test_axe_finds_nothing(
    browser: Browser, scheme: str, what: str, request: pytest.FixtureRequest
) -> None:
    shown_of = request.getfixturevalue(what)
    full = what == "server"
    if full:
        body = {"pattern": f"/{scheme}*", "coefficient": 2}
        done(shown_of, "PUT", "/api/admin/page-coefficients", json=body)
    async with dashboard(browser, shown_of, color_scheme=scheme) as shown:
        assert await violations(shown.page) == []
        if full:
            for summary in await shown.page.locator("summary").all():
                await summary.click()
            assert await violations(shown.page) == []
            await shown.page.locator("#users button").first.click()
            await expect(shown.page.locator("#user")).to_be_visible()
            assert await violations(shown.page) == []
    if full:
        query = {"pattern": f"/{scheme}*"}
        done(shown_of, "DELETE", "/api/admin/page-coefficients", params=query)


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1600])
async def test_no_page_is_wider_than_its_window(
    browser: Browser, server: LiveServer, width: int
) -> None:
    async with dashboard(browser, server, viewport={"width": width, "height": 800}) as shown:
        await expect(shown.page.locator("#users tr").first).to_be_visible()
        assert await shown.page.evaluate("document.documentElement.scrollWidth") <= width
