"""What a program sets for the WebSocket client, and what it is told about its connection."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Any


class ConnectionStatus(StrEnum):
    """How the client stands with the server."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    DISCONNECTED = "disconnected"


class Happening(Enum):
    """What a program can be told of, besides the server's own events."""

    CONNECT = auto()
    DISCONNECT = auto()
    MESSAGE = auto()
    STATUS_CHANGE = auto()
    ERROR = auto()


@dataclass(eq=False, repr=False)
class Tuning:
    """What a program may set at any time; times in seconds."""

    heartbeat_interval: float = 30
    retry_interval: float = 5  # before the first new attempt; each further one waits twice as long
    max_retry_interval: float = 60
    max_queue_size: int = 100
    answer_timeout: float = 10  # a server that leaves a request unanswered for so long is taken for lost
    max_received: int = 10_000  # messages that wait for their callback
    acknowledge: bool = True  # tell the server that a message is delivered when its callback has returned


@dataclass(frozen=True, slots=True)
class Registration:
    """Who registers where."""

    url: str
    path: str
    user_id: int | str
    token: str
    device_id: str
    device_info: Mapping[str, Any]
