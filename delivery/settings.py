"""What a delivery process can be told."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import AdminSettings, BrokerSettings, LogSettings, ProcessSettings, Settings


class RoutingSettings(Settings):
    """Delivery's own nouns."""

    model_config = SettingsConfigDict(env_prefix="WARREN_DELIVERY_")

    admin_port: int = Field(8101, ge=0, le=65535, description="admin API and health checks")
    members_cached: int = Field(10_000, ge=1, description="conversations whose members are kept for typing signals")
    members_fresh_s: float = Field(60.0, gt=0, description="how long a member list counts before history is asked anew")
    drain_s: float = Field(10.0, gt=0, description="how long a stopping process may take to finish what is in flight")


class HistoryClientSettings(Settings):
    """Where history answers queries."""

    history_url: str = Field("http://127.0.0.1:8103", description="address of history's query API")
    history_timeout_s: float = Field(2.0, gt=0, description="deadline of one query")


class DeliverySettings(ProcessSettings):
    """All of them, by concern."""

    broker: BrokerSettings
    history: HistoryClientSettings
    admin: AdminSettings
    log: LogSettings
    delivery: RoutingSettings
