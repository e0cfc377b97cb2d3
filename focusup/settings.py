"""Every setting of the server, read from the environment and from `.env`.

`.env.example` lists them with units and defaults; a test holds the two together.
Lower floors never see this object: the wiring hands them plain values.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIN_SECRET_BYTES = 32
"""HS256 needs a key at least as long as its hash (RFC 7518, section 3.2)."""
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/*?#@\s]+")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore"
    )

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 5000
    data_dir: Path = Path(".focusup")
    mongodb_uri: str | None = None
    mongodb_database: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,38}$")] = "focusup"
    jwt_secret: SecretStr | None = None
    access_token_minutes: Annotated[float, Field(gt=0, le=1440)] = 60
    refresh_token_days: Annotated[float, Field(gt=0, le=365)] = 30
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    idle_after_seconds: Annotated[float, Field(gt=0, le=3600)] = 15
    abandon_after_minutes: Annotated[float, Field(gt=0, le=10_080)] = 30
    max_sockets_per_user: Annotated[int, Field(ge=1)] = 10
    max_sockets_per_visitor: Annotated[int, Field(ge=1)] = 50
    max_sockets: Annotated[int, Field(ge=1)] = 30_000
    max_pages: Annotated[int, Field(ge=1)] = 10_000
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def split_origins(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
        return value

    @field_validator("allowed_origins")
    @classmethod
    def each_an_origin(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(ORIGIN.fullmatch(origin) for origin in value):
            raise ValueError("must name each origin in full, such as https://app.example.com")
        return value

    @field_validator("jwt_secret")
    @classmethod
    def long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"must be at least {MIN_SECRET_BYTES} bytes long")
        return value
