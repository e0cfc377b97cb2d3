"""The secret that signs access tokens: set by the operator, or made once and kept.

What must always hold: a secret is never printed or logged; a generated one is readable
by its owner alone, and the same at every start with the same data directory.
"""

import os
import secrets
from pathlib import Path

from focusup.disk_space import remedy
from focusup.settings import MIN_SECRET_BYTES, Settings

FILE_NAME = "jwt_secret"


class SecretError(Exception):
    """The secret can't be used; the message is for people."""


def secret_file(settings: Settings) -> Path:
    return settings.data_dir / FILE_NAME


def is_kept(settings: Settings) -> bool:
    """Whether one was generated before, as far as can be told."""
    try:
        return secret_file(settings).exists()
    except OSError:
        return False


def load_secret(settings: Settings) -> str:
    """`JWT_SECRET`, else the generated secret of the data directory (made if missing).

    Raises SecretError.
    """
    if settings.jwt_secret is not None:
        return settings.jwt_secret.get_secret_value()
    path = secret_file(settings)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
    except OSError as error:
        raise SecretError(
            f"cannot keep the token secret in {path}: {error.strerror}; {remedy(error)}"
        ) from error
    return kept_secret(path)


def kept_secret(path: Path) -> str:
    """What this file holds. Raises SecretError."""
    try:
        secret = path.read_text("ascii").strip()
    except UnicodeDecodeError:
        secret = ""
    except OSError as error:
        raise SecretError(
            f"the token secret in {path} can't be read: {error.strerror}; "
            "let this user read it, or set DATA_DIR to another folder"
        ) from error
    if len(secret) < MIN_SECRET_BYTES:
        raise SecretError(f"{path} is damaged; remove it, and everyone signs in anew")
    return secret


def _make(path: Path) -> None:
    """Make the file unless it is there. It appears whole, whoever else starts meanwhile."""
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
