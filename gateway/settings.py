"""Settings of the gateway, read from `WARREN_…` and `WARREN_GATEWAY_…` variables."""

import socket
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from shared.settings import AdminSettings, AuthSettings, BrokerSettings, LogSettings, Mode, ProcessSettings, Settings

KIB = 1024
LOCAL_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
RATE_PER_S = 50.0  # far more than a person types; a program that sends faster needs the setting


class SocketSettings(Settings):
    """Sockets and REST: where they listen, and how much one client may take."""

    model_config = SettingsConfigDict(env_prefix="WARREN_GATEWAY_", regex_engine="python-re")  # of ID_PATTERN

    host: str = Field("127.0.0.1", description="address on which sockets and REST listen")
    port: int = Field(8000, ge=0, le=65535, description="port of sockets and REST")
    admin_port: int = Field(8100, ge=0, le=65535, description="admin API and health checks")
    id: str | None = Field(
        None, min_length=1, max_length=128, description="default: the host's name and a random suffix"
    )
    drain_s: float = Field(10.0, ge=0, description="how long a stopping gateway takes to send its clients elsewhere")

    handshake_s: float = Field(10.0, gt=0, description="time from the upgrade to an accepted token")
    close_s: float = Field(5.0, gt=0, description="time to write what waits and the close frame")
    heartbeat_s: float = Field(30.0, gt=0, description="seconds between WebSocket pings")  # home routers drop at 60 s
    silence_s: float = Field(120.0, gt=0, description="a client silent for so long is closed")
    arrival_s: float = Field(
        1.0, ge=0, description="how long a registration of the service wire waits at most until its device is listed"
    )
    sync_wait_s: float = Field(5.0, gt=0, description="how long pushes wait for the sync of a client that resumes")

    # 16 KiB of content are at most 96 KiB where the client escapes every character, as \u0001.
    max_frame_bytes: int = Field(128 * KIB, ge=KIB, description="longer frames get an error")
    max_read_bytes: int = Field(1024 * KIB, ge=KIB, description="longer frames close the socket with 1009")
    max_in_flight: int = Field(200, ge=1, description="unanswered requests of one session; then it is not read from")
    max_outbox_frames: int = Field(4096, ge=16, description="a session with more to read is closed as slow")
    max_outbox_bytes: int = Field(8 * KIB * KIB, ge=64 * KIB, description="likewise, in bytes")
    max_held: int = Field(1000, ge=1, description="pushes that wait while a session catches up")
    max_user_sessions: int = Field(100, ge=1, description="open sockets of one user on one gateway")
    max_address_sessions: int | None = Field(
        None, ge=1, description="open sockets of one address; a proxy is one, unless FORWARDED_ALLOW_IPS names it"
    )
    rate_per_s: float | None = Field(
        None,
        gt=0,
        description="commands a second and user, over sockets and REST; default: 50, in development no limit",
    )
    rate_burst: int = Field(200, ge=1, description="commands of a user that may come at once, with a rate")

    wires: str = Field(
        "devices,envelope,service,flutter,huddle",
        pattern=r"^(none|(devices|envelope|service|flutter|huddle)(,(devices|envelope|service|flutter|huddle))*)$",
        description="which wires of other chat systems are served besides our own, with commas; none: our own alone",
    )
    open_devices: bool = Field(
        default=False,
        description="believe who names a device and has no token, on the devices wire; for trusted networks",
    )
    accounts: bool | None = Field(
        None, description="register and log in users at /api/v1/auth; default: in development only"
    )
    time_zone: str = Field("UTC", description="of the times that wires show without a zone: an IANA name")

    dev_tokens: bool = Field(
        default=False,
        description="mint tokens at POST /api/auth/token for whoever asks; in development only",
    )
    cors_origins: str | None = Field(
        None,
        pattern=r"^(\*|https?://[^\s,/]+(,https?://[^\s,/]+)*)$",
        description="web pages that may use REST, /sse and Socket.IO: origins as https://chat.example, with commas; "
        "* for all; default: in development those of the same machine, else none",
    )

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{name!r} is no IANA time zone, as Europe/Berlin is.") from error
        return name

    def origins(self) -> list[str]:
        """Give the origins of the web pages that browsers let in."""
        return self.cors_origins.split(",") if self.cors_origins else []


class QuerySettings(Settings):
    """Where history and presence answer queries, and how hard they are asked."""

    history_url: str = Field("http://127.0.0.1:8103", description="address of history's query API")
    presence_url: str = Field("http://127.0.0.1:8102", description="address of presence's query API")
    query_timeout_s: float = Field(5.0, gt=0, description="deadline of one query")
    query_concurrency: int = Field(
        16, ge=1, description="queries under way for sockets, so that a storm of them waits here"
    )


class GatewaySettings(ProcessSettings):
    """Everything a gateway process is told."""

    broker: BrokerSettings
    log: LogSettings
    auth: AuthSettings
    admin: AdminSettings
    sockets: SocketSettings
    queries: QuerySettings

    @model_validator(mode="after")
    def _mints_tokens_in_development_only(self) -> Self:
        if self.sockets.dev_tokens and self.auth.mode is not Mode.DEVELOPMENT:
            raise ValueError("WARREN_GATEWAY_DEV_TOKENS is for WARREN_MODE=development: anybody would be anyone.")
        return self

    @model_validator(mode="after")
    def _keeps_accounts_where_it_signs_their_tokens(self) -> Self:
        if self.sockets.accounts and not self._signs_tokens():
            raise ValueError("WARREN_GATEWAY_ACCOUNTS needs WARREN_JWT_SECRET, and no WARREN_JWKS_URL.")
        return self

    def origin_pattern(self) -> str | None:
        """Give the pattern of origins that are let in where none are set: a developer's pages come from any port."""
        default = self.auth.mode is Mode.DEVELOPMENT and self.sockets.cors_origins is None
        return LOCAL_ORIGIN if default else None

    def served(self, wire: str) -> bool:
        """Tell whether a wire is served."""
        return wire in self.sockets.wires.split(",")

    def keeps_accounts(self) -> bool:
        """Tell whether users can register here."""
        default = self.auth.mode is Mode.DEVELOPMENT and self._signs_tokens()
        return default if self.sockets.accounts is None else self.sockets.accounts

    def _signs_tokens(self) -> bool:
        return self.auth.jwt_secret is not None and self.auth.jwks_url is None

    def rate_per_s(self) -> float | None:
        """Give the rate that is set, else the default: in development none, so that load can be tried out."""
        default = None if self.auth.mode is Mode.DEVELOPMENT else RATE_PER_S
        return self.sockets.rate_per_s or default

    def gateway_id(self, suffix: str) -> str:
        """Give the configured id, or one that no other process has: never two gateways on one queue."""
        return self.sockets.id or f"{socket.gethostname()[:64]}-{suffix[-12:]}"
