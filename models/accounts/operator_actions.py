"""Carry out what the operator does with accounts: roles, passwords, locks, logins.

Invariants:

- Each change is stored in the account before its tokens are revoked, so a token that is issued in
  between has the new state, or is revoked with the others.
- Running servers learn of it by the revocations (`models.tokens.revocations`).
"""

import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

from models.accounts import refresh_tokens, users
from models.accounts.passwords import PasswordHashes
from models.accounts.users import Role, User
from models.base.database import Database
from models.base.errors import NotFound
from models.tokens import revocations

RESET_LASTS = timedelta(hours=24)
RESET_BYTES = 12


class Account(NamedTuple):
    """An account, and how it is used."""

    user: User
    logins: int
    last_used_at: datetime | None
    """When the login that was used last was begun or refreshed."""


async def find_account(db: Database, email: str) -> Account:
    """Return the account of a normalised address.

    Raises:
        NotFound: `account_not_found`.
    """
    user = await users.find_user_by_email(db, email)
    if user is None:
        raise NotFound("account_not_found", "There is no account with this e-mail address.")
    found = (
        await db[refresh_tokens.COLLECTION]
        .find({"userId": user.id}, {"rotatedAt": 1})
        .to_list(None)
    )
    used = [each["rotatedAt"] for each in found]
    return Account(user, len(used), max(used, default=None))


async def give_role(db: Database, user: User, role: Role, now: datetime) -> None:
    """Make a user an admin, or take the role away, at once on all servers."""
    await users.set_role(db, user, role)
    change = revocations.grant_role if role == "admin" else revocations.revoke_role
    await change(db, str(user.id), now)


async def reset_password(
    db: Database, user: User, now: datetime, tokens_until: datetime, hashes: PasswordHashes
) -> str | None:
    """Set a password that is valid for `RESET_LASTS`, and end all logins.

    Returns:
        The password; None if the user changed it at the same moment.
    """
    password = secrets.token_urlsafe(RESET_BYTES)
    password_hash = await hashes.hash(password)
    expires_at = now + RESET_LASTS
    if not await users.replace_password(db, user, password_hash, now, expires_at=expires_at):
        return None
    await _revoke_all(db, user, now, tokens_until)
    return password


async def lock(db: Database, user: User, now: datetime, tokens_until: datetime) -> None:
    """Refuse a user, and every token of the user, until `unlock`."""
    await users.lock(db, user.id, now)
    await revocations.lock_user(db, str(user.id), now, tokens_until)
    await refresh_tokens.end_logins(db, user.id, now, tokens_until)


async def unlock(db: Database, user: User, now: datetime) -> None:
    """Let a user sign in again; tokens from before stay refused."""
    await users.unlock(db, user.id)
    await revocations.unlock_user(db, str(user.id), now)


async def sign_out(db: Database, user: User, now: datetime, tokens_until: datetime) -> None:
    """End all logins of a user, and all issued tokens."""
    await users.end_epoch(db, user.id)
    await _revoke_all(db, user, now, tokens_until)


async def sign_out_everybody(db: Database, now: datetime, tokens_until: datetime) -> int:
    """End all logins of all users, and all issued tokens; return how many logins.

    A restored backup has logins that were ended since, without the rows that ended them.
    """
    await revocations.revoke_everybody(db, now, tokens_until)
    return await refresh_tokens.end_every_login(db, now, tokens_until)


async def _revoke_all(db: Database, user: User, now: datetime, tokens_until: datetime) -> None:
    await revocations.revoke_user(db, str(user.id), now, tokens_until)
    await refresh_tokens.end_logins(db, user.id, now, tokens_until)
