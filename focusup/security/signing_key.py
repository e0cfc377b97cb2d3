"""Provide the secret that signs access tokens: set by the operator, or generated once and kept.

Invariants:

- A secret is never printed or logged.
- A generated secret is readable by its owner alone, and the same at every start with the same data
  directory.
"""

import os
import secrets
from pathlib import Path

from focusup.disk_space import remedy
from focusup.operator_errors import OperatorError
from focusup.settings import MIN_SECRET_BYTES, Settings

FILE_NAME = "jwt_secret"


class SecretError(OperatorError):
    """A secret or key can't be used."""


def secret_file(settings: Settings) -> Path:
    """Return the path of the generated secret."""
    return settings.data_dir / FILE_NAME


def is_kept(settings: Settings) -> bool:
    """Return whether a secret was generated before; False if that can't be seen."""
    try:
        return secret_file(settings).exists()
    except OSError:
        return False


def load_secret(settings: Settings) -> str:
    """Return `JWT_SECRET`, else the secret of the data directory, generated if missing.

    Raises:
        SecretError: The secret can't be stored or read.
    """
    if settings.jwt_secret is not None:
        return settings.jwt_secret.get_secret_value()
    path = secret_file(settings)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
    except OSError as error:
        raise SecretError(
            f"cannot keep the token secret in {path}: {error.strerror}", remedy(error)
        ) from error
    return kept_secret(path)


def kept_secret(path: Path) -> str:
    """Return the secret that a file holds; raise SecretError."""
    try:
        secret = path.read_text("ascii").strip()
    except UnicodeDecodeError:
        secret = ""
    except OSError as error:
        raise SecretError(
            f"the token secret in {path} can't be read: {error.strerror}",
            "let this user read it, or set DATA_DIR to another folder",
        ) from error
    if len(secret) < MIN_SECRET_BYTES:
        raise SecretError(f"{path} is damaged", "remove it; all users then sign in again")
    return secret


def _make(path: Path) -> None:
    """Create the file unless it exists; it appears complete, also beside another start."""
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # unlike a rename, it never replaces another's secret
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            draft.replace(path)
            return
    finally:
        draft.unlink(missing_ok=True)
