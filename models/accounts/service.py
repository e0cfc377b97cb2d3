"""Sign up, sign in, refresh and sign out, as the routes need it.

Invariants:

- A wrong password and an unknown address give the same answer after the same time.
- An access token names its login and ends with it, on all servers, without a look-up at each
  request (`models.tokens.revocations`).
- An operation that ends all logins of a user changes the account's epoch first. A login that starts
  or is refreshed reads the account last, so it cannot slip through.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from models.accounts import refresh_tokens, users
from models.accounts.passwords import PasswordHashes, refuse_common
from models.accounts.refresh_tokens import Login
from models.accounts.settings import SettingsStore
from models.accounts.user_directory import note_users
from models.accounts.users import (
    Credentials,
    PasswordChange,
    Signup,
    User,
    UserView,
)
from models.base.database import Database
from models.base.errors import Forbidden, NotFound, Unauthorized
from models.base.indexes import IndexSpec
from models.base.schema_types import UtcDatetime, WireModel
from models.base.time_zones import UTC
from models.tokens import revocations
from models.tokens.access_tokens import Identity, TokenAuthority

INDEXES: Mapping[str, tuple[IndexSpec, ...]] = {
    users.COLLECTION: users.INDEXES,
    refresh_tokens.COLLECTION: refresh_tokens.INDEXES,
    revocations.COLLECTION: revocations.INDEXES,
}

RefreshToken = Annotated[str, Field(min_length=1, max_length=512)]


class Refresh(WireModel):
    """Body of `POST /api/auth/refresh`."""

    refresh_token: RefreshToken


class Logout(WireModel):
    """Body of `POST /api/auth/logout`, which may be empty with a bearer token."""

    refresh_token: RefreshToken | None = None


class SignedIn(WireModel):
    """The user, a short-lived access token, and a long-lived refresh token."""

    user: UserView
    access_token: Annotated[str, Field(repr=False)]
    token: Annotated[str, Field(repr=False, description="The same as accessToken.")]
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a kind, no secret
    expires_at: Annotated[UtcDatetime, Field(description="When the access token expires.")]
    refresh_token: Annotated[str, Field(repr=False)]


class AccountService:
    """The accounts of one database; refresh tokens live for `refresh_ttl_s` seconds."""

    def __init__(
        self,
        db: Database,
        tokens: TokenAuthority,
        refresh_ttl_s: float,
        hashes: PasswordHashes | None = None,
    ) -> None:
        self._db = db
        self._tokens = tokens
        self._refresh_ttl_s = refresh_ttl_s
        self._hashes = hashes or PasswordHashes()

    async def signup(self, signup: Signup, now: datetime, caller: str = "") -> SignedIn:
        """Create an account and sign in; `caller` is the address that asks.

        Raises:
            Conflict: `email_taken`.
            Invalid: `password_too_common`.
        """
        refuse_common(signup.password, signup.email, "password")
        password_hash = await self._hashes.hash(signup.password, caller)
        user = users.new_user(signup, password_hash, now)
        await users.insert_user(self._db, user)
        await note_users(self._db, [str(user.id)], now)
        if signup.time_zone != UTC:
            await SettingsStore(self._db).set_zone(str(user.id), signup.time_zone)
        return await self._sign_in(user, now)

    async def login(self, credentials: Credentials, now: datetime, caller: str = "") -> SignedIn:
        """Sign in; raise Unauthorized `invalid_credentials` or Forbidden `account_locked`."""
        user = await users.find_user_by_email(self._db, credentials.email)
        stored = None if user is None else user.password_hash
        verdict = await self._hashes.verify(credentials.password, stored, caller)
        if user is None or not verdict.matches or _has_expired(user, now):
            raise _wrong()
        if verdict.rehashed is not None:
            await users.replace_password_hash(self._db, user, verdict.rehashed)
        return await self._sign_in(user, now)

    async def refresh(self, refresh_token: str, now: datetime) -> SignedIn:
        """Return a new pair of tokens; raise Unauthorized `refresh_token_invalid`."""
        until = self._tokens.latest_expiry(now)
        login = await refresh_tokens.find_login(self._db, refresh_token, now, until)
        following = await refresh_tokens.rotate_login(
            self._db, login, refresh_token, now, self._refresh_ttl_s, tokens_until=until
        )
        user = await users.find_user(self._db, str(login.user_id))
        if user is None or not user.admits(login.id, login.epoch):
            await refresh_tokens.end_login(self._db, login.id, now, until)
            raise Unauthorized("refresh_token_invalid", "The login was ended.")
        return self._signed_in(user, login, following, now)

    async def logout(
        self, refresh_token: str | None, identity: Identity | None, now: datetime
    ) -> None:
        """End the login of the refresh token, and the login of the access token.

        Both may have ended already; a token of another issuer has none.
        """
        if refresh_token is not None:
            until = self._tokens.latest_expiry(now)
            await refresh_tokens.end_login_of_token(self._db, refresh_token, now, until)
        if identity is not None:
            await self._end_login_of(identity, now)

    async def logout_everywhere(self, identity: Identity, now: datetime) -> None:
        """End every login of a user, and every issued token, also of other issuers."""
        account = users.account_id(identity.user_id)
        if account is not None:
            await users.end_epoch(self._db, account)
        await revocations.revoke_user(self._db, identity.user_id, now, identity.expires_at)
        await self._end_login_of(identity, now)
        if account is not None:
            await refresh_tokens.end_logins(self._db, account, now, self._tokens.latest_expiry(now))

    async def change_password(
        self, identity: Identity, change: PasswordChange, now: datetime, caller: str = ""
    ) -> None:
        """Change the password of an account, and end all of its logins but this one.

        Raises:
            NotFound: `account_not_found`, for users of another issuer.
            Forbidden: `password_wrong`.
            Invalid: `password_too_common`.
        """
        user = await users.find_user(self._db, identity.user_id)
        if user is None:
            raise NotFound("account_not_found", "This user has no account here.")
        verdict = await self._hashes.verify(change.current_password, user.password_hash, caller)
        if not verdict.matches or _has_expired(user, now):
            raise _password_wrong()
        refuse_common(change.new_password, user.email, "newPassword")
        password_hash = await self._hashes.hash(change.new_password, caller)
        kept = identity.login_id
        if not await users.replace_password(self._db, user, password_hash, now, kept_login=kept):
            raise _password_wrong()  # another request changed it at the same moment
        until = self._tokens.latest_expiry(now)
        await revocations.revoke_user(self._db, str(user.id), now, until, kept_login=kept)
        await refresh_tokens.end_logins(self._db, user.id, now, until, but=kept)

    async def me(self, identity: Identity) -> UserView:
        """Return the user of a token; without an account, what the token says."""
        user = await users.find_user(self._db, identity.user_id)
        return users.view_stranger(identity) if user is None else users.view_user(user)

    async def prove(self, identity: Identity, password: str | None, caller: str = "") -> bool:
        """Return whether the user has an account; if so, the password must be right.

        Raises:
            Forbidden: `password_wrong`.
        """
        user = await users.find_user(self._db, identity.user_id)
        if user is None:
            return False
        if (
            password is None
            or not (await self._hashes.verify(password, user.password_hash, caller)).matches
        ):
            raise _password_wrong()
        return True

    def close(self) -> None:
        """End the hashing threads."""
        self._hashes.close()

    async def _end_login_of(self, identity: Identity, now: datetime) -> None:
        if identity.login_id is not None:
            # An app that shares the secret may name a login for longer than we do.
            until = max(self._tokens.latest_expiry(now), identity.expires_at)
            await refresh_tokens.end_login(self._db, identity.login_id, now, until)

    async def _sign_in(self, user: User, now: datetime) -> SignedIn:
        """Start a login.

        Raises:
            Forbidden: `account_locked`.
            Unauthorized: `invalid_credentials`, all logins were ended in the meantime.
        """
        if user.locked_at is not None:
            raise Forbidden("account_locked", "This account is locked; ask the operator.")
        login, refresh_token = await refresh_tokens.start_login(
            self._db, user.id, now, self._refresh_ttl_s, epoch=user.epoch
        )
        until = self._tokens.latest_expiry(now)
        current = await users.find_user(self._db, str(user.id))
        if current is None or not current.admits(login.id, login.epoch):
            await refresh_tokens.end_login(self._db, login.id, now, until)
            raise _wrong()
        await refresh_tokens.end_oldest_logins(self._db, user.id, now, until)
        return self._signed_in(current, login, refresh_token, now)

    def _signed_in(self, user: User, login: Login, refresh_token: str, now: datetime) -> SignedIn:
        access_token, expires_at = self._tokens.issue(
            str(user.id), login_id=login.id, role=user.role, now=now
        )
        return SignedIn(
            user=users.view_user(user),
            access_token=access_token,
            token=access_token,
            expires_at=expires_at,
            refresh_token=refresh_token,
        )


def _has_expired(user: User, now: datetime) -> bool:
    return user.password_expires_at is not None and user.password_expires_at <= now


def _wrong() -> Unauthorized:
    return Unauthorized("invalid_credentials", "The e-mail address or password is wrong.")


def _password_wrong() -> Forbidden:
    return Forbidden("password_wrong", "The password of the account is needed.")
