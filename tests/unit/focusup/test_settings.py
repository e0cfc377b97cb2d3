"""Settings are what the operator wrote, wherever they were written."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from focusup.settings import Settings
from focusup.settings_sources import settings_in, unquoted

NAMES = {name.upper() for name in Settings.model_fields}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def of_file(text: str) -> Settings:
    Path(".env").write_text(text, "utf-8")
    return Settings()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=x", "x"),
        ("A = x ", "x"),
        ("export A=x", "x"),
        ('A="x"', "x"),
        ("A='x'", "x"),
        (r'A="C:\new"', r"C:\new"),
        (r'A="C:\data\"', "C:\\data\\"),
        (r"A='C:\new'", r"C:\new"),
        (r"A=C:\new", r"C:\new"),
        ("A=a${x}b$y", "a${x}b$y"),
        ('A="a${HOME}b"', "a${HOME}b"),
        ("A=a#b", "a#b"),
        ("A=a # b", "a"),
        ('A="a # b" # c', "a # b"),
        ('A="say \\"x\\""', 'say "x"'),
        ('A="a"b"', 'a"b'),
        ("A=", ""),
        ('A=""', ""),
        ("A=# none", "# none"),
        ("A= # none", ""),
        ('A="one\ntwo"', "one\ntwo"),
        ("\ufeffA=x", "x"),
        ("#A=y\nA=x", "x"),
        ("A=y\nA=x", "x"),
        ("A=é=ü", "é=ü"),
    ],
)
def test_a_value_is_taken_literally(text: str, value: str) -> None:
    assert settings_in(f"B=\"1\"\n{text}\nC='2'\n" if text[0] != "\ufeff" else text)["A"] == value


def test_a_quote_that_never_ends_takes_no_other_line() -> None:
    assert settings_in('A="x\nB="y"\n') == {"A": '"x', "B": "y"}


@pytest.mark.parametrize(
    ("given", "value"),
    [('"x"', "x"), ("'x'", "x"), (" x\r", "x"), ('"', '"'), ("\"x'", "\"x'"), ('""', "")],
)
def test_quotes_of_a_containers_file_are_none_of_a_value(given: str, value: str) -> None:
    assert unquoted(given) == value


def test_the_environment_wins_and_may_be_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", '"5001"')
    monkeypatch.setenv("HOST", "''")
    secret = "'a secret that is ${long} enough for HS256'"
    found = of_file(f"PORT=5002\nHOST=0.0.0.0\nJWT_SECRET={secret}\n")
    assert (found.port, found.host) == (5001, "0.0.0.0")
    assert found.jwt_secret is not None
    assert found.jwt_secret.get_secret_value() == secret.strip("'")


@pytest.mark.parametrize(
    ("given", "path"),
    [("/focus", "/focus"), ("focus/", "/focus"), ("/a/b.c/", "/a/b.c"), ("/", ""), ("", "")],
)
def test_a_base_path_is_written_with_or_without_slashes(given: str, path: str) -> None:
    assert of_file(f"BASE_PATH={given}").base_path == path


@pytest.mark.parametrize("given", ["/api", "/me/x", "/a b", "/a//b", "/../x", "https://h/focus"])
def test_a_base_path_is_a_path_that_is_none_of_ours(given: str) -> None:
    with pytest.raises(ValidationError, match="base_path"):
        of_file(f"BASE_PATH={given}")


@pytest.mark.parametrize("level", ["INFO", "info", "Info"])
def test_a_level_is_written_in_any_case(level: str) -> None:
    assert of_file(f"LOG_LEVEL={level}").log_level == "info"


def test_a_folder_may_be_named_from_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert of_file("DATA_DIR=~/x").data_dir == tmp_path / "x"
    with pytest.raises(ValidationError, match="home directory"):
        of_file("DATA_DIR=~nobody-of-this-name/x")


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("mongodb://db/mydb", "mydb"),
        ("mongodb+srv://u:p@cluster.example/mydb?retryWrites=true", "mydb"),
        ("mongodb://a:1,b:2/my%2Ddb?replicaSet=rs0", "my-db"),
        ("mongodb://db", "focusup"),
        ("mongodb://db/", "focusup"),
        ("mongodb://db/?replicaSet=rs0", "focusup"),
        ("mongodb://u:p@db/admin", "focusup"),
        ("memory", "focusup"),
    ],
)
def test_the_database_is_the_one_of_the_uri(uri: str, name: str) -> None:
    assert of_file(f"MONGODB_URI={uri}").mongodb_database == name
    assert of_file(f"MONGODB_URI={uri}\nMONGODB_DATABASE=other").mongodb_database == "other"


def test_a_database_that_cannot_be_ours_is_refused() -> None:
    with pytest.raises(ValidationError, match="MONGODB_DATABASE"):
        of_file("MONGODB_URI=mongodb://db/a.b")
