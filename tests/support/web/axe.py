"""What axe-core finds wrong with a page that is shown."""

from playwright.async_api import Page

from tests.support.paths import NODE
from tests.support.requirements import missing

SCRIPT = NODE / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


async def violations(page: Page) -> list[str]:
    """Each breach of WCAG 2.2 AA, with the elements that are in it."""
    if not SCRIPT.is_file():
        missing("the package axe-core is not installed: npm install --prefix tests/node")
    await page.evaluate(SCRIPT.read_text())
    found = await page.evaluate(
        "rules => axe.run(document, { runOnly: { type: 'tag', values: rules } })", RULES
    )
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
