"""The alerts of deploy/prometheus, as Prometheus itself reads them, and what the document on
operations says of alerts and figures."""

import re
import subprocess

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.live_server import LiveServer
from tests.support.paths import ROOT
from tests.support.requirements import require

DIRECTORY = ROOT / "deploy" / "prometheus"
ALERTS = (DIRECTORY / "alerts.yml").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
NAMES = re.compile(r"\b(?:focusup|process)_\w+\b")


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "rules", "alerts.yml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "alerts.test.yml"],
    ],
    ids=["rules", "scrape", "behaviour"],
)
def test_prometheus_takes_them(arguments: list[str]) -> None:
    promtool = require("promtool", "Prometheus' own check of our alerts")
    ran = subprocess.run(
        [promtool, *arguments], cwd=DIRECTORY, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def told(live_server: LiveServer) -> dict[str, set[str]]:
    """The labels of each sample that a real server tells, by its name."""
    names: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(httpx.get(f"{live_server.url}/metrics").text):
        names.setdefault(family.name, set())
        for sample in family.samples:
            names.setdefault(sample.name, set()).update(sample.labels)
    return names


def test_alerts_ask_for_nothing_that_is_not_told(told: dict[str, set[str]]) -> None:
    asked = set(NAMES.findall(ALERTS))
    assert len(asked) >= 10
    assert asked <= set(told)
    for name, conditions in re.findall(r"(focusup_\w+)\{([^}]*)\}", ALERTS):
        assert set(re.findall(r"(\w+)=~?\"", conditions)) <= told[name], name


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    alerts = ALERTS.split("- alert: ")[1:]
    assert len(alerts) == 10
    for alert in alerts:
        assert re.search(r"severity: (critical|warning)\n", alert), alert
        assert re.search(r"summary: \"[^\"]+\"\n +description: >-\n +\S", alert), alert


def test_the_document_tells_of_every_figure_and_every_alert(told: dict[str, set[str]]) -> None:
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in told}
    ours = {name for name in families if name.startswith("focusup_")}
    ours -= {name for name in ours if f"{name}_total" in ours}
    assert {name for name in NAMES.findall(OPERATIONS) if name.startswith("focusup_")} == ours
    for alert in re.findall(r"- alert: (\w+)", ALERTS):
        assert f"`{alert}`" in OPERATIONS
