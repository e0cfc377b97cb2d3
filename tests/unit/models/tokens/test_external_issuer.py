"""Tokens of another issuer: what is let in, whom it names, and everything that is refused."""

import base64
import json
import socket
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base.errors import Unauthorized
from models.tokens.access_tokens import MAX_LIFE_S, Identity, TokenAuthority
from models.tokens.external_issuer import ExternalIssuer
from models.tokens.jwks import KeySet, OneKey, read_key_set, read_pem
from tests.support.issuers import (
    KINDS,
    base64url,
    by_hand,
    hmac_by,
    jwk,
    pem,
    private_key,
    signer,
    token_of,
    with_payload,
)

SECRET = "a secret that is long enough for HS256"
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
ACCOUNT = "507f1f77bcf86cd799439011"
GOOD = {"sub": "ada", "iat": NOW_S, "exp": NOW_S + 600}


def by_pem(kind: str, *, issuer: str | None = None, audience: str | None = None) -> TokenAuthority:
    other = ExternalIssuer(OneKey(read_pem(pem(kind))), issuer, audience)
    return TokenAuthority(SECRET, 3600, other=other)


def by_key_set(*keys: dict[str, Any]) -> TokenAuthority:
    key_set = read_key_set(json.dumps({"keys": keys}).encode())

    class Fixed(KeySet):
        async def learn(self, kid: str | None, algorithm: str) -> None:
            raise AssertionError("nothing may be fetched")

        async def run(self) -> None:
            raise AssertionError("nothing may be fetched")

    return TokenAuthority(SECRET, 3600, other=ExternalIssuer(Fixed(key_set._keys)))


def signed(kind: str, name: str = "", **more: Any) -> str:
    return token_of(kind, name, now_s=NOW_S, **more)


def verify(authority: TokenAuthority, token: str) -> Identity:
    return authority.verify(token, NOW)


def refusal(authority: TokenAuthority, token: str) -> str:
    with pytest.raises(Unauthorized) as caught:
        authority.verify(token, NOW)
    assert not any(part in str(caught.value) for part in token.split(".") if len(part) > 8)
    return caught.value.code


# --- who is let in ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_of_another_issuer_is_let_in_beside_ours(kind: str) -> None:
    authority = by_pem(kind)
    found = verify(authority, signed(kind))
    assert (found.user_id, found.issued_at) == ("ada", NOW)
    ours, _ = authority.issue("bob", login_id="login", role="admin", now=NOW)
    assert (verify(authority, ours).user_id, verify(authority, ours).role) == ("bob", "admin")


@pytest.mark.parametrize(
    ("claims", "user"),
    [
        ({"sub": "s", "id": "i", "userId": "u"}, "s"),
        ({"sub": None, "id": "i", "userId": "u"}, "i"),
        ({"sub": None, "userId": "u"}, "u"),
        ({"sub": None, "id": 7}, "7"),
    ],
)
def test_the_user_is_sub_else_id_else_user_id(claims: dict[str, Any], user: str) -> None:
    assert verify(by_pem("ES256"), signed("ES256", **claims)).user_id == user


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_set_is_searched_by_the_id_of_the_key(kind: str) -> None:
    authority = by_key_set(*(jwk(each, name) for each in KINDS for name in ("old", "new")))
    for name in ("old", "new"):
        assert verify(authority, signed(kind, name)).user_id == "ada"
    assert refusal(authority, signed(kind, "new", header={"kid": "old"})) == "token_invalid"
    assert refusal(authority, signed(kind, "new", header={"kid": "none"})) == "token_invalid"


def test_a_token_that_names_no_key_means_the_only_one_of_its_kind() -> None:
    alone = by_key_set(jwk("RS256", "a"), jwk("ES256", "b"))
    assert verify(alone, signed("RS256", "a", header={})).user_id == "ada"
    two = by_key_set(jwk("RS256", "a"), jwk("RS256", "c"))
    assert refusal(two, signed("RS256", "a", header={})) == "token_invalid"


# --- what such an issuer can't do ------------------------------------------------------------


