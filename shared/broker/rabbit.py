"""The broker on RabbitMQ, 3.10 to 4.x: one connection that heals itself. The only importer of aio_pika."""

import asyncio
import itertools
import math
import random
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final, Self, cast

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelPreconditionFailed, DeliveryError, PublishError
from aiormq import Channel as WireChannel
from aiormq import spec
from aiormq.abc import DeliveredMessage, FieldTable
from yarl import URL

from shared.broker.api import Deliveries, Delivery, Headers
from shared.broker.retry import Backoff
from shared.broker.topology import Queue, QueueKind, Route, Topology
from shared.errors import BrokerUnavailable, Conflict, QueueFull, Unroutable
from shared.settings import BrokerSettings

HEARTBEAT_S = 10  # a broker that fell silent is given up after three of these
START_DEADLINE_S = 60.0  # RabbitMQ may start at the same time as we do
CLOSE_DEADLINE_S = 5.0

# Quorum queues of RabbitMQ 4 throw a message away after 20 returns unless told otherwise, and 3.10 knows no -1 for
# "never". With any limit a returned message keeps its place at the head; without one, 3.10 puts it at the tail.
DELIVERY_LIMIT: Final = 1_000_000_000

log = structlog.get_logger()


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """Raise BrokerUnavailable for whatever the client library raises when the connection or channel is lost."""
    try:
        yield
    except ChannelPreconditionFailed as error:
        raise Conflict(f"{doing}: RabbitMQ has it with other properties; delete it there. {error}") from error
    except TimeoutError as error:
        raise BrokerUnavailable(f"{doing}: RabbitMQ did not answer in time.") from error
    except CONNECTION_EXCEPTIONS as error:
        raise BrokerUnavailable(f"{doing}: {error or type(error).__name__}") from error
    except asyncio.CancelledError as error:
        # aiormq ends its waiters with CancelledError when it gives up a silent connection: nobody cancelled this task
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise BrokerUnavailable(f"{doing}: the connection was given up.") from error


class _RabbitDelivery:
    """A message in our hands; see `Delivery`."""

    __slots__ = ("_broker", "_message", "body", "headers", "redelivered", "routing_key", "tag")

    def __init__(self, broker: "RabbitBroker", message: DeliveredMessage) -> None:
        self.body = message.body
        self.headers = _own_headers(message.header.properties.headers or {})
        self.routing_key = message.routing_key or ""
        self.redelivered = bool(message.redelivered)
        self.tag = message.delivery_tag or 0
        self._message = message
        self._broker = broker

    async def ack(self) -> None:
        """Take it off the queue."""
        async with self._broker.asking("ack"):
            await self._message.channel.basic_ack(self.tag)

    async def requeue(self) -> None:
        """Put it back."""
        async with self._broker.asking("requeue"):
            await self._message.channel.basic_nack(self.tag, requeue=True)


class _RabbitDeliveries:
    """The messages of one consumer; see `Deliveries`."""

    def __init__(self, broker: "RabbitBroker", channel: WireChannel) -> None:
        self._broker = broker
        self._channel = channel
        self._buffer: deque[_RabbitDelivery] = deque()
        self._changed = asyncio.Event()
        self._last_tag = 0
        self._cancelled = False
        channel.closing.add_done_callback(lambda _: self._changed.set())
        channel.on_consumer_cancel_callbacks.add(self._on_cancel)

    async def receive(self, message: DeliveredMessage) -> None:
        """Take a message from the library, which runs this in one task each: in order as long as it never waits."""
        self._buffer.append(_RabbitDelivery(self._broker, message))
        self._changed.set()

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        while True:
            if self._cancelled or self._channel.is_closed:
                raise BrokerUnavailable("The consumer lost its channel.")
            delivery = self.waiting()
            if delivery is not None:
                return delivery
            self._changed.clear()
            await self._changed.wait()

    def waiting(self) -> Delivery | None:
        if not self._buffer:
            return None
        delivery = self._buffer.popleft()
        self._last_tag = delivery.tag
        return delivery

    async def ack(self) -> None:
        async with self._broker.asking("ack"):
            await self._channel.basic_ack(self._last_tag, multiple=True, wait=False)

    async def _on_cancel(self, _frame: spec.Basic.Cancel) -> None:
        self._cancelled = True  # the queue was deleted
        self._changed.set()


