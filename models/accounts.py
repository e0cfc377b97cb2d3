"""Signing up, signing in, staying signed in and signing out: what the routes may ask for.

What must always hold: a wrong password and an unknown address give the same answer after
the same time; an access token names its login and ends with it, on all servers, without
being looked up at each request (`models.revocations`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from bson import ObjectId
from pydantic import Field

from models import logins, revocations, users
from models.errors import Forbidden, Unauthorized
from models.indexes import IndexSpec
from models.known_users import note_users
from models.learners import Learners
from models.logins import Login
from models.passwords import PasswordHashes
from models.time_zones import UTC
from models.tokens import Identity, TokenAuthority
from models.users import Credentials, Database, Signup, User, UserView
from models.wire import UtcDatetime, WireModel

INDEXES: Mapping[str, tuple[IndexSpec, ...]] = {
    users.COLLECTION: users.INDEXES,
    logins.COLLECTION: logins.INDEXES,
    revocations.COLLECTION: revocations.INDEXES,
}

RefreshToken = Annotated[str, Field(min_length=1, max_length=512)]


class Refresh(WireModel):
    """Body of `POST /api/auth/refresh`."""

    refresh_token: RefreshToken


class Logout(WireModel):
    """Body of `POST /api/auth/logout`, which may be empty when a bearer token is sent."""

    refresh_token: RefreshToken | None = None


class SignedIn(WireModel):
    """The user, a short-lived access token and a long-lived refresh token to get the next."""

    user: UserView
    access_token: Annotated[str, Field(repr=False)]
    token: Annotated[str, Field(repr=False, description="The same as accessToken.")]
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a kind, no secret
    expires_at: Annotated[UtcDatetime, Field(description="When the access token expires.")]
    refresh_token: Annotated[str, Field(repr=False)]


class Accounts:
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

    async def signup(self, signup: Signup, now: datetime) -> SignedIn:
        """Make an account and sign in; raises Conflict `email_taken`."""
        password_hash = await self._hashes.hash(signup.password)
        user = users.new_user(signup, password_hash, now)
        await users.insert_user(self._db, user)
        await note_users(self._db, [str(user.id)], now)
        if signup.time_zone != UTC:
            await Learners(self._db).set_zone(str(user.id), signup.time_zone)
        return await self._sign_in(user, now)

    async def login(self, credentials: Credentials, now: datetime) -> SignedIn:
        """Sign in; raises Unauthorized `invalid_credentials`."""
        user = await users.find_user_by_email(self._db, credentials.email)
        stored = None if user is None else user.password_hash
        verdict = await self._hashes.verify(credentials.password, stored)
        if user is None or not verdict.matches:
            raise Unauthorized("invalid_credentials", "The e-mail address or password is wrong.")
        if verdict.rehashed is not None:
            await users.replace_password_hash(self._db, user, verdict.rehashed)
        return await self._sign_in(user, now)

    async def refresh(self, refresh_token: str, now: datetime) -> SignedIn:
        """A new pair of tokens; raises Unauthorized `refresh_token_invalid`."""
        until = self._tokens.latest_expiry(now)
        login = await logins.find_login(self._db, refresh_token, now, until)
        user = await users.find_user(self._db, str(login.user_id))
        if user is None:
            await logins.end_login(self._db, login.id, now, until)
            raise Unauthorized("refresh_token_invalid", "The account is gone.")
        # Last, so that nothing can fail once the token at hand is spent.
        following = await logins.rotate_login(
            self._db, login, refresh_token, now, self._refresh_ttl_s, tokens_until=until
        )
        return self._signed_in(user, login, following, now)

    async def logout(
        self, refresh_token: str | None, identity: Identity | None, now: datetime
    ) -> None:
        """End the login of the refresh token, and that of the access token; both may be
        gone already, and a token of another issuer has none."""
        if refresh_token is not None:
            until = self._tokens.latest_expiry(now)
            await logins.end_login_of_token(self._db, refresh_token, now, until)
        if identity is not None:
            await self._end_login_of(identity, now)

    async def logout_everywhere(self, identity: Identity, now: datetime) -> None:
        """End every login of this user, and every token that is out, whoever issued it."""
        await revocations.revoke_user(self._db, identity, now)
        await self._end_login_of(identity, now)
        if ObjectId.is_valid(identity.user_id):
            account, until = ObjectId(identity.user_id), self._tokens.latest_expiry(now)
            await logins.end_all_logins(self._db, account, now, until)

    async def me(self, identity: Identity) -> UserView:
        """The user of a token; without an account here, what the token itself says."""
        user = await users.find_user(self._db, identity.user_id)
        return users.view_stranger(identity) if user is None else users.view_user(user)

    async def prove(self, identity: Identity, password: str | None) -> bool:
        """Whether the user has an account here, in which case the password must be its own:
        raises Forbidden `password_wrong` otherwise."""
        user = await users.find_user(self._db, identity.user_id)
        if user is None:
            return False
        if (
            password is None
            or not (await self._hashes.verify(password, user.password_hash)).matches
        ):
            raise Forbidden("password_wrong", "The password of the account is needed.")
        return True

    def close(self) -> None:
        """Let the threads that hash end."""
        self._hashes.close()

    async def _end_login_of(self, identity: Identity, now: datetime) -> None:
        if identity.login_id is not None:
            # An app that shares the secret may name a login for longer than we do.
            until = max(self._tokens.latest_expiry(now), identity.expires_at)
            await logins.end_login(self._db, identity.login_id, now, until)

    async def _sign_in(self, user: User, now: datetime) -> SignedIn:
        login, refresh_token = await logins.start_login(self._db, user.id, now, self._refresh_ttl_s)
        return self._signed_in(user, login, refresh_token, now)

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