def test_another_issuer_gives_no_role_and_ends_no_login() -> None:
    found = verify(by_pem("RS256"), signed("RS256", role="admin", sid="a login of ours"))
    assert (found.role, found.login_id) == (None, None)


@pytest.mark.parametrize("name", [ACCOUNT, ACCOUNT.upper(), f"foreign:{ACCOUNT}"])
def test_another_issuer_cannot_name_an_account(name: str) -> None:
    found = verify(by_pem("RS256"), signed("RS256", sub=name))
    assert found.user_id == f"foreign:{name}"
    found = verify(by_pem("RS256"), signed("RS256", sub=None, id=name))
    assert found.user_id == f"foreign:{name}"


def test_who_shares_the_secret_may_name_accounts_and_roles() -> None:
    claims = {"id": ACCOUNT, "role": "admin", "exp": NOW_S + 60}
    found = verify(by_pem("RS256"), jwt.encode(claims, SECRET, "HS256"))
    assert (found.user_id, found.role) == (ACCOUNT, "admin")


# --- refused: signatures ----------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
def test_no_algorithm_is_none(algorithm: str) -> None:
    for signature in (b"", b"signature"):

        def sign(_: bytes, made: bytes = signature) -> bytes:
            return made

        token = by_hand({"alg": algorithm}, GOOD, sign)
        assert refusal(by_pem("RS256"), token) == "token_invalid"
        assert refusal(TokenAuthority(SECRET, 60), token) == "token_invalid"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_secret(kind: str, algorithm: str) -> None:
    text = pem(kind)
    key = private_key(kind).public_key()
    spellings = [text, text.strip(), text.replace("\n", "\\n"), json.dumps(jwk(kind, "a"))]
    raw = [spelling.encode() for spelling in spellings]
    raw.append(base64.b64decode("".join(text.splitlines()[1:-1])))
    if kind == "RS256":
        raw.append(key.public_numbers().n.to_bytes(256, "big"))
    for authority in (by_pem(kind), by_key_set(jwk(kind, "a"))):
        for secret in (*raw, b""):
            for header in ({"alg": algorithm}, {"alg": algorithm, "kid": "a"}):
                token = by_hand(header, GOOD, hmac_by(secret, algorithm.replace("HS", "sha")))
                assert refusal(authority, token) == "token_invalid"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("said", KINDS)
def test_a_key_verifies_by_its_own_algorithm_alone(kind: str, said: str) -> None:
    """A header that claims another algorithm, over a signature that is right by its own."""
    token = by_hand({"alg": said, "kid": "a"}, GOOD, signer(kind, "a"))
    authority = by_key_set(jwk(kind, "a"))
    if said == kind:
        assert verify(authority, token).user_id == "ada"
    else:
        assert refusal(authority, token) == "token_invalid"


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "ES256K", "ES384"])
def test_other_algorithms_are_refused(algorithm: str) -> None:
    kind = "ES256" if algorithm.startswith("ES") else "RS256"
    by = algorithm if kind == "RS256" else None
    token = by_hand({"alg": algorithm}, GOOD, signer(kind, by=by))
    assert refusal(by_pem(kind), token) == "token_invalid"


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_payload_is_refused(kind: str) -> None:
    token = signed(kind)
    changed = with_payload(token, sub="bob", exp=NOW_S + 600)
    assert refusal(by_pem(kind), changed) == "token_invalid"
    head, payload, signature = token.split(".")
    for place in range(0, len(payload), 7):
        other = "B" if payload[place] == "A" else "A"
        text = payload[:place] + other + payload[place + 1 :]
        assert refusal(by_pem(kind), f"{head}.{text}.{signature}") == "token_invalid"


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_of_another_key_is_refused(kind: str) -> None:
    assert refusal(by_pem(kind), signed(kind, "stranger")) == "token_invalid"
    authority = by_key_set(jwk(kind, "a"))
    assert refusal(authority, signed(kind, "stranger", header={"kid": "a"})) == "token_invalid"


