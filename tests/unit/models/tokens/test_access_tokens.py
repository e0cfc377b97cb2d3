"""Tokens: those we issue, those of other issuers, and everything that is no token."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base.errors import Unauthorized
from models.tokens.access_tokens import (
    EARLY_S,
    LEEWAY_S,
    MAX_SUBJECT_CHARS,
    MAX_TOKEN_CHARS,
    Identity,
    TokenAuthority,
)

SECRET = "a secret that is long enough for HS256"
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
LATER_S = NOW_S + 600


@pytest.fixture
def authority() -> TokenAuthority:
    return TokenAuthority(SECRET, access_ttl_s=3600)


def base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signed(payload: bytes, header: bytes = b'{"alg":"HS256","typ":"JWT"}') -> str:
    """A token made by hand, so that it can hold what no library would write."""
    signing_input = base64url(header) + b"." + base64url(payload)
    signature = hmac.digest(SECRET.encode(), signing_input, "sha256")
    return (signing_input + b"." + base64url(signature)).decode()


def token_of(**claims: Any) -> str:
    return signed(json.dumps({"sub": "ada", "exp": LATER_S} | claims).encode())


def refusal(authority: TokenAuthority, token: str | None, now: datetime = NOW) -> str:
    with pytest.raises(Unauthorized) as caught:
        authority.verify(token, now)
    return caught.value.code


def test_what_is_issued_is_verified(authority: TokenAuthority) -> None:
    now = NOW + timedelta(milliseconds=250)
    token, expires_at = authority.issue("ada", login_id="login", role="user", now=now)
    assert expires_at == NOW + timedelta(hours=1)
    assert authority.verify(token, now) == Identity("ada", expires_at, NOW, "login", "user")


def test_an_issued_token_is_readable_by_other_libraries(authority: TokenAuthority) -> None:
    token, _ = authority.issue("ada", now=datetime.now(UTC))
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]})
    assert claims["sub"] == "ada"
    assert set(claims) == {"sub", "iat", "exp"}


def test_a_token_of_nodes_jsonwebtoken_works_without_an_account_here(
    authority: TokenAuthority,
) -> None:
    payload = {"id": "507f1f77bcf86cd799439011", "iat": NOW_S, "exp": LATER_S}
    token = signed(json.dumps(payload, separators=(",", ":")).encode())
    identity = authority.verify(token, NOW)
    assert identity.user_id == "507f1f77bcf86cd799439011"
    assert identity.expires_at == NOW + timedelta(minutes=10)
    assert identity.login_id is None


@pytest.mark.parametrize(
    ("claims", "user_id"),
    [
        ({"sub": "s", "id": "i", "userId": "u"}, "s"),
        ({"sub": None, "id": "i", "userId": "u"}, "i"),
        ({"sub": None, "userId": "u"}, "u"),
        ({"sub": 42}, "42"),
        ({"sub": None, "id": 0}, "0"),
        ({"sub": None, "userId": 7}, "7"),
        ({"sub": "ünï code"}, "ünï code"),
        ({"sub": "x" * MAX_SUBJECT_CHARS}, "x" * MAX_SUBJECT_CHARS),
        ({"aud": "somebody", "iss": "elsewhere", "jti": 5}, "ada"),
        ({"exp": LATER_S + 0.5, "iat": NOW_S - 0.25}, "ada"),
        ({"sid": ["not", "ours"], "role": {"admin": True}}, "ada"),
    ],
)
def test_the_subject(authority: TokenAuthority, claims: dict[str, Any], user_id: str) -> None:
    assert authority.verify(token_of(**claims), NOW).user_id == user_id


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": None},
        {"sub": ""},
        {"sub": ["ada"]},
        {"sub": {"$gt": ""}},
        {"sub": 1.5},
        {"sub": True},
        {"sub": "x" * (MAX_SUBJECT_CHARS + 1)},
        {"sub": 10**MAX_SUBJECT_CHARS},
        {"sub": "a\x00b"},
        {"sub": "half a pair \ud800"},
        {"sub": "", "id": "i"},
        {"exp": None},
        {"exp": str(LATER_S)},
        {"exp": True},
        {"exp": [LATER_S]},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": -1},
        {"exp": LATER_S * 1000},
        {"exp": 10**400},
        {"nbf": NOW_S + EARLY_S + 1},
        {"iat": NOW_S + EARLY_S + 1},
        {"iat": "now"},
        {"nbf": float("nan")},
    ],
    ids=lambda claims: str(claims)[:40],
)
def test_refused_claims(authority: TokenAuthority, claims: dict[str, Any]) -> None:
    assert refusal(authority, token_of(**claims)) == "token_invalid"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": NOW_S}, None),
        ({"exp": NOW_S - LEEWAY_S + 0.001}, None),
        ({"exp": NOW_S - LEEWAY_S}, "token_expired"),
        ({"exp": 0}, "token_expired"),
        ({"nbf": NOW_S + EARLY_S, "iat": NOW_S + EARLY_S}, None),
    ],
)
def test_clocks_may_be_five_seconds_apart(
    authority: TokenAuthority, claims: dict[str, Any], code: str | None
) -> None:
    if code is None:
        assert authority.verify(token_of(**claims), NOW).user_id == "ada"
    else:
        assert refusal(authority, token_of(**claims)) == code


def test_time_is_the_callers(authority: TokenAuthority) -> None:
    token, expires_at = authority.issue("ada", now=NOW)
    assert authority.verify(token, expires_at).user_id == "ada"
    assert refusal(authority, token, expires_at + timedelta(seconds=5)) == "token_expired"


GOOD = {"sub": "ada", "exp": LATER_S}
PAYLOAD = json.dumps(GOOD).encode()


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "..",
        "a.b.c",
        "ä" * 20,
        "\ud800",
        signed(PAYLOAD)[:-2],
        signed(PAYLOAD) + "A",
        signed(b"[1]"),
        signed(b"null"),
        signed(b"{"),
        signed(b"\xff\xfe"),
        signed(b"[" * 3000),
        signed(PAYLOAD, b"[]"),
        signed(PAYLOAD, b"{}"),
        signed(PAYLOAD, b'{"alg":"none"}'),
        signed(PAYLOAD, b'{"alg":["HS256"]}'),
        signed(PAYLOAD, b'{"alg":"HS256","kid":7}'),
        signed(PAYLOAD, b'{"alg":"HS256","crit":["exp"],"exp":1}'),
        signed(PAYLOAD, b'{"alg":"HS256","crit":[]}'),
        signed(PAYLOAD, b'{"alg":"HS256","b64":false,"crit":["b64"]}'),
        jwt.encode(GOOD, "another secret that is long enough too", "HS256"),
        jwt.encode(GOOD, SECRET * 2, "HS512"),
        jwt.encode(GOOD, "", "none"),
        signed(json.dumps(GOOD | {"x": "y" * MAX_TOKEN_CHARS}).encode()),
    ],
    ids=lambda token: ascii(token)[:30],
)
def test_refused_tokens(authority: TokenAuthority, token: str) -> None:
    assert refusal(authority, token) == "token_invalid"


@pytest.mark.parametrize("token", [None, ""])
def test_no_token_is_another_matter_than_a_bad_one(
    authority: TokenAuthority, token: str | None
) -> None:
    assert refusal(authority, token) == "token_missing"


def test_an_algorithm_cannot_be_chosen_by_the_token() -> None:
    # The classic confusion: sign by HS512 with the very same secret.
    secret = SECRET * 2
    authority = TokenAuthority(secret, 60)
    assert refusal(authority, jwt.encode(GOOD, secret, "HS512")) == "token_invalid"
    assert authority.verify(jwt.encode(GOOD, secret, "HS256"), NOW).user_id == "ada"


def test_any_changed_character_is_noticed(authority: TokenAuthority) -> None:
    token, _ = authority.issue("ada", now=NOW)
    for place, character in enumerate(token):
        other = "B" if character == "A" else "A"
        assert refusal(authority, token[:place] + other + token[place + 1 :]) == "token_invalid"


@given(st.text() | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*"))
def test_any_text_is_a_clean_refusal(text: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        TokenAuthority(SECRET, 60).verify(text, NOW)
    assert len(text) < 8 or text not in str(caught.value)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**320), 10**320)
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from([NOW_S, LATER_S, "ada"])
)
NAMES = st.sampled_from(["sub", "id", "userId", "exp", "nbf", "iat", "sid", "role", "aud"])


@given(st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=2)))
def test_any_signed_claims_are_an_identity_or_a_clean_refusal(claims: dict[str, Any]) -> None:
    try:
        identity = TokenAuthority(SECRET, 60).verify(signed(json.dumps(claims).encode()), NOW)
    except Unauthorized:
        return
    assert identity.expires_at + timedelta(seconds=LEEWAY_S) > NOW
    assert identity.user_id.encode()


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_any_signed_bytes_are_a_clean_refusal(payload: bytes, header: bytes) -> None:
    authority = TokenAuthority(SECRET, 60)
    assert refusal(authority, signed(payload)) == "token_invalid"
    assert refusal(authority, signed(PAYLOAD, header)) == "token_invalid"


@pytest.mark.parametrize(("secret", "ttl_s"), [("short", 60), ("x" * 31, 60), ("x" * 32, 0)])
def test_a_weak_authority_is_refused_at_start(secret: str, ttl_s: float) -> None:
    with pytest.raises(ValueError, match="must"):
        TokenAuthority(secret, ttl_s)


def test_the_secret_may_be_counted_in_bytes() -> None:
    secret = "é" * 16
    assert hashlib.sha256().digest_size == len(secret.encode())
    token, _ = TokenAuthority(secret, 60).issue("ada", now=NOW)
    assert TokenAuthority(secret, 60).verify(token, NOW).user_id == "ada"
