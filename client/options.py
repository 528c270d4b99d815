"""What a user of the client may set."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How patient a client is, and its bounds."""

    connect_timeout_s: float = 10.0  # for the first connection; later ones are tried for ever
    request_timeout_s: float = 15.0
    ack_every_s: float = 0.05
    heartbeat_s: float = 20.0  # our own pings; no answer within the same time loses the connection
    max_unsettled: int = 10_000  # OutboxFull beyond
    max_events: int = 10_000  # EventsDropped beyond