@pytest.mark.parametrize(
    "more",
    [
        {"crit": ["exp"], "exp": NOW_S + 600},
        {"crit": ["http://example.com/unknown"], "http://example.com/unknown": True},
        {"crit": []},
        {"crit": "b64"},
        {"crit": ["b64"], "b64": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [*KINDS, "HS256"])
def test_an_unknown_critical_header_is_refused(kind: str, more: dict[str, Any]) -> None:
    sign = hmac_by(SECRET.encode()) if kind == "HS256" else signer(kind)
    token = by_hand({"alg": kind} | more, GOOD, sign)
    authority = TokenAuthority(SECRET, 60) if kind == "HS256" else by_pem(kind)
    assert refusal(authority, token) == "token_invalid"


async def test_a_token_leads_us_to_fetch_and_trust_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever its header points to or carries, no connection is made for it."""

    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("a connection is made")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    theirs = jwk("RS256", "attacker")
    certificate = [base64.b64encode(b"certificate").decode()]
    for header in (
        {"jku": "http://127.0.0.1:9/jwks.json", "kid": "attacker"},
        {"x5u": "http://127.0.0.1:9/cert.pem"},
        {"jwk": theirs},
        {"jwk": theirs, "kid": "attacker"},
        {"x5c": certificate},
        {"kid": "http://127.0.0.1:9/key"},
        {"kid": "../../../../etc/passwd"},
        {"kid": "a' OR '1'='1"},
        {"iss": "http://127.0.0.1:9/"},
    ):
        authority = by_pem("RS256")
        token = signed("RS256", "attacker", header=header, iss="http://127.0.0.1:9/")
        await authority.learn_key(token)
        assert refusal(authority, token) == "token_invalid"
        # And what it says beside a good signature changes nothing.
        good = signed("RS256", header=header)
        assert verify(authority, good).user_id == "ada"


async def test_the_header_is_read_once_to_learn_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request does it, whoever signed its token."""
    read, reads = jwt.get_unverified_header, 0

    def counted(token: str) -> dict[str, Any]:
        nonlocal reads
        reads += 1
        return read(token)

    monkeypatch.setattr(jwt, "get_unverified_header", counted)
    for kind in ("RS256", "ES256"):  # a key that is known, and one that is not
        reads = 0
        await by_pem("RS256").learn_key(signed(kind))
        assert reads == 1


@pytest.mark.parametrize("kid", [7, None, ["a"], {"a": 1}, True])
def test_an_id_that_is_no_text_is_refused(kid: object) -> None:
    token = by_hand({"alg": "ES256", "kid": kid}, GOOD, signer("ES256", "a"))
    assert refusal(by_key_set(jwk("ES256", "a")), token) == "token_invalid"


# --- refused: claims --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": None}, "token_invalid"),
        ({"exp": NOW_S - 6}, "token_expired"),
        ({"exp": (NOW_S + 600) * 1000}, "token_invalid"),
        ({"exp": NOW_S + MAX_LIFE_S + 1}, "token_invalid"),
        ({"exp": 253_402_300_799}, "token_invalid"),
        ({"exp": "never"}, "token_invalid"),
        ({"nbf": NOW_S + 61}, "token_invalid"),
        ({"iat": NOW_S + 61}, "token_invalid"),
        ({"sub": None}, "token_invalid"),
        ({"sub": {"$gt": ""}}, "token_invalid"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["RS256", "HS256"])
def test_absurd_times_and_subjects_are_refused(
    kind: str, claims: dict[str, Any], code: str
) -> None:
    kept = {name: value for name, value in (GOOD | claims).items() if value is not None}
    sign = hmac_by(SECRET.encode()) if kind == "HS256" else signer(kind)
    assert refusal(by_pem("RS256"), by_hand({"alg": kind}, kept, sign)) == code


def test_a_token_may_last_a_year() -> None:
    assert verify(by_pem("RS256"), signed("RS256", exp=NOW_S + MAX_LIFE_S)).user_id == "ada"


ISSUER, AUDIENCE = "https://login.example.com/", "focusup"


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"iss": ISSUER, "aud": AUDIENCE}, True),
        ({"iss": ISSUER, "aud": ["another", AUDIENCE]}, True),
        ({"aud": AUDIENCE}, False),
        ({"iss": ISSUER}, False),
        ({"iss": "https://login.example.com", "aud": AUDIENCE}, False),
        ({"iss": ISSUER + "x", "aud": AUDIENCE}, False),
        ({"iss": [ISSUER], "aud": AUDIENCE}, False),
        ({"iss": ISSUER, "aud": "another"}, False),
        ({"iss": ISSUER, "aud": AUDIENCE + "x"}, False),
        ({"iss": ISSUER, "aud": ["another"]}, False),
        ({"iss": ISSUER, "aud": {AUDIENCE: True}}, False),
        ({"iss": ISSUER, "aud": []}, False),
    ],
    ids=str,
)
def test_issuer_and_audience_have_to_be_right(claims: dict[str, Any], good: bool) -> None:
    authority = by_pem("EdDSA", issuer=ISSUER, audience=AUDIENCE)
    token = signed("EdDSA", **claims)
    if good:
        assert verify(authority, token).user_id == "ada"
    else:
        assert refusal(authority, token) == "token_invalid"
    # Ours carry neither.
    assert verify(authority, authority.issue("bob", now=NOW)[0]).user_id == "bob"


