"""Settings of `make run`, from the environment with the prefix `WARREN_LOCAL_`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import Settings


class LocalSettings(Settings):
    """Where the private RabbitMQ and MongoDB of `make run` live."""

    model_config = SettingsConfigDict(env_prefix="WARREN_LOCAL_")

    dir: Path = Field(Path(".warren"), description="data and logs of the private RabbitMQ and MongoDB")
    amqp_port: int = Field(5673, ge=1, le=65535, description="RabbitMQ's port, unless WARREN_AMQP_URL names another")
    mongo_port: int = Field(27018, ge=1, le=65535, description="MongoDB's port, unless WARREN_MONGO_URL names another")
