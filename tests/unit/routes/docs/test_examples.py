"""Examples in the OpenAPI document: every body has one, and each keeps to its schema."""

from typing import Any

import pytest

from routes.docs import examples
from routes.docs.answer_examples import EXAMPLES
from scoring.focus import focus_score
from tests.support.documents import Json, openapi_of, operations, resolved, rules, whole_app


@pytest.fixture
def document(monkeypatch: pytest.MonkeyPatch) -> Json:
    app = whole_app(monkeypatch)
    return openapi_of(app)


def bodies(document: Json) -> list[tuple[str, str, Json]]:
    """Operation, media type and description of each body, sent or answered."""
    found = []
    for method, path, operation in operations(document):
        request = operation.get("requestBody", {})
        for body in (request, *operation["responses"].values()):
            for media_type, described in resolved(document, body).get("content", {}).items():
                found.append((f"{method} {path}", media_type, described))
    return found


def values(described: Json) -> list[Any]:
    several = [example["value"] for example in described.get("examples", {}).values()]
    return [described["example"], *several] if "example" in described else several


def test_every_body_has_an_example_that_keeps_to_its_schema(document: Json) -> None:
    seen = 0
    for operation, media_type, described in bodies(document):
        if media_type.endswith("json"):
            assert values(described), (operation, media_type)
        for example in values(described):
            rules(document, described["schema"]).validate(example)
            seen += 1
    assert seen > 200


def test_the_model_reads_what_its_example_says() -> None:
    for example in examples.BODIES:
        sent = example.model_dump_json(exclude_unset=True)
        assert type(example).model_validate_json(sent) == example


def test_every_example_is_of_a_body_that_there_is(document: Json) -> None:
    references = [described["schema"].get("$ref", "") for *_, described in bodies(document)]
    used = {reference.rpartition("/")[2] for reference in references}
    assert {model.__name__ for model in EXAMPLES} <= used


def test_the_numbers_of_the_examples_come_to_each_other() -> None:
    ended, runs = examples.ENDED, examples.TIMELINE.runs
    assert ended.elapsed_seconds == ended.active_seconds + ended.idle_seconds
    assert sum(run.seconds for run in runs) == ended.elapsed_seconds
    assert ended.started_at is not None
    assert ended.ended_at is not None
    assert (ended.ended_at - ended.started_at).total_seconds() == ended.elapsed_seconds
    assert (
        focus_score(
            elapsed_seconds=ended.elapsed_seconds,
            active_seconds=ended.active_seconds,
            idle_seconds=ended.idle_seconds,
            tab_switches=ended.tab_switches,
            target_minutes=ended.target_minutes,
        ).focus_score
        == ended.focus_score
        == examples.STATS.best_focus_score
    )
