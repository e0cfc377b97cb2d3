"""Every setting of the server, read from the environment and from `.env`.

`.env.example` lists them with units and defaults; a test holds the two together.
Lower floors never see this object: the wiring hands them plain values.
"""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self, cast
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from focusup.listening import is_loopback
from focusup.settings_sources import EnvFile, Environment

MIN_SECRET_BYTES = 32
"""HS256 needs a key at least as long as its hash (RFC 7518, section 3.2)."""
MIN_SECRET_VARIETY = 8
"""32 random hexadecimal digits have fewer once in 28 million times."""
MIN_METRICS_TOKEN = 16

DATABASE = re.compile(r"[A-Za-z0-9_-]{1,38}")
IN_URI = re.compile(r"mongodb(?:\+srv)?://[^/]+/([^?]+)")
BASE_PATH = re.compile(r"(?!\.)[A-Za-z0-9._~-]+(/(?!\.)[A-Za-z0-9._~-]+)*")
OF_OURS = frozenset(
    {"admin", "api", "assets", "client", "docs", "focusup.js", "me", "metrics", "ws"}
)
"""Below these it would be unclear whether a proxy has taken the base path off a request."""
OF_THE_SERVER = frozenset({"admin", "config", "local"})
"""Databases of MongoDB itself: in a URI they say where the user is known."""

RetentionDays = Annotated[int, Field(ge=2, le=36_500)] | None
"""Two days at least: today's figures, and yesterday's until they are remembered, are counted
from what is stored. None keeps it for good."""
FOR_GOOD = "0"
"""The word for None, where a number of days is the default."""