class RabbitBroker:
    """A `Broker` on RabbitMQ; made by `open`.

    One connection, one channel to publish on, one to ask questions on, and one for each consumer. While the connection
    is lost every call raises BrokerUnavailable at once; whoever runs a consumer opens it anew.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        self._url = URL(settings.amqp_url.get_secret_value())
        self._timeout_s = settings.broker_timeout_s
        self._connection: AbstractConnection | None = None
        self._publishing: AbstractChannel | None = None
        self._questions: AbstractChannel | None = None
        self._opening = asyncio.Lock()
        self._message_ids = itertools.count(1)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BrokerSettings) -> AsyncIterator[Self]:
        """Connect, waiting a minute for RabbitMQ to come up, and stay connected until the context is left.

        An exception from the body leaves the context inside an ExceptionGroup. Raises: BrokerUnavailable.
        """
        broker = cls(settings)
        try:
            await broker._connect_within(START_DEADLINE_S)
            async with asyncio.TaskGroup() as tasks:
                supervisor = tasks.create_task(broker._stay_connected(), name="rabbit.supervisor")
                yield broker
                supervisor.cancel()
        finally:
            await broker._disconnect()

    @property
    def connected(self) -> bool:
        """Whether the connection is up."""
        transport = self._connection.transport if self._connection else None
        return transport is not None and not transport.connection.is_closed

    async def declare(self, topology: Topology) -> None:
        """Create exchanges, queues and bindings. Raises: Conflict (one exists with other properties)."""
        async with self._channel() as channel:
            for exchange in topology.exchanges:
                async with self.asking(f"declare exchange {exchange.name}"):
                    await channel.declare_exchange(exchange.name, exchange.kind.value, durable=True)
            for queue in topology.queues:
                await self._declare_queue(channel, queue)

    async def publish(self, route: Route, body: bytes, *, headers: Headers | None = None) -> None:
        """Publish and wait for the confirm; see `Broker.publish`."""
        channel = await self._publishing_channel()
        properties = spec.Basic.Properties(
            content_type="application/json",
            delivery_mode=2 if route.persistent else 1,
            headers=dict(headers) if headers else None,
            message_id=str(next(self._message_ids)),  # the library knows a returned message by it
        )
        with _translated("publish"):
            try:
                await channel.basic_publish(
                    body,
                    exchange=route.exchange.name,
                    routing_key=route.key,
                    properties=properties,
                    mandatory=route.mandatory,
                    timeout=self._timeout_s,
                    wait=False,  # not for the socket's buffer: the confirm says more
                )
            except PublishError as error:
                raise Unroutable("No queue takes this.", exchange=route.exchange.name, key=route.key) from error
            except DeliveryError as error:
                raise QueueFull("A queue refuses more.", exchange=route.exchange.name, key=route.key) from error

    @asynccontextmanager
    async def consume(self, queue: Queue, *, prefetch: int) -> AsyncIterator[Deliveries]:
        """Receive a queue on a channel of its own; see `Broker.consume`."""
        async with self._channel() as channel:
            if queue.kind is QueueKind.EXCLUSIVE:
                await self._declare_queue(channel, queue)
            wire = cast(WireChannel, await channel.get_underlay_channel())
            deliveries = _RabbitDeliveries(self, wire)
            async with self.asking(f"consume {queue.name}"):
                await wire.basic_qos(prefetch_count=prefetch)
                await wire.basic_consume(queue.name, deliveries.receive)
            yield deliveries

    async def get(self, queue: Queue) -> Delivery | None:
        """Take one message; see `Broker.get`."""
        channel = await self._question_channel()
        async with self.asking(f"get from {queue.name}"):
            message = await channel.basic_get(queue.name)
        return None if message.delivery_tag is None else _RabbitDelivery(self, message)

    async def depth(self, queue: Queue) -> int:
        """Count the messages that wait in a queue."""
        channel = await self._question_channel()
        async with self.asking(f"count {queue.name}"):
            declared = await channel.queue_declare(queue.name, passive=True)
        return declared.message_count or 0

    @asynccontextmanager
    async def asking(self, doing: str) -> AsyncIterator[None]:
        """Put the deadline on calls of the client library and translate what they raise."""
        with _translated(doing):
            async with asyncio.timeout(self._timeout_s):
                yield

    # --- topology

    async def _declare_queue(self, channel: AbstractChannel, queue: Queue) -> None:
        exclusive = queue.kind is QueueKind.EXCLUSIVE
        async with self.asking(f"declare queue {queue.name}"):
            declared = await channel.declare_queue(
                queue.name,
                durable=not exclusive,
                exclusive=exclusive,
                auto_delete=exclusive,
                arguments=_arguments(queue),
            )
            for binding in queue.bindings:
                wanted: FieldTable = {**dict(binding.headers), "x-match": "all"} if binding.headers else {}
                await declared.bind(binding.exchange.name, binding.key, arguments=wanted)

    # --- channels

    async def _publishing_channel(self) -> WireChannel:
        if self._publishing is None or self._publishing.is_closed:
            async with self._opening:
                if self._publishing is None or self._publishing.is_closed:
                    self._publishing = await self._open_channel(confirms=True)
        return cast(WireChannel, await self._publishing.get_underlay_channel())

    async def _question_channel(self) -> WireChannel:
        if self._questions is None or self._questions.is_closed:
            async with self._opening:
                if self._questions is None or self._questions.is_closed:
                    self._questions = await self._open_channel()
        return cast(WireChannel, await self._questions.get_underlay_channel())

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[AbstractChannel]:
        channel = await self._open_channel()
        try:
            yield channel
        finally:
            with suppress(BrokerUnavailable):  # then the broker has closed it
                async with self.asking("close channel"):
                    await channel.close()

    async def _open_channel(self, *, confirms: bool = False) -> AbstractChannel:
        if self._connection is None or not self.connected:
            raise BrokerUnavailable("RabbitMQ is not connected.")
        async with self.asking("open channel"):
            channel = self._connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
            await channel.initialize()
        return channel

    # --- the connection

    async def _stay_connected(self) -> None:
        while True:
            if self._connection is not None and self._connection.transport is not None:
                await asyncio.wait([self._connection.transport.connection.closing])
            log.warning("broker_lost", host=self._url.host)
            await self._disconnect()
            await self._connect_within(math.inf)

    async def _connect_within(self, deadline_s: float) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + deadline_s
        backoff = Backoff(0.2, 5.0, spread=lambda: random.uniform(0.5, 1.5))  # not all processes at once
        while True:
            try:
                with _translated("connect"):
                    async with asyncio.timeout(self._timeout_s):
                        self._connection = await aio_pika.connect(self._url, heartbeat=HEARTBEAT_S)
            except BrokerUnavailable as error:
                wait_s = backoff.next()
                if loop.time() + wait_s > give_up_at:
                    raise
                log.warning("broker_awaited", host=self._url.host, port=self._url.port, error=str(error))
                await asyncio.sleep(wait_s)
            else:
                log.info("broker_connected", host=self._url.host, port=self._url.port)
                return

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(BrokerUnavailable), _translated("disconnect"):
                async with asyncio.timeout(CLOSE_DEADLINE_S):
                    await connection.close()


def _own_headers(headers: FieldTable) -> Headers:
    """Give the headers that the publisher set, without what RabbitMQ adds (x-death, x-delivery-count)."""
    own = ((name, value) for name, value in headers.items() if not name.startswith("x-"))
    return {name: value for name, value in own if isinstance(value, str | int)}


def _arguments(queue: Queue) -> FieldTable:
    arguments: FieldTable = {"x-max-length": queue.max_length, "x-overflow": "reject-publish"}
    if queue.kind is QueueKind.QUORUM:
        arguments |= {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}
    if queue.single_active_consumer:
        arguments["x-single-active-consumer"] = True
    if queue.message_ttl_s is not None:
        arguments["x-message-ttl"] = queue.message_ttl_s * 1000
    if queue.dead_letters_to_key:
        arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-strategy": "at-least-once"}
    return arguments
