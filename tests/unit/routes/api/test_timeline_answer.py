"""A long timeline is written in pieces, between which other threads have their turn."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel

from models.sessions.timeline_view import EditView, timeline_view
from routes.api.sessions import TimelineBody, timeline_answer
from tests.support.study import past_session

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize("edits", [0, 1, 3])
async def test_a_timeline_is_written_edit_by_edit(
    monkeypatch: pytest.MonkeyPatch, edits: int
) -> None:
    session = past_session("ada", NOW - timedelta(hours=1), active=60, idle=40, parts=4)
    names = ("timeline", "targetMinutes", "elapsedSeconds", "activeSeconds", "idleSeconds")
    others = ("tabSwitches", "focusScore", "scoreBreakdown", "edited")
    before = {name: session[name] for name in (*names, *others)}
    edit = {"editedAt": NOW, "what": "counters", "reason": '"]}', "before": before}
    document = {**session, "edits": [edit] * edits}
    timeline = timeline_view(document, now=NOW, tracked=False)
    assert len(timeline.edits) == edits
    expected = TimelineBody(timeline=timeline).model_dump_json()
    written = []
    dump = BaseModel.model_dump_json

    def noted(model: BaseModel) -> str:
        written.append(model)
        return dump(model)

    monkeypatch.setattr(BaseModel, "model_dump_json", noted)
    answer = timeline_answer(timeline)
    assert await answer.get_data(as_text=True) == expected
    assert answer.content_type == "application/json"
    bodies = [model.timeline for model in written if isinstance(model, TimelineBody)]
    assert [body.edits for body in bodies] == [[]]
    assert sum(isinstance(model, EditView) for model in written) == edits