class Settings(BaseSettings):
    """Every setting of the server; `.env.example` describes each."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore"
    )

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 5000
    base_path: str = ""
    """Where a proxy serves us below its host, such as `/focus`; empty: at its root."""
    data_dir: Path = Path(".focusup")
    mongodb_uri: str | None = None
    mongodb_database: Annotated[str, Field(pattern=f"^{DATABASE.pattern}$")] = "focusup"
    """By default the one that MONGODB_URI names, if it does."""
    jwt_secret: SecretStr | None = None
    jwt_public_key: str | None = None
    jwks_url: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    access_token_minutes: Annotated[float, Field(gt=0, le=1440)] = 60
    refresh_token_days: Annotated[float, Field(gt=0, le=365)] = 30
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    idle_after_seconds: Annotated[float, Field(gt=0, le=3600)] = 15
    abandon_after_minutes: Annotated[float, Field(gt=0, le=10_080)] = 30
    max_sockets_per_user: Annotated[int, Field(ge=1)] = 10
    max_sockets_per_visitor: Annotated[int, Field(ge=1)] = 50
    max_sockets: Annotated[int, Field(ge=1)] = 30_000
    keep_alive_seconds: Annotated[float, Field(ge=1, le=3600)] = 75
    max_idle_connections: Annotated[int, Field(ge=16)] = 4_000
    max_idle_connections_per_address: Annotated[int, Field(ge=4)] = 1_000
    max_pages: Annotated[int, Field(ge=1)] = 10_000
    max_new_pages_per_visitor: Annotated[int, Field(ge=1)] = 500
    max_new_pages_per_address: Annotated[int, Field(ge=1)] = 500
    max_waiting_views: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    views_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 600
    stored_mb_per_day: Annotated[float, Field(gt=0, le=1_000_000)] = 500
    stored_mb_per_day_of_address: Annotated[float, Field(gt=0, le=1_000_000)] = 100
    rate_limits: bool = True
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 1200
    requests_per_minute_of_address: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    handshakes_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 6_000
    attempts_per_address: Annotated[int, Field(ge=1, le=100_000)] = 100
    heartbeat_interval_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    now_ttl_minutes: Annotated[float, Field(gt=0, le=1440)] = 5
    active_visit_ttl_minutes: Annotated[float, Field(gt=0, le=1440)] = 10
    retention_days_sessions: RetentionDays = None
    retention_days_page_views: Annotated[int, Field(ge=9, le=36_500)] | None = 400
    """Statistics of a day are closed once its views are over, after 7 days at the latest."""
    retention_days_visits: RetentionDays = 400
    retention_days_presence: RetentionDays = None
    retention_days_events: RetentionDays = 400
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    metrics_token: SecretStr | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def requests_of_address(self) -> int:
        """The requests a minute that one address may make, all its users together."""
        return self.requests_per_minute_of_address or ADDRESS_SHARES * self.requests_per_minute

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours take its place
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - there are none
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment and `.env` literally, in this order."""
        env_file = cast(DotEnvSettingsSource, dotenv_settings).env_file
        return init_settings, Environment(settings_cls), EnvFile(settings_cls, env_file)

    @field_validator("log_level", mode="before")
    @classmethod
    def in_any_case(cls, value: object) -> object:
        """Accept the level in any case."""
        return value.lower() if isinstance(value, str) else value

    @field_validator("base_path")
    @classmethod
    def below_a_host(cls, value: str) -> str:
        """Normalise the path, which must not collide with our own."""
        path = value.strip("/")
        if not path:
            return ""
        if not BASE_PATH.fullmatch(path):
            raise ValueError("must be a path such as /focus")
        if path.partition("/")[0] in OF_OURS:
            raise ValueError("must not begin like one of FocusUp's own paths; try /focus")
        return f"/{path}"

    @field_validator("data_dir")
    @classmethod
    def from_home(cls, value: Path) -> Path:
        """Expand `~`."""
        try:
            return value.expanduser()
        except RuntimeError:
            raise ValueError("names a user without a home directory") from None

    @model_validator(mode="after")
    def database_of_the_uri(self) -> Self:
        """Use the database that MONGODB_URI names."""
        named = _database_in(self.mongodb_uri or "")
        if named is None or "mongodb_database" in self.model_fields_set:
            return self
        if not DATABASE.fullmatch(named):
            raise ValueError(
                "MONGODB_URI names a database that can't be ours; set MONGODB_DATABASE"
            )
        self.mongodb_database = named
        return self

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def split_origins(cls, value: object) -> object:
        """Split a list at commas."""
        if isinstance(value, str):
            return tuple(part.rstrip("/") for part in _listed(value))
        return value

    @field_validator(
        "retention_days_sessions",
        "retention_days_page_views",
        "retention_days_visits",
        "retention_days_presence",
        "retention_days_events",
        mode="before",
    )
    @classmethod
    def zero_keeps_it(cls, value: object) -> object:
        """Read 0 as "keep for good"."""
        return None if str(value) == FOR_GOOD else value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def split_proxies(cls, value: object) -> object:
        """Split a list at commas."""
        return _listed(value) if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def each_a_network(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse anything but addresses and networks."""
        try:
            for network in value:
                ip_network(network)
        except ValueError:
            raise ValueError("must be addresses or networks, such as 10.0.0.0/8") from None
        return value

    @field_validator("allowed_origins")
    @classmethod
    def each_an_origin(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Normalise origins as browsers send them."""
        from routes.http.origin_names import normalised_origin

        try:
            return tuple(map(normalised_origin, value))
        except ValueError:
            raise ValueError(
                "must name each origin in full, such as https://app.example.com"
            ) from None

    @field_validator("jwt_secret")
    @classmethod
    def long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        """Refuse a short secret."""
        if value is not None and len(value.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(
                f"must be at least {MIN_SECRET_BYTES} bytes long; leave it empty to have one made, "
                "or try `openssl rand -base64 48`"
            )
        return value

    @field_validator("jwt_secret")
    @classmethod
    def random_enough(cls, value: SecretStr | None) -> SecretStr | None:
        """Refuse a secret of few different characters."""
        if value is not None and len(set(value.get_secret_value())) < MIN_SECRET_VARIETY:
            raise ValueError(
                f"must have at least {MIN_SECRET_VARIETY} different characters; "
                "try `openssl rand -base64 48`"
            )
        return value

    @field_validator("jwt_secret")
    @classmethod
    def no_public_key(cls, value: SecretStr | None) -> SecretStr | None:
        """Refuse a key in PEM or of SSH, which is no secret."""
        from jwt import InvalidKeyError, get_algorithm_by_name

        if value is not None:
            try:
                get_algorithm_by_name("HS256").prepare_key(value.get_secret_value())
            except InvalidKeyError:
                raise ValueError("must be a secret, not a key in PEM or of SSH") from None
        return value

    @field_validator("metrics_token")
    @classmethod
    def not_guessed(cls, value: SecretStr | None) -> SecretStr | None:
        """Refuse a short token."""
        if value is not None and len(value.get_secret_value()) < MIN_METRICS_TOKEN:
            raise ValueError(f"must be at least {MIN_METRICS_TOKEN} characters long")
        return value

    @field_validator("jwks_url")
    @classmethod
    def safe_to_fetch(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Refuse addresses that would expose the fetch."""
        if value is None:
            return None
        if info.data.get("jwt_public_key") is not None:
            raise ValueError("and JWT_PUBLIC_KEY: set one of the two")
        try:
            url = urlsplit(value)
            is_safe = url.scheme == "https" and url.hostname is not None
            is_ours = url.scheme == "http" and is_loopback(url.hostname or "")
        except ValueError:
            is_safe = is_ours = False
        if not (is_safe or is_ours) or "@" in value:
            raise ValueError("must be an https:// address without credentials (http:// only here)")
        return value

    @field_validator("jwt_issuer", "jwt_audience")
    @classmethod
    def has_keys(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Refuse an issuer or audience without keys of an external issuer."""
        # Tokens signed with JWT_SECRET are not compared with it, and must not seem to be.
        given = (info.data.get("jwt_public_key"), info.data.get("jwks_url"))
        if value is not None and given == (None, None):
            raise ValueError("is for tokens of JWT_PUBLIC_KEY or JWKS_URL: set one of them too")
        return value

    @field_validator("now_ttl_minutes")
    @classmethod
    def outlasts_a_heartbeat(cls, value: float, info: ValidationInfo) -> float:
        """Refuse a time in which no heartbeat falls."""
        every_s = info.data.get("heartbeat_interval_seconds")
        if every_s is not None and value * 60 <= every_s:
            raise ValueError("must be longer than HEARTBEAT_INTERVAL_SECONDS")
        return value


ADDRESS_SHARES = 5
"""So many times the requests of one user may come from one address, by default."""


def _database_in(uri: str) -> str | None:
    """The database that a URI names; no look-up, as for `mongodb+srv://`."""
    found = IN_URI.match(uri)
    name = None if found is None else unquote(found[1])
    return None if name in OF_THE_SERVER else name


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