# --- keys -----------------------------------------------------------------------------------


def test_keys_that_are_too_short_or_private_are_refused() -> None:
    with pytest.raises(ValueError, match="2048"):
        read_pem(pem("RS256", "short"))
    private = {**jwk("RS256", "leaked"), "d": "AQAB"}
    public = jwk("ES256", "good")
    keys = read_key_set(json.dumps({"keys": [jwk("RS256", "short"), private, public]}).encode())
    assert len(keys) == 1
    assert keys.find("good", "ES256") is not None


@pytest.mark.parametrize(
    "text",
    ["", "x", "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n", "ssh-rsa AAAA"],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no public key"):
        read_pem(text)


@pytest.mark.parametrize(
    "more",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"alg": "RS512"},
        {"alg": "HS256"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "PQ"},
        {"kty": ["RSA"]},
        {"n": 5},
        {"n": ""},
        {"n": "!"},
        {"e": "AA"},
        {"kid": 7},
        {"n": "_" * 3000},
    ],
    ids=lambda more: str(more)[:40],
)
def test_what_is_no_key_for_us_is_left_out(more: dict[str, Any]) -> None:
    keys = [jwk("RS256", "odd") | more, 5, None, jwk("RS256", "good", use="sig", alg="RS256")]
    found = read_key_set(json.dumps({"keys": keys}).encode())
    assert len(found) == 1
    assert found.find("good", "RS256") is not None


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=50)
MEMBERS = st.sampled_from(["kty", "kid", "crv", "alg", "use", "key_ops", "n", "e", "x", "y"])
VALUES = SCALARS | st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB", "A" * 43])


@given(st.lists(st.dictionaries(MEMBERS, VALUES) | SCALARS, max_size=5) | SCALARS)
def test_any_key_set_is_read_or_cleanly_refused(keys: object) -> None:
    try:
        found = read_key_set(json.dumps({"keys": keys}).encode())
    except ValueError:
        return
    assert len(found) <= 5


@given(st.binary(max_size=200))
def test_any_bytes_are_a_key_set_or_cleanly_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="no JWK Set"):
        read_key_set(text)


@given(st.tuples(*[st.binary(max_size=80)] * 3))
def test_any_three_parts_are_cleanly_refused(parts: tuple[bytes, ...]) -> None:
    token = b".".join(base64url(part) for part in parts).decode()
    with pytest.raises(Unauthorized):
        by_pem("ES256").verify(token, NOW)


def test_a_deeply_nested_header_is_cleanly_refused() -> None:
    token = by_hand(b"[" * 3000, {}, signer("ES256"))
    assert refusal(by_pem("ES256"), token) == "token_invalid"
