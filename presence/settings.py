"""What a presence process can be told."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import AdminSettings, BrokerSettings, LogSettings, MongoSettings, ProcessSettings, Settings


class TrackingSettings(Settings):
    """Presence's own nouns."""

    model_config = SettingsConfigDict(env_prefix="WARREN_PRESENCE_")

    admin_port: int = Field(8102, ge=0, le=65535, description="admin and internal query API, health checks")
    drain_s: float = Field(10.0, gt=0, description="how long a stopping process may take to finish what is in flight")


class PresenceSettings(ProcessSettings):
    """All of them, by concern."""

    broker: BrokerSettings
    mongo: MongoSettings
    admin: AdminSettings
    log: LogSettings
    presence: TrackingSettings
