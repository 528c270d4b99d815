"""What a presence process can be told."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from presence.limits import DevicePolicy
from shared.settings import AdminSettings, BrokerSettings, LogSettings, MongoSettings, ProcessSettings, Settings


class TrackingSettings(Settings):
    """Presence's own nouns."""

    model_config = SettingsConfigDict(env_prefix="WARREN_PRESENCE_")

    admin_port: int = Field(8102, ge=0, le=65535, description="admin and internal query API, health checks")
    max_devices: int = Field(10, ge=1, le=100, description="devices that one user may have connected at once")
    device_policy: DevicePolicy = Field(
        DevicePolicy.REPLACE,
        description="of one device too many: replace (the one connected longest ago goes) or refuse (the new one goes)",
    )
    drain_s: float = Field(10.0, gt=0, description="how long a stopping process may take to finish what is in flight")


class PresenceSettings(ProcessSettings):
    """All of them, by concern."""

    broker: BrokerSettings
    mongo: MongoSettings
    admin: AdminSettings
    log: LogSettings
    presence: TrackingSettings
