"""Issue and verify access tokens: ours, and those of a study app that shares our secret.

Invariants:

- The algorithm is chosen by the server, never by the token.
- A token without an expiry or a subject is refused.
- For any text, `verify` returns an Identity or raises Unauthorized, nothing else.
- No token, and no part of one, appears in an error message or a log.

Verification has two halves: `_signed_claims` checks the signature, `identity_from_claims` reads the
claims. Another kind of key is another first half: `models.tokens.external_issuer`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeGuard

import jwt

from models.base.errors import Unauthorized

ALGORITHM = "HS256"
MIN_SECRET_BYTES = 32  # RFC 7518, section 3.2: no shorter than the hash
MAX_TOKEN_CHARS = 8192  # beyond any real token, within what fits in a request's head
MAX_SUBJECT_CHARS = 255
LEEWAY_S = 5.0  # how long a token is still taken after its end
EARLY_S = 60.0  # how far ahead the clock of an issuer may be (iat, nbf)
LATEST_EXPIRY_S = 253_402_300_799.0  # the end of the year 9999, the last a datetime holds
MAX_LIFE_S = 366 * 86_400.0  # issuers that mean well stay within a year
SUBJECT_CLAIMS = ("sub", "id", "userId")

# PyJWT checks times by its own clock, and refuses numeric subjects and audiences that
# other issuers set: it verifies the signature, all claims are read below.
SIGNATURE_ONLY: Any = {
    "verify_signature": True,
    "enforce_minimum_key_length": True,
    **{f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")},
}


@dataclass(frozen=True, slots=True)
class Identity:
    """The user of a verified token."""

    user_id: str
    expires_at: datetime
    issued_at: datetime | None = None
    login_id: str | None = None
    """The login (`models.accounts.refresh_tokens`) of the token; None for other issuers."""
    role: str | None = None


class OtherIssuer(Protocol):
    """An issuer with a key of its own (`models.tokens.external_issuer`)."""

    def signs(self, token: str) -> bool:
        """Return whether the issuer signs tokens of this kind."""
        ...

    def identity(self, token: str, now: datetime) -> Identity:
        """Return the user of a token; raise Unauthorized."""
        ...

    def lacks_key(self, token: str) -> bool:
        """Return whether the token's key must be fetched first."""
        ...

    async def learn_key(self, token: str) -> None:
        """Fetch the token's key, unless it is known. Never raises."""
        ...


class TokenAuthority:
    """Issues and verifies HS256 tokens with one secret of at least 32 bytes.

    It also verifies tokens of another issuer.
    """

    def __init__(
        self,
        secret: str,
        access_ttl_s: float,
        is_gone: Callable[[Identity], bool] = lambda _: False,
        other: OtherIssuer | None = None,
        is_revoked: Callable[[Identity], bool] = lambda _: False,
        *,
        has_lost_role: Callable[[Identity], bool] = lambda _: False,
    ) -> None:
        """Create it.

        For a valid token, `is_gone` returns whether its user was deleted since, `is_revoked`
        whether it was revoked, and `has_lost_role` whether its role was taken away.
        """
        if len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"the token secret must be at least {MIN_SECRET_BYTES} bytes long")
        if not 1 <= access_ttl_s <= MAX_LIFE_S:
            raise ValueError("access tokens must live for a second at least, a year at most")
        self._secret = secret
        self._access_ttl_s = access_ttl_s
        self._is_gone = is_gone
        self._other = other
        self._is_revoked = is_revoked
        self._has_lost_role = has_lost_role
        jwt.encode({}, secret, ALGORITHM)  # refuses what looks like a public key, at start

    def issue(
        self, user_id: str, *, login_id: str | None = None, role: str | None = None, now: datetime
    ) -> tuple[str, datetime]:
        """Return a token for a user, and its expiry."""
        issued_at = int(now.timestamp())
        expires_at = int(now.timestamp() + self._access_ttl_s)
        claims: dict[str, Any] = {"sub": user_id, "iat": issued_at, "exp": expires_at}
        if login_id is not None:
            claims["sid"] = login_id
        if role is not None:
            claims["role"] = role
        token = jwt.encode(claims, self._secret, ALGORITHM)
        return token, datetime.fromtimestamp(expires_at, UTC)

    def latest_expiry(self, now: datetime) -> datetime:
        """Return when the last of the tokens that were issued by now expires."""
        return now + timedelta(seconds=self._access_ttl_s)

    def verify(
        self,
        token: str | None,
        now: datetime,
        *,
        may_be_gone: bool = False,
        may_be_revoked: bool = False,
    ) -> Identity:
        """Return the user of a token.

        Tokens of deleted users are refused unless they `may_be_gone`.

        Raises:
            Unauthorized: `token_missing`, `token_invalid` or `token_expired`.
        """
        identity = self.read(token, now)
        return self.standing(identity, may_be_gone=may_be_gone, may_be_revoked=may_be_revoked)

    def read(self, token: str | None, now: datetime) -> Identity:
        """Verify what stays as it is: signature and claims, which take time."""
        if not token:
            raise Unauthorized("token_missing", "A bearer token is needed.")
        # PyJWT encodes the text before it looks at it, and that can fail.
        if not _could_be_one(token):
            raise refused("it is not a token")
        return self._identity(token, now)

    def standing(
        self, identity: Identity, *, may_be_gone: bool = False, may_be_revoked: bool = False
    ) -> Identity:
        """Verify what may change, from memory: deletion, revocation and role.

        Returns the identity, without a role that was taken away; raises as `verify`.
        """
        if not may_be_gone and self._is_gone(identity):
            raise refused("its user has left")
        if not may_be_revoked and self._is_revoked(identity):
            raise refused("it was signed out")
        if identity.role is not None and self._has_lost_role(identity):
            return replace(identity, role=None)
        return identity

    def lacks_key(self, token: str | None) -> bool:
        """Return whether `learn_key` would have to wait for a key."""
        other = self._other
        return other is not None and _could_be_one(token) and other.lacks_key(token)

    async def learn_key(self, token: str | None) -> None:
        """Fetch the key of a token of another issuer if it is unknown, for seconds at most.

        Never raises.
        """
        if self._other is not None and _could_be_one(token):
            await self._other.learn_key(token)

    def _identity(self, token: str, now: datetime) -> Identity:
        if self._other is not None and self._other.signs(token):
            return self._other.identity(token, now)
        return identity_from_claims(self._signed_claims(token), now)

    def _signed_claims(self, token: str) -> Mapping[str, Any]:
        try:
            return jwt.decode(token, self._secret, algorithms=[ALGORITHM], options=SIGNATURE_ONLY)
        except jwt.InvalidSignatureError:
            raise refused(
                "another secret than this server's has signed it; sign in again"
            ) from None
        except jwt.PyJWTError:
            # Its message may quote the token; `from None` keeps it out of tracebacks too.
            raise refused("it is not one that this server trusts") from None


