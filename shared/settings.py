"""Settings, one class per concern, read from the environment with the prefix `WARREN_`.

A service's own settings class groups those it needs; `services/` alone reads the environment.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

DEVELOPMENT_SECRET = "warren-development-secret-not-for-production"  # refused outside development
MIN_SECRET_CHARS = 32  # an HS256 key is at least as long as its hash: RFC 7518 §3.2


class Mode(StrEnum):
    """What the deployment is for."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Settings(BaseSettings):
    """Base of all settings: frozen, and an unknown or malformed value is an error at start."""

    model_config = SettingsConfigDict(env_prefix="WARREN_", frozen=True, extra="ignore", env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given and nothing else: pydantic would read the process's environment by itself."""
        return (init_settings,)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the fields from `<prefix><FIELD>` variables; an empty one counts as absent."""
        prefix = cls.model_config["env_prefix"]
        values = {name: environ.get(f"{prefix}{name}".upper()) for name in cls.model_fields}
        return cls.model_validate({name: value for name, value in values.items() if value})


class BrokerSettings(Settings):
    """The message broker."""

    amqp_url: SecretStr = Field(SecretStr("amqp://guest:guest@127.0.0.1:5672/"), description="RabbitMQ's AMQP address")
    shards: int = Field(
        4,  # on two cores 8 cost a tenth more CPU a message: smaller batches
        ge=1,
        le=256,
        description="shards of commands and events, the same everywhere: at most so many replicas share the work",
    )
    publish_pace_s: float = Field(
        0.01,
        ge=0,
        le=1,
        description="a busy route sends one batch in this time, an idle one at once; longer: less CPU, more delay",
    )
    broker_timeout_s: float = Field(10.0, gt=0, description="deadline of one broker operation")


class MongoSettings(Settings):
    """The database. A replica set is required: majority writes and their acknowledgement."""

    mongo_url: SecretStr = Field(
        SecretStr("mongodb://127.0.0.1:27017/?directConnection=true"), description="address of a MongoDB replica set"
    )
    mongo_database: str = Field("warren", description="name of the database")
    mongo_timeout_s: float = Field(10.0, gt=0, le=20, description="deadline of one database operation")


class LogSettings(Settings):
    """Logging."""

    log_format: Literal["console", "json"] = Field("console", description="console or json")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR; what is below it is not logged"
    )


class AuthSettings(Settings):
    """How tokens are checked: a shared HS256 secret, or the public keys at a JWKS address."""

    mode: Mode = Field(Mode.PRODUCTION, description="development or production, which refuses development secrets")
    jwt_secret: SecretStr | None = Field(
        None,
        description=f"key of HS256 tokens, {MIN_SECRET_CHARS} characters or more; this or WARREN_JWKS_URL is needed",
    )
    jwks_url: str | None = Field(None, description="address of the public keys of an identity provider's tokens")
    jwt_audience: str | None = Field(None, description="the aud that a token must have; default: tokens without one")
    jwt_issuer: str | None = Field(None, description="the iss that a token must have; default: any")

    @model_validator(mode="after")
    def _needs_a_real_key(self) -> "AuthSettings":
        if self.jwt_secret is None and self.jwks_url is None:
            raise ValueError("Set WARREN_JWT_SECRET (HS256) or WARREN_JWKS_URL.")
        if self.jwt_secret is not None and len(self.jwt_secret) < MIN_SECRET_CHARS:
            raise ValueError(f"WARREN_JWT_SECRET needs at least {MIN_SECRET_CHARS} characters.")
        _refuse_default(self.mode, self.jwt_secret, "WARREN_JWT_SECRET")
        return self


class AdminSettings(Settings):
    """The admin and internal query API of a service, on its own port."""

    mode: Mode = Mode.PRODUCTION
    admin_host: str = Field("127.0.0.1", description="address on which the admin ports listen")
    admin_token: SecretStr = Field(description="bearer token of the admin API")
    internal_token: SecretStr = Field(description="bearer token by which services query each other")

    @model_validator(mode="after")
    def _needs_real_tokens(self) -> "AdminSettings":
        _refuse_default(self.mode, self.admin_token, "WARREN_ADMIN_TOKEN")
        _refuse_default(self.mode, self.internal_token, "WARREN_INTERNAL_TOKEN")
        return self


class ProcessSettings(BaseModel):
    """All that one process is told: a field for each group of settings."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read every group. Raises: pydantic.ValidationError, which names the variable that is wrong."""
        groups: dict[str, Any] = {name: field.annotation for name, field in cls.model_fields.items()}
        return cls(**{name: group.from_env(environ) for name, group in groups.items()})


class InitSettings(ProcessSettings):
    """What the job is told that prepares the broker and the database."""

    broker: BrokerSettings
    mongo: MongoSettings
    log: LogSettings


def _refuse_default(mode: Mode, secret: SecretStr | None, name: str) -> None:
    if mode is Mode.PRODUCTION and secret is not None and secret.get_secret_value() == DEVELOPMENT_SECRET:
        raise ValueError(f"{name} is the development secret; set your own, or WARREN_MODE=development.")
