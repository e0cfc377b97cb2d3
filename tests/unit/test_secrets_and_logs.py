"""The signing secret, and what must never reach a log."""

import json
import logging
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import ValidationError

from focusup.logs import configure_logs, redact
from focusup.security.signing_key import SecretError, load_secret, secret_file
from focusup.settings import Settings

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"


def settings(directory: Path, **values: Any) -> Settings:
    return Settings(_env_file=None, data_dir=directory / "data", **values)


@pytest.fixture(autouse=True)
def no_secret_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JWT_SECRET", raising=False)


def test_a_secret_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    first = load_secret(settings(tmp_path))
    assert load_secret(settings(tmp_path)) == first
    assert len(first) >= 32
    if sys.platform != "win32":
        assert stat.S_IMODE(secret_file(settings(tmp_path)).stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["jwt_secret"]


def test_one_that_is_set_is_used_and_none_is_made(tmp_path: Path) -> None:
    assert load_secret(settings(tmp_path, jwt_secret="secrat07" * 4)) == "secrat07" * 4
    assert not (tmp_path / "data").exists()


def test_one_that_is_too_short_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="at least 32 bytes") as caught:
        settings(tmp_path, jwt_secret="s" * 31)
    assert "s" * 31 not in str(caught.value.errors(include_input=False))


@pytest.mark.parametrize("secret", ["s" * 64, "ab" * 32, "1234567" * 10])
def test_one_of_hardly_any_different_characters_does_too(tmp_path: Path, secret: str) -> None:
    with pytest.raises(ValidationError, match="different characters") as caught:
        settings(tmp_path, jwt_secret=secret)
    assert secret not in str(caught.value.errors(include_input=False))


@pytest.mark.parametrize("origins", ["*", "example.com", "https://a.example/path", "null"])
def test_origins_are_named_in_full(tmp_path: Path, origins: str) -> None:
    with pytest.raises(ValidationError, match="in full"):
        settings(tmp_path, allowed_origins=origins)
    assert settings(
        tmp_path, allowed_origins="https://a.example, http://b:80/"
    ).allowed_origins == (
        "https://a.example",
        "http://b",
    )


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    secret_file(settings(tmp_path)).parent.mkdir()
    secret_file(settings(tmp_path)).write_text("short")
    with pytest.raises(SecretError, match="damaged"):
        load_secret(settings(tmp_path))


def test_a_directory_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(SecretError, match="DATA_DIR"):
        load_secret(settings(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        f"GET /ws/sessions?token={TOKEN} 101",
        f"Authorization: Bearer {TOKEN}",
        "mongodb://ada:hunter2@db.example.com/x",
        "/ws/sessions?a=1&token=hunter2&b=2",
    ],
)
def test_secrets_are_taken_out_wherever_they_stand(text: str) -> None:
    for shown in (redact(text), redact({"a": [text]})["a"][0]):
        assert TOKEN not in shown
        assert "hunter2" not in shown
        assert "[redacted]" in shown


def test_every_logger_writes_redacted_json(capsys: pytest.CaptureFixture[str]) -> None:
    before, raises = logging.getLogger().handlers[:], logging.raiseExceptions
    try:
        configure_logs("info", terminal=False)
        structlog.get_logger("ours").info("hello", url=f"/?token={TOKEN}")
        logging.getLogger("theirs").warning("refused %s", TOKEN)
        try:
            raise RuntimeError(f"bad token {TOKEN}")
        except RuntimeError:
            structlog.get_logger("ours").exception("failed")
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    finally:
        logging.getLogger().handlers[:] = before
        logging.raiseExceptions = raises
        structlog.reset_defaults()
    assert [line["event"] for line in lines] == ["hello", "refused [redacted]", "failed"]
    assert all(TOKEN not in json.dumps(line) for line in lines)