def identity_from_claims(claims: Mapping[str, Any], now: datetime) -> Identity:
    """Read the claims of a token whose signature is valid.

    `iss` and `aud` are not compared: an issuer is trusted because it shares the secret.
    """
    now_s = now.timestamp()
    expires_s = _seconds(claims, "exp")
    if expires_s is None:
        raise refused("it has no expiry (exp)")
    if expires_s + LEEWAY_S <= now_s:
        raise Unauthorized("token_expired", "The token has expired.")
    if expires_s > now_s + MAX_LIFE_S:
        raise refused("it expires more than a year from now (exp)")
    issued_s = _seconds(claims, "iat")
    begins = (issued_s, _seconds(claims, "nbf"))
    if any(begin is not None and begin - EARLY_S > now_s for begin in begins):
        raise refused("it is not valid yet (iat, nbf)")
    return Identity(
        user_id=_subject(claims),
        expires_at=_instant(expires_s),
        issued_at=None if issued_s is None else _instant(issued_s),
        login_id=_text(claims.get("sid")),
        role=_text(claims.get("role")),
    )


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    """Read a NumericDate (RFC 7519): seconds since 1970, fractions allowed."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refused(f"{name} is not a number")
    # Compare before converting, as an int may be too large for a float; NaN is in no range.
    if not 0 <= value <= LATEST_EXPIRY_S:
        raise refused(f"{name} is out of range; it counts seconds, not milliseconds")
    return float(value)


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)


def _subject(claims: Mapping[str, Any]) -> str:
    value = next((claims[name] for name in SUBJECT_CLAIMS if claims.get(name) is not None), None)
    if isinstance(value, int) and not isinstance(value, bool):
        # A huge one has no text (ValueError), and is nobody's id.
        value = str(value) if abs(value) < 10**MAX_SUBJECT_CHARS else None
    subject = _text(value)
    if subject is None:
        raise refused("it names no subject (sub, id or userId)")
    return subject


def _text(value: object) -> str | None:
    """Return a text that a database key can hold, otherwise None."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_SUBJECT_CHARS:
        return None
    # JSON can spell half a surrogate pair, which BSON cannot store.
    if not value.isprintable():
        return None
    return value


def _could_be_one(token: str | None) -> TypeGuard[str]:
    return token is not None and len(token) <= MAX_TOKEN_CHARS and token.isascii()


def refused(reason: str) -> Unauthorized:
    """Return the error of a refused token, without any part of the token."""
    return Unauthorized("token_invalid", f"The token is refused: {reason}.")
