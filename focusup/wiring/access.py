"""Build what decides who may do what: tokens, accounts, revocations, deletions."""

from collections.abc import Callable
from datetime import datetime

from focusup.security.external_issuer import foreign_issuer
from focusup.settings import Settings
from models.accounts.idempotency_keys import IdempotencyKeys
from models.accounts.login_throttle import LoginThrottle
from models.accounts.service import AccountService
from models.base.database import Database
from models.privacy.deletions import Deletions
from models.privacy.erasure import remove_person
from models.tokens.access_tokens import TokenAuthority
from models.tokens.revocations import Revocations
from realtime.cluster.account_deletion import AccountDeletions
from realtime.cluster.revocation_listener import RevocationListener
from realtime.pageviews.tracking import PageViewTracking
from realtime.sessions.service import SessionService
from realtime.sessions.tracking import SessionTracking
from routes.http.services import AccessServices, Job

SECONDS_PER_DAY = 86_400


def build_access(
    settings: Settings,
    db: Database,
    secret: str,
    now: Callable[[], datetime],
    *,
    session_tracking: SessionTracking,
    sessions: SessionService,
    page_view_tracking: PageViewTracking,
) -> tuple[AccessServices, tuple[Job, ...]]:
    """Build the services of accounts and tokens, and the jobs that keep them current.

    Raises:
        SecretError: The keys of another issuer can't be used.
    """
    issuer = foreign_issuer(settings)
    access_ttl_s = settings.access_token_minutes * 60
    deleted = Deletions(db, secret, access_ttl_s)
    revoked = Revocations(db)
    tokens = TokenAuthority(
        secret,
        access_ttl_s,
        deleted.is_deleted,
        issuer,
        revoked.is_revoked,
        has_lost_role=revoked.has_lost_role,
    )
    revocations = RevocationListener(
        revoked, (session_tracking.registry, page_view_tracking.registry), now
    )
    deletions = AccountDeletions(
        deleted,
        remove=lambda user_id, at: remove_person(db, user_id, at),
        forget=(
            session_tracking.forget_user,
            page_view_tracking.forget_user,
            sessions.forget_user,
            revoked.forget_user,
        ),
        now=now,
    )
    access = AccessServices(
        tokens=tokens,
        accounts=AccountService(db, tokens, settings.refresh_token_days * SECONDS_PER_DAY),
        login_throttle=LoginThrottle(
            db,
            secret,
            per_address=settings.attempts_per_address,
            enabled=settings.rate_limits,
        ),
        revocations=revocations,
        deletions=deletions,
        idempotency_keys=IdempotencyKeys(db, secret),
    )
    keys: tuple[Job, ...] = () if issuer is None else (issuer.keys.run,)
    return access, (deletions.run, revocations.run, *keys)
