"""Build the external issuer whose tokens are accepted, from the settings."""

from pathlib import Path

from focusup.security.jwks_client import RemoteKeys
from focusup.security.signing_key import SecretError
from focusup.settings import Settings
from models.tokens.external_issuer import ExternalIssuer
from models.tokens.jwks import OneKey, PublicKey, read_pem

PEM = "-----BEGIN "


def foreign_issuer(settings: Settings) -> ExternalIssuer | None:
    """Return the issuer, or None if no key is set; raise SecretError for an unusable key."""
    keys: OneKey | RemoteKeys
    if settings.jwt_public_key is not None:
        keys = OneKey(_public_key(settings.jwt_public_key))
    elif settings.jwks_url is not None:
        keys = RemoteKeys(settings.jwks_url)
    else:
        return None
    return ExternalIssuer(keys, settings.jwt_issuer, settings.jwt_audience)


def _public_key(text_or_path: str) -> PublicKey:
    text = text_or_path.strip()
    try:
        if text.startswith(PEM):
            return read_pem(text.replace("\\n", "\n"))  # as most places for variables want it
        return read_pem(Path(text).expanduser().read_text("ascii"))
    except RuntimeError:
        raise SecretError("JWT_PUBLIC_KEY: names a user without a home directory") from None
    except OSError as error:
        raise SecretError(f"JWT_PUBLIC_KEY: no such file can be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretError("JWT_PUBLIC_KEY: the file is no public key in PEM") from None
    except ValueError as error:
        raise SecretError(f"JWT_PUBLIC_KEY: {error}") from None
