"""What the operator of a server does with accounts: roles, passwords, locks, logins.

Invariants:
- Each change is stored in the account before its tokens are revoked: a token that is issued in
  between is of the new state, or ends with the others.
- Servers that run hear of it as they hear of signing out (`models.tokens.revocations`).
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
    """Return the account with this address, which must be in its one spelling.

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
    """Make the user an admin, or no admin any more: then at once, on all servers."""
    await users.set_role(db, user, role)
    change = revocations.grant_role if role == "admin" else revocations.revoke_role
    await change(db, str(user.id), now)


async def reset_password(
    db: Database, user: User, now: datetime, tokens_until: datetime, hashes: PasswordHashes
) -> str | None:
    """Replace the password by one that is good for `RESET_LASTS`, and end all logins.

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
    """Refuse the user, and every token that names it, until `unlock`."""
    await users.lock(db, user.id, now)
    await revocations.lock_user(db, str(user.id), now, tokens_until)
    await refresh_tokens.end_logins(db, user.id, now, tokens_until)


async def unlock(db: Database, user: User, now: datetime) -> None:
    """Let the user sign in again. What was issued before stays refused."""
    await users.unlock(db, user.id)
    await revocations.unlock_user(db, str(user.id), now)


async def sign_out(db: Database, user: User, now: datetime, tokens_until: datetime) -> None:
    """End all logins of the user, and all tokens that are out."""
    await users.end_epoch(db, user.id)
    await _revoke_all(db, user, now, tokens_until)


async def sign_out_everybody(db: Database, now: datetime, tokens_until: datetime) -> int:
    """End all logins of all users, and all tokens that are out; return how many logins.

    A restored backup has logins that were ended since, and not the rows that ended them.
    """
    await revocations.revoke_everybody(db, now, tokens_until)
    return await refresh_tokens.end_every_login(db, now, tokens_until)


async def _revoke_all(db: Database, user: User, now: datetime, tokens_until: datetime) -> None:
    await revocations.revoke_user(db, str(user.id), now, tokens_until)
    await refresh_tokens.end_logins(db, user.id, now, tokens_until)
