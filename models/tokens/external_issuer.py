"""Verify access tokens of another issuer, by its public keys.

Invariants:

- A token selects a published key by id alone, and no algorithm but that key's own. Other members of
  its header (`jku`, `jwk`, `x5u`) are never read.
- The issuer says who a user is, and nothing else: it gives no role, ends no login of ours, and
  cannot name an account of ours.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import jwt

from models.tokens.access_tokens import SIGNATURE_ONLY, Identity, identity_from_claims, refused
from models.tokens.jwks import ALGORITHMS, Keys

PREFIX = "foreign:"
LIKE_AN_ACCOUNT = re.compile(rf"({PREFIX})*[0-9a-f]{{24}}", re.ASCII | re.IGNORECASE)
"""Ids of accounts here, in any spelling that the database takes for one."""


class _Header(NamedTuple):
    algorithm: str
    kid: str | None


@dataclass(frozen=True, slots=True)
class ExternalIssuer:
    """The issuer; `issuer` and `audience` are compared with `iss` and `aud`, unless None."""

    keys: Keys
    issuer: str | None = None
    audience: str | None = None

    def signs(self, token: str) -> bool:
        """Return whether a token is signed by an algorithm of this issuer's keys."""
        return _read_header(token) is not None

    def lacks_key(self, token: str) -> bool:
        """Return whether the key of a token must be fetched before it can be verified."""
        header = _read_header(token)
        return header is not None and self.keys.find(header.kid, header.algorithm) is None

    async def learn_key(self, token: str) -> None:
        """Fetch the key of a token, unless it is known. Never raises."""
        if (header := _read_header(token)) is not None:
            await self.keys.learn(header.kid, header.algorithm)

    def identity(self, token: str, now: datetime) -> Identity:
        """Return the user; raise Unauthorized `token_invalid` or `token_expired`."""
        claims = self._signed_claims(token)
        if self.issuer is not None and claims.get("iss") != self.issuer:
            raise refused("it is of another issuer (iss)")
        if self.audience is not None and self.audience not in _audiences(claims):
            raise refused("it is for another audience (aud)")
        identity = identity_from_claims(claims, now)
        return replace(identity, user_id=_own_name(identity.user_id), login_id=None, role=None)

    def _signed_claims(self, token: str) -> Mapping[str, Any]:
        header = _read_header(token)
        key = None if header is None else self.keys.find(header.kid, header.algorithm)
        if key is None:
            raise refused("it is not signed by a key that this server trusts")
        try:
            return jwt.decode(token, key.key, algorithms=[key.algorithm], options=SIGNATURE_ONLY)
        except jwt.PyJWTError:
            # As in `models.tokens.access_tokens`: its message may quote the token.
            raise refused("it is not one that this server trusts") from None


def _read_header(token: str) -> _Header | None:
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, RecursionError):
        return None
    algorithm = header.get("alg")
    return _Header(algorithm, header.get("kid")) if algorithm in ALGORITHMS else None


def _audiences(claims: Mapping[str, Any]) -> list[Any]:
    audience = claims.get("aud")
    return audience if isinstance(audience, list) else [audience]


def _own_name(subject: str) -> str:
    """Return the user's id here: the subject, with a prefix if it looks like an account of ours."""
    return PREFIX + subject if LIKE_AN_ACCOUNT.fullmatch(subject) else subject
