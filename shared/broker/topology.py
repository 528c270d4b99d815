"""Exchanges, queues, bindings and the retry ladder, as values: the one place where they have names."""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache

from shared.ids import ConversationId, GatewayId, shard_of


class ExchangeKind(StrEnum):
    """The AMQP 0-9-1 exchange types in use."""

    DIRECT = "direct"
    FANOUT = "fanout"
    HEADERS = "headers"


class QueueKind(StrEnum):
    """How a queue lives."""

    QUORUM = "quorum"  # replicated and durable
    EXCLUSIVE = "exclusive"  # one connection's own, gone with it


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: ExchangeKind


@dataclass(frozen=True, slots=True)
class Route:
    """Where a message goes and what the broker owes it."""

    exchange: Exchange
    key: str = ""
    mandatory: bool = True  # tell us if no queue takes it
    persistent: bool = True

    def __hash__(self) -> int:  # routes are looked up once a message
        return hash((self.exchange.name, self.key))


@dataclass(frozen=True, slots=True)
class Binding:
    """What a queue takes from an exchange; `headers` for headers exchanges (all must match)."""

    exchange: Exchange
    key: str = ""
    headers: tuple[tuple[str, str | int], ...] = ()


@dataclass(frozen=True, slots=True)
class RetryLadder:
    """How long a failed item waits before each further attempt."""

    delays_s: tuple[int, ...] = (1, 10, 60)


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue with its bounds; a full one refuses the publisher (reject-publish), it never drops.

    `family` is the name that shards share: their ladder and dead letters are one.
    """

    name: str
    bindings: tuple[Binding, ...] = ()
    kind: QueueKind = QueueKind.QUORUM
    family: str = ""
    single_active_consumer: bool = False
    max_length: int = 100_000
    message_ttl_s: int | None = None
    dead_letters_to_key: bool = (
        False  # expired messages go to the queue that their routing key names (default exchange)
    )
    ladder: RetryLadder | None = None


COMMANDS = Exchange("warren.commands", ExchangeKind.DIRECT)
EVENTS = Exchange("warren.events", ExchangeKind.DIRECT)
GATEWAYS = Exchange("warren.gateways", ExchangeKind.DIRECT)
RECEIPTS = Exchange("warren.receipts", ExchangeKind.FANOUT)
SESSIONS = Exchange("warren.sessions", ExchangeKind.FANOUT)
PRESENCE = Exchange("warren.presence", ExchangeKind.FANOUT)
SIGNALS = Exchange("warren.signals", ExchangeKind.DIRECT)
RETRY = Exchange("warren.retry", ExchangeKind.HEADERS)  # headers: the routing key is the queue to come back to
DEAD = Exchange("warren.dead", ExchangeKind.DIRECT)
REPLICAS = Exchange("warren.replicas", ExchangeKind.DIRECT)
DEFAULT = Exchange("", ExchangeKind.DIRECT)  # the broker's own: the key is the name of a queue

EXCHANGES = (COMMANDS, EVENTS, GATEWAYS, RECEIPTS, SESSIONS, PRESENCE, SIGNALS, REPLICAS, RETRY, DEAD)

FAMILY_HEADER = "warren-family"
DELAY_HEADER = "warren-delay-s"

HISTORY_COMMANDS = "history.commands"
DELIVERY_EVENTS = "delivery.events"
PRESENCE_SESSIONS = "presence.sessions"
DELIVERY_SIGNALS = "delivery.signals"
DELIVERY_SESSIONS = "delivery.sessions"
GATEWAY = "gateway"
REPLICAS_OF = "replicas"
FAMILIES = (
    HISTORY_COMMANDS,
    DELIVERY_EVENTS,
    PRESENCE_SESSIONS,
    DELIVERY_SIGNALS,
    DELIVERY_SESSIONS,
    GATEWAY,
    REPLICAS_OF,
)
REPLICA_LEASE_S = 5  # a replica refreshes its own every second
DEFAULT_LADDER = RetryLadder()


def retry_queue(family: str, delay_s: int) -> Queue:
    """Name a rung: messages wait there for its delay and return to the queue that their routing key names."""
    binding = Binding(RETRY, headers=((FAMILY_HEADER, family), (DELAY_HEADER, delay_s)))
    return Queue(
        f"{family}.retry.{delay_s}s", (binding,), family=family, message_ttl_s=delay_s, dead_letters_to_key=True
    )


def dead_queue(family: str) -> Queue:
    """Name the queue of what a family gave up."""
    return Queue(f"{family}.dead", (Binding(DEAD, family),), family=family, max_length=10_000)


def gateway_queue(gateway_id: GatewayId) -> Queue:
    """Name the one queue of a gateway: hand-offs, answers, receipts, presence, and SessionsWanted."""
    bindings = (Binding(GATEWAYS, gateway_id), Binding(RECEIPTS), Binding(PRESENCE), Binding(SESSIONS))
    name = f"{GATEWAY}.{gateway_id}"
    return Queue(name, bindings, kind=QueueKind.EXCLUSIVE, family=GATEWAY, max_length=20_000)


def routing_queue(replica_id: str) -> Queue:
    """Name the queue by which a delivery replica learns of sessions."""
    name = f"{DELIVERY_SESSIONS}.{replica_id}"
    return Queue(name, (Binding(SESSIONS),), kind=QueueKind.EXCLUSIVE, family=DELIVERY_SESSIONS)


def replicas_queue(family: str, replica_id: str) -> Queue:
    """Name the queue by which a replica learns of the others that share a family of queues with it."""
    name = f"{REPLICAS_OF}.{family}.{replica_id}"
    binding = Binding(REPLICAS, family)
    return Queue(
        name, (binding,), kind=QueueKind.EXCLUSIVE, family=REPLICAS_OF, message_ttl_s=REPLICA_LEASE_S, max_length=10_000
    )


def replicas_route(family: str) -> Route:
    """Give the way to all replicas that share a family of queues."""
    return Route(REPLICAS, family, mandatory=False, persistent=False)


def queue_route(name: str) -> Route:
    """Give the way straight to one queue, as a replayed dead letter takes it."""
    return Route(DEFAULT, name)


def signals_queue() -> Queue:
    """Name the queue of typing and other ephemera: what is older than 3 s is worth nothing."""
    return Queue(DELIVERY_SIGNALS, (Binding(SIGNALS),), family=DELIVERY_SIGNALS, message_ttl_s=3, max_length=10_000)


@lru_cache(maxsize=4096)
def gateway_route(gateway_id: GatewayId) -> Route:
    """Give the way to one gateway. Its queue is as short-lived as its connection, so nothing is written to disk."""
    return Route(GATEWAYS, gateway_id, mandatory=True, persistent=False)


RECEIPTS_ROUTE = Route(RECEIPTS, mandatory=False, persistent=False)  # no gateway, nobody to tell
SESSIONS_ROUTE = Route(SESSIONS)
PRESENCE_ROUTE = Route(PRESENCE, mandatory=False, persistent=False)
SIGNALS_ROUTE = Route(SIGNALS, mandatory=False, persistent=False)


@dataclass(frozen=True)
class Topology:
    """Everything durable on the broker, for a number of shards. Changing that number needs drained queues."""

    shards: int = 4
    ladder: RetryLadder = DEFAULT_LADDER
    exchanges: tuple[Exchange, ...] = field(default=EXCHANGES)

    def _shards(self, family: str, exchange: Exchange) -> tuple[Queue, ...]:
        return tuple(
            Queue(
                f"{family}.{shard}",
                (Binding(exchange, str(shard)),),
                family=family,
                single_active_consumer=True,
                ladder=self.ladder,
            )
            for shard in range(self.shards)
        )

    @property
    def history_commands(self) -> tuple[Queue, ...]:
        """The queues that history consumes, by shard."""
        return self._shards(HISTORY_COMMANDS, COMMANDS)

    @property
    def delivery_events(self) -> tuple[Queue, ...]:
        """The queues that delivery consumes, by shard."""
        return self._shards(DELIVERY_EVENTS, EVENTS)

    @property
    def presence_sessions(self) -> Queue:
        """The queue that presence consumes."""
        return Queue(
            PRESENCE_SESSIONS,
            (Binding(SESSIONS),),
            family=PRESENCE_SESSIONS,
            single_active_consumer=True,
            ladder=self.ladder,
        )

    @property
    def dead_queues(self) -> tuple[Queue, ...]:
        """Every family's dead letters."""
        return tuple(dead_queue(family) for family in (HISTORY_COMMANDS, DELIVERY_EVENTS, PRESENCE_SESSIONS))

    @property
    def queues(self) -> tuple[Queue, ...]:
        """Every durable queue."""
        families = (HISTORY_COMMANDS, DELIVERY_EVENTS, PRESENCE_SESSIONS)
        rungs = (retry_queue(family, delay) for family in families for delay in self.ladder.delays_s)
        consumed = (*self.history_commands, *self.delivery_events, self.presence_sessions, signals_queue())
        return (*consumed, *rungs, *self.dead_queues)

    def commands_route(self, conversation_id: ConversationId) -> Route:
        """Give the way of a command to the shard that keeps its conversation's order."""
        return self._commands_routes[shard_of(conversation_id, self.shards)]

    def events_route(self, conversation_id: ConversationId) -> Route:
        """Give the way of a conversation's events to those who deliver them."""
        return self._events_routes[shard_of(conversation_id, self.shards)]

    @cached_property
    def _commands_routes(self) -> tuple[Route, ...]:
        return tuple(Route(COMMANDS, str(shard)) for shard in range(self.shards))

    @cached_property
    def _events_routes(self) -> tuple[Route, ...]:
        return tuple(Route(EVENTS, str(shard)) for shard in range(self.shards))
