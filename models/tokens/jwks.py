"""Read public keys of other issuers, from PEM or from a JWK Set (RFC 7517).

Invariants:

- A key is bound to one algorithm by its type, never by a token.
- Private, short and unknown keys are refused.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ALGORITHMS = ("RS256", "ES256", "EdDSA")
MIN_RSA_BITS = 2048  # RFC 7518, section 3.3
MAX_RSA_BITS = 8192  # beyond, each verification would hold up the tick
MAX_KEYS = 100
_READERS: Mapping[object, Callable[[dict[str, Any]], object]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}


class PublicKey(NamedTuple):
    """A key, and the one algorithm that it verifies."""

    key: RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
    algorithm: str


class Keys(Protocol):
    """The keys of an issuer."""

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """Return the key that a token names, if it is known and has this algorithm."""
        ...

    async def learn(self, kid: str | None, algorithm: str) -> None:
        """Look for an unknown key. Never raises."""
        ...

    async def run(self) -> None:
        """Keep the keys current for as long as the task lives."""
        ...


class OneKey:
    """A single fixed key, whatever id a token names."""

    def __init__(self, key: PublicKey) -> None:
        self._key = key

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:  # noqa: ARG002
        """Return the key if it has this algorithm."""
        return self._key if self._key.algorithm == algorithm else None

    async def learn(self, kid: str | None, algorithm: str) -> None:
        """Do nothing: there is no other key."""

    async def run(self) -> None:
        """Return at once: the key never changes."""


class KeySet:
    """The keys of a JWK Set."""

    def __init__(self, keys: Iterable[tuple[str | None, PublicKey]] = ()) -> None:
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """Return the named key; without a name, the only key of the algorithm."""
        found = [
            key
            for id_, key in self._keys
            if key.algorithm == algorithm and (kid is None or id_ == kid)
        ]
        return found[0] if len(found) == 1 else None


def read_pem(text: str) -> PublicKey:
    """Read a public key; raise ValueError, without repeating the text."""
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("it is no public key in PEM (BEGIN PUBLIC KEY)") from None
    bound = _bound(key)
    if bound is None:
        raise ValueError("it is neither RSA of 2048 bits or more, nor EC P-256, nor Ed25519")
    return bound


def read_key_set(text: bytes) -> KeySet:
    """Return the usable keys of a JWK Set; raise ValueError for anything else."""
    try:
        keys = json.loads(text)["keys"]
    except (KeyError, RecursionError, TypeError, ValueError):
        raise ValueError("it is no JWK Set") from None
    if not isinstance(keys, list):
        raise ValueError("it is no JWK Set")
    read = [(jwk, _read_jwk(jwk)) for jwk in keys[:MAX_KEYS]]
    return KeySet((jwk.get("kid"), key) for jwk, key in read if key is not None)


def _read_jwk(jwk: object) -> PublicKey | None:
    if not isinstance(jwk, dict) or not _is_for_us(jwk):
        return None
    reader = _READERS.get(jwk.get("kty"))
    if reader is None:
        return None
    try:
        bound = _bound(reader(jwk))
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError):
        return None
    named = jwk.get("alg")
    return bound if bound is not None and named in (None, bound.algorithm) else None


def _is_for_us(jwk: Mapping[str, Any]) -> bool:
    """Return whether a JWK is public, and meant for signatures."""
    members = ("kty", "kid", "crv", "alg", "use", "n", "e", "x", "y")
    if not all(isinstance(jwk.get(name), str | None) for name in members) or "d" in jwk:
        return False
    operations = jwk.get("key_ops", ["verify"])
    is_to_verify = isinstance(operations, list) and "verify" in operations
    return is_to_verify and jwk.get("use", "sig") == "sig"


def _bound(key: object) -> PublicKey | None:
    match key:
        case RSAPublicKey() if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            return PublicKey(key, "RS256")
        case EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1):
            return PublicKey(key, "ES256")
        case Ed25519PublicKey():
            return PublicKey(key, "EdDSA")
        case _:
            return None
