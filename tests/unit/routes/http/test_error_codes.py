"""Codes of errors: what the source raises, the table, and the OpenAPI document."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.base import errors
from models.base.errors import DomainError
from realtime.protocol import client_messages
from routes.http.error_codes import CODES, UNROUTED_CODES
from routes.http.problems import HTTP_CODES, STATUS_OF
from tests.support.documents import openapi_of, operations, whole_app
from tests.support.paths import ROOT

FLOORS = ("models", "realtime", "routes")
SOURCES = [path for floor in FLOORS for path in (ROOT / floor).rglob("*.py")]
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, DomainError)
}


OF_COMMANDS = ("not_a_demo",)
"""Codes that only commands raise."""


def status_of(kind: type[DomainError]) -> int:
    return next(status for parent, status in STATUS_OF if issubclass(kind, parent))


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = node.func
            yield called.id if isinstance(called, ast.Name) else getattr(called, "attr", ""), node


def test_every_code_that_is_raised_is_in_the_table_with_its_status() -> None:
    raised: dict[str, int] = {}
    for path in SOURCES:
        for name, call in calls(path):
            if name in KINDS and call.args:
                (code,) = (ast.literal_eval(arg) for arg in call.args[:1])
                assert raised.setdefault(code, status_of(KINDS[name])) == status_of(KINDS[name])
            elif name == "respond" and isinstance(call.args[1], ast.Constant):
                raised[ast.literal_eval(call.args[1])] = ast.literal_eval(call.args[0])
    raised |= {code: status for status, code in HTTP_CODES.items()}
    assert raised.pop(*OF_COMMANDS)
    assert {code: CODES[code].status for code in raised} == raised
    assert {code for code, (status, _) in CODES.items() if status is not None} == set(raised)


def test_every_code_of_a_socket_alone_is_in_the_table() -> None:
    said = {*client_messages.Malformed.model_fields["code"].annotation.__args__}  # type: ignore[union-attr]
    for path in SOURCES:
        for name, call in calls(path):
            if name == "_error" and isinstance(call.args[1], ast.Constant):
                said.add(ast.literal_eval(call.args[1]))
    assert said == {code for code, (status, _) in CODES.items() if status is None}


def test_every_problem_is_documented_where_it_can_come(monkeypatch: pytest.MonkeyPatch) -> None:
    app = whole_app(monkeypatch)
    told: set[str] = set()
    for _, _, operation in operations(openapi_of(app)):
        for response in operation["responses"].values():
            told.update(response.get("$ref", "").split(".")[1:])
    of_sockets = {"already_tracking", "not_started"}
    of_metrics = {"metrics_private"}  # whose route is in no document
    of_rest = {code for code, (status, _) in CODES.items() if status is not None}
    of_rest -= of_sockets | of_metrics
    assert told == of_rest - set(UNROUTED_CODES)
