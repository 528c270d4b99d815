"""The broker's ports and what they guarantee. Nothing here knows RabbitMQ."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from shared.broker.topology import Queue, Route, Topology
from shared.envelope import Envelope
from shared.errors import WarrenError

Headers = Mapping[str, str | int]


class Delivery(Protocol):
    """One AMQP message in our hands; unanswered ones come again after the consumer is gone."""

    body: bytes
    headers: Headers
    routing_key: str
    redelivered: bool  # it may have been handled before

    async def ack(self) -> None:
        """Take it off the queue. Raises: BrokerUnavailable (it will be redelivered)."""
        ...

    async def requeue(self) -> None:
        """Put it back for anyone. Raises: BrokerUnavailable (it goes back all the same)."""
        ...


class Deliveries(Protocol):
    """The AMQP messages of one queue, in order, as an async iterator."""

    def __aiter__(self) -> AsyncIterator[Delivery]:
        """Give itself."""
        ...

    async def __anext__(self) -> Delivery:
        """Wait for the next one. Raises: BrokerUnavailable (the channel is lost). Cancelling loses nothing."""
        ...

    def waiting(self) -> Delivery | None:
        """Take the next one where it is here already, None where it would have to be waited for."""
        ...

    async def ack(self) -> None:
        """Take everything handed out so far off the queue, in one call. Raises: BrokerUnavailable (it comes again)."""
        ...


class Broker(Protocol):
    """A connection to the message broker that heals itself; while it is down every call raises BrokerUnavailable."""

    @property
    def connected(self) -> bool:
        """Whether a call made now has a chance."""
        ...

    async def declare(self, topology: Topology) -> None:
        """Create every durable exchange, queue and binding. Idempotent.

        Raises: Conflict (one is there with other properties), BrokerUnavailable.
        """
        ...

    async def publish(self, route: Route, body: bytes, *, headers: Headers | None = None) -> None:
        """Hand over one AMQP message; on return the broker has confirmed it (a quorum queue: replicated, on disk).

        At least once: after an error it may or may not be there. Order is kept per routing key among calls that await
        each other. Raises: Unroutable (route.mandatory and no queue takes it), QueueFull, BrokerUnavailable.
        """
        ...

    def consume(self, queue: Queue, *, prefetch: int) -> AbstractAsyncContextManager[Deliveries]:
        """Receive a queue in order, at most `prefetch` messages unanswered; declares it first where it is exclusive.

        The iterator raises BrokerUnavailable when the channel or connection is lost; open it anew then. Leaving the
        context stops taking and puts what is unanswered back.
        """
        ...

    async def get(self, queue: Queue) -> Delivery | None:
        """Take one message without consuming, None where the queue is empty. For looking into dead letters."""
        ...

    async def depth(self, queue: Queue) -> int:
        """Count the messages that wait in a queue."""
        ...


class Publisher(Protocol):
    """Publishes envelopes in batches: while one AMQP message for a route waits for its confirm, more gather for it.

    Order is kept per route. An idle publisher sends at once.
    """

    def post(self, route: Route, envelope: Envelope) -> "asyncio.Future[None]":
        """Queue an envelope; the future ends when the broker has confirmed the batch it went with.

        The future is shared by the batch: do not cancel it (await it through `asyncio.shield` or `asyncio.wait`).
        It fails with Unroutable, QueueFull or BrokerUnavailable. Raises: QueueFull where too much waits already.
        """
        ...

    async def publish(self, route: Route, envelopes: Sequence[Envelope]) -> None:
        """Post several and wait until all are confirmed. Raises: as the future of `post` fails."""
        ...


@dataclass(frozen=True, slots=True)
class Received:
    """An envelope in a handler's hands."""

    envelope: Envelope
    redelivered: bool = False

    @property
    def repeated(self) -> bool:
        """Whether a handler may have seen it before: what it caused then may not have been published."""
        return self.redelivered or self.envelope.attempt > 1


Failures = Mapping[str, WarrenError]  # envelope id → why it failed; what is not named is done
NO_FAILURES: Failures = {}


class Handler(Protocol):
    """Carries out commands, or reacts to events, a batch at a time; idempotent, and its docstring says by which key."""

    async def __call__(self, batch: Sequence[Received], /) -> Failures:
        """Handle a batch in order; on return its effects are durable and published.

        Gives the failed items. Raises Unavailable for an outage: the shard is held and the batch comes again.
        Anything else raised is a bug: dispatch tries the items one by one and sends the guilty one up the ladder.
        """
        ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that will not be carried out: refused for good, or given up after the ladder."""

    envelope: Envelope
    error: WarrenError
    given_up: bool = field(default=False)  # True: it had been accepted, and is in the dead letters now


Refuse = Callable[[Sequence[Refusal]], Awaitable[None]]
OnOpen = Callable[[], Awaitable[None]]
