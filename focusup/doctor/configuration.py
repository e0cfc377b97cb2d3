"""Check the settings: where they come from, misspelt ones, and unwise ones.

The value of a setting is never shown, except for numbers and addresses to listen on.
"""

import difflib
import ipaddress
import os
import stat
from collections.abc import Iterator, Mapping

from focusup.doctor.findings import Finding, failed, failed_by, ok, warning
from focusup.listening import is_loopback
from focusup.security.external_issuer import foreign_issuer
from focusup.security.signing_key import SecretError, kept_secret, secret_file
from focusup.settings import Settings
from focusup.settings_sources import EnvFile

ENV_FILE = ".env"
OURS = "FOCUSUP_"
OF_COMMANDS = {"FOCUSUP_URL", "FOCUSUP_TOKEN"}
SIMILAR = 0.8
"""Of 0 to 1. PORTS and JWT_SECRETS are similar to ours, HOSTNAME and XDG_DATA_DIRS are not."""
OTHER_NAMES = {
    "BIND": "HOST",
    "CORS_ORIGIN": "ALLOWED_ORIGINS",
    "CORS_ORIGINS": "ALLOWED_ORIGINS",
    "DATABASE_URI": "MONGODB_URI",
    "DB_URI": "MONGODB_URI",
    "JWT_KEY": "JWT_SECRET",
    "LOGLEVEL": "LOG_LEVEL",
    "MONGO_URL": "MONGODB_URI",
    "SECRET_KEY": "JWT_SECRET",
    "TOKEN_SECRET": "JWT_SECRET",
}
"""What the same thing is called in other programs."""
DISTINCT_CHARS = 10
OTHERS_MAY = stat.S_IRWXG | stat.S_IRWXO


def in_env_file() -> dict[str, str]:
    """What .env sets, by names in capitals; nothing if it can't be read."""
    try:
        values = EnvFile(Settings).env_vars
    except (OSError, UnicodeDecodeError):
        return {}
    return {name.upper(): value for name, value in values.items() if value}


def sources(
    options: Mapping[str, object],
    environment: Mapping[str, str] = os.environ,
    env_file: Mapping[str, str] | None = None,
) -> Finding:
    """Which settings come from where; empty ones count as not set, as they do at the start."""
    env_file = in_env_file() if env_file is None else env_file
    set_here = {name.upper() for name, value in environment.items() if value}
    names = [name.upper() for name in Settings.model_fields]
    by_option = [name for name in names if options.get(name.lower()) is not None]
    by_environment = [name for name in names if name in set_here and name not in by_option]
    by_file = [n for n in names if n in env_file and n not in (*by_environment, *by_option)]
    told = [
        f"{', '.join(found)} {where}"
        for where, found in (
            ("by option", by_option),
            ("from the environment", by_environment),
            (f"from {ENV_FILE}", by_file),
        )
        if found
    ]
    return ok("settings", "; ".join([*told, "the rest by default" if told else "all by default"]))


def misspelt(
    environment: Mapping[str, str] = os.environ, env_file: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """Variables that look like settings of ours, where that setting itself is not set."""
    env_file = in_env_file() if env_file is None else env_file
    known = {name.upper() for name in Settings.model_fields}
    given = {name.upper(): "the environment" for name, value in environment.items() if value}
    given = {**dict.fromkeys(env_file, ENV_FILE), **given}
    for name, where in sorted(given.items()):
        meant = None if name in known | OF_COMMANDS else _meant(name, known - set(given))
        if meant is not None:
            yield warning("settings", f"{name} in {where} is unknown", f"did you mean {meant}?")


def secret(settings: Settings) -> Finding:
    """Check the secret that signs tokens."""
    if settings.jwt_secret is not None:
        value = settings.jwt_secret.get_secret_value()
        if len(set(value)) < DISTINCT_CHARS:
            found = "JWT_SECRET is easy to guess"
            return warning("secret", found, "try `openssl rand -base64 48`; everyone signs in anew")
        return ok("secret", "JWT_SECRET is set and long enough")
    path = secret_file(settings)
    if not path.exists():
        return ok("secret", f"JWT_SECRET is not set: the first start makes one in {path}")
    try:
        kept_secret(path)
    except SecretError as error:
        return failed_by("secret", error)
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & OTHERS_MAY:
        return warning("secret", f"others may read {path} (mode {mode:o})", f"chmod 600 {path}")
    return ok("secret", f"JWT_SECRET is not set: generated and kept in {path}")


def other_issuer(settings: Settings) -> Finding:
    """Whether the key of another issuer can be used. A JWKS_URL is not asked."""
    try:
        issuer = foreign_issuer(settings)
    except SecretError as error:
        return failed("other issuer", str(error), "set the public key in PEM, or a path to it")
    if issuer is None:
        return ok("other issuer", "none: tokens are signed with the secret alone")
    return ok("other issuer", "JWT_PUBLIC_KEY" if settings.jwt_public_key else "JWKS_URL")


def origins(settings: Settings) -> Finding:
    """Check which pages may call the server."""
    named = len(settings.allowed_origins)
    if named:
        return ok("origins", f"{named} in ALLOWED_ORIGINS")
    if is_loopback(settings.host):
        return ok("origins", "any page of localhost (ALLOWED_ORIGINS is not set)")
    found = f"HOST={settings.host} is open to others, but only pages of localhost may call"
    return warning("origins", found, "set ALLOWED_ORIGINS, such as https://app.example.com")


def proxies(settings: Settings) -> Finding:
    """Check which proxies are trusted."""
    networks = [ipaddress.ip_network(text) for text in settings.trusted_proxies]
    if any(network.prefixlen == 0 for network in networks):
        found = "TRUSTED_PROXIES trusts the whole internet: anybody may claim any address"
        return warning("proxies", found, "name the proxies alone, such as 127.0.0.1")
    if networks:
        return ok("proxies", f"{len(networks)} in TRUSTED_PROXIES")
    return ok("proxies", "none is believed (TRUSTED_PROXIES is not set)")


def budgets(settings: Settings) -> Finding:
    """What strangers may make this server store in a day, and until it is removed."""
    if not settings.rate_limits:
        found = "RATE_LIMITS=off: what strangers may make this server store is not bounded"
        return warning("budgets", found, "set RATE_LIMITS=on outside of benchmarks")
    a_day = settings.stored_mb_per_day
    days = (
        settings.retention_days_page_views,
        settings.retention_days_visits,
        settings.retention_days_events,
    )
    kept = [each for each in days if each is not None]
    told = (
        f"all together may store {a_day:g} MB a day, one address "
        f"{settings.stored_mb_per_day_of_address:g} MB"
    )
    if len(kept) < len(days):
        found = f"{told}; page views, visits or events are kept for good"
        return warning("budgets", found, "set RETENTION_DAYS_… to remove them after a time")
    return ok(
        "budgets", f"{told}, for {max(kept)} days: {a_day * max(kept) / 1000:.0f} GB at worst"
    )


def _meant(name: str, missing: set[str]) -> str | None:
    bare = name.removeprefix(OURS)
    if OTHER_NAMES.get(bare, bare) in missing:
        return OTHER_NAMES.get(bare, bare)
    return next(iter(difflib.get_close_matches(bare, sorted(missing), n=1, cutoff=SIMILAR)), None)
