"""Access tokens of another issuer, signed by a key whose public half we were given.

What must always hold: a token chooses no key but one of those that its issuer published,
by id alone, and no algorithm but that key's own; what else its header says (`jku`, `jwk`,
`x5u`) is never read. Such an issuer vouches for who somebody is, and for nothing else: it
gives no role, ends no login of ours, and can't name an account of ours.
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
    """`issuer` and `audience` are what `iss` and `aud` have to say; None is not compared."""

    keys: Keys
    issuer: str | None = None
    audience: str | None = None

    def signs(self, token: str) -> bool:
        """Whether the token says that it is of the kind that this issuer signs."""
        return _read_header(token) is not None

    def lacks_key(self, token: str) -> bool:
        """Whether the key of the token has to be learnt before it can be verified."""
        header = _read_header(token)
        return header is not None and self.keys.find(header.kid, header.algorithm) is None

    async def learn_key(self, token: str) -> None:
        """Look for the key of the token, unless it is known. Never raises."""
        if (header := _read_header(token)) is not None:
            await self.keys.learn(header.kid, header.algorithm)

    def identity(self, token: str, now: datetime) -> Identity:
        """Who the token names; raises Unauthorized `token_invalid` or `token_expired`."""
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
    """The user's id here: the subject itself, unless it could be that of an account."""
    return PREFIX + subject if LIKE_AN_ACCOUNT.fullmatch(subject) else subject
