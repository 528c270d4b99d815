"""The broker in process: what RabbitMQ does with Warren's topology, on an injected clock."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from shared.broker.api import Deliveries, Delivery, Headers
from shared.broker.topology import DEAD, DEFAULT, Binding, ExchangeKind, Queue, QueueKind, Route, Topology
from shared.clock import Clock
from shared.errors import BrokerUnavailable, Conflict, QueueFull, Unroutable


@dataclass(frozen=True, slots=True)
class _Message:
    body: bytes
    headers: Headers
    routing_key: str
    redelivered: bool = False
    expires_at: float = 0.0  # on the clock's monotonic scale; only in queues with a TTL


@dataclass(slots=True, eq=False)
class _Stored:
    """A declared queue: what waits in it, how much is handed out, and who reads it, the active reader first."""

    queue: Queue
    ready: deque[_Message] = field(default_factory=deque)
    handed_out: int = 0
    readers: list["_Reader"] = field(default_factory=list)

    def push(self, message: _Message, now: float) -> bool:
        """Add a message; False where the queue is full."""
        if len(self.ready) >= self.queue.max_length:
            return False
        ttl_s = self.queue.message_ttl_s
        self.ready.append(message if ttl_s is None else replace(message, expires_at=now + ttl_s))
        return True


class _Server:
    """The queues, which all connections share."""

    def __init__(self, clock: Clock) -> None:
        self.queues: dict[str, _Stored] = {}
        self._clock = clock
        self._waiters: set[asyncio.Future[None]] = set()

    def declare(self, queue: Queue) -> _Stored:
        stored = self.queues.setdefault(queue.name, _Stored(queue))
        if stored.queue != queue:
            raise Conflict(f"{queue.name} is there with other properties.")
        return stored

    def publish(self, route: Route, message: _Message) -> None:
        targets = [stored for stored in self.queues.values() if _takes(stored.queue, route, message)]
        if not targets and route.mandatory:
            raise Unroutable("No queue takes this message.", exchange=route.exchange.name, key=route.key)
        now = self._clock.monotonic()
        refused = [stored.queue.name for stored in targets if not stored.push(message, now)]
        self.notify()
        if refused:
            raise QueueFull("A queue is full.", queue=refused[0])

    def expire(self) -> None:
        """Move what is due: from a rung back to its origin (it waits there while that is full), else away."""
        now = self._clock.monotonic()
        for stored in self._timed():
            while stored.ready and stored.ready[0].expires_at <= now:
                message = stored.ready[0]
                if stored.queue.dead_letters_to_key:
                    origin = self.queues.get(message.routing_key)
                    if origin is None or not origin.push(replace(message, redelivered=False), now):
                        break
                stored.ready.popleft()

    def notify(self) -> None:
        """Wake everyone who waits for a change."""
        for waiter in self._waiters:
            _wake(waiter)

    async def change(self) -> None:
        """Wait until a queue has changed, or a message is due."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        now = self._clock.monotonic()
        heads = [stored.ready[0].expires_at for stored in self._timed() if stored.ready]
        try:
            async with asyncio.TaskGroup() as tasks:
                due_in_s = min((at - now for at in heads if at > now), default=None)
                timer = tasks.create_task(self._ring(waiter, due_in_s), name="memory.timer") if due_in_s else None
                await waiter
                if timer is not None:
                    timer.cancel()
        finally:
            self._waiters.discard(waiter)

    async def _ring(self, waiter: "asyncio.Future[None]", after_s: float) -> None:
        await self._clock.sleep(after_s)
        _wake(waiter)

    def _timed(self) -> list[_Stored]:
        return [stored for stored in self.queues.values() if stored.queue.message_ttl_s is not None]


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def _takes(queue: Queue, route: Route, message: _Message) -> bool:
    if route.exchange == DEFAULT:
        return queue.name == route.key
    return any(binding.exchange == route.exchange and _matches(binding, message) for binding in queue.bindings)


def _matches(binding: Binding, message: _Message) -> bool:
    match binding.exchange.kind:
        case ExchangeKind.FANOUT:
            return True
        case ExchangeKind.DIRECT:
            return binding.key == message.routing_key
        case ExchangeKind.HEADERS:
            return all(message.headers.get(name) == value for name, value in binding.headers)


class _Delivery:
    """A message in someone's hands; see `Delivery`."""

    def __init__(self, channel: "_Channel", stored: _Stored, message: _Message) -> None:
        self.body = message.body
        self.headers = message.headers
        self.routing_key = message.routing_key
        self.redelivered = message.redelivered
        self.stored = stored
        self.message = message
        self._channel = channel

    async def ack(self) -> None:
        self._channel.check()
        self._channel.forget(self)

    async def requeue(self) -> None:
        self._channel.check()
        self._channel.put_back(self)


class _Channel:
    """Who takes messages from queues and answers them; what it leaves unanswered goes back."""

    def __init__(self, server: _Server) -> None:
        self.server = server
        self.unanswered: dict[_Delivery, None] = {}
        self.closed = False

    def check(self) -> None:
        if self.closed:
            raise BrokerUnavailable("The channel is lost.")

    def take(self, stored: _Stored) -> _Delivery | None:
        self.server.expire()
        if not stored.ready:
            return None
        stored.handed_out += 1
        delivery = _Delivery(self, stored, stored.ready.popleft())
        self.unanswered[delivery] = None
        return delivery

    def forget(self, delivery: _Delivery) -> None:
        del self.unanswered[delivery]
        delivery.stored.handed_out -= 1
        self.server.notify()

    def put_back(self, delivery: _Delivery) -> None:
        delivery.stored.ready.appendleft(replace(delivery.message, redelivered=True))
        self.forget(delivery)

    def close(self) -> None:
        self.closed = True
        for delivery in reversed(list(self.unanswered)):
            self.put_back(delivery)
        self.server.notify()


class _Reader(_Channel):
    """A consumer of one queue; see `Deliveries`."""

    def __init__(self, server: _Server, stored: _Stored, prefetch: int) -> None:
        super().__init__(server)
        self._stored = stored
        self._prefetch = prefetch
        stored.readers.append(self)

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        while True:
            self.check()
            delivery = self.waiting()
            if delivery is not None:
                return delivery
            await self.server.change()

    def waiting(self) -> Delivery | None:
        passive = self._stored.queue.single_active_consumer and self._stored.readers[0] is not self
        if self.closed or passive or len(self.unanswered) >= self._prefetch:
            return None
        return self.take(self._stored)

    async def ack(self) -> None:
        self.check()
        for delivery in list(self.unanswered):
            self.forget(delivery)

    def close(self) -> None:
        self._stored.readers.remove(self)
        if self._stored.queue.kind is QueueKind.EXCLUSIVE:
            self.server.queues.pop(self._stored.queue.name, None)
        super().close()


class MemoryBroker:
    """A `Broker` without RabbitMQ: the same acks, redelivery, prefetch, bounds, single active consumer and ladder.

    `MemoryBroker(clock)` is a broker of its own and the first connection to it; `connect` makes further connections,
    one for each service that shares the broker. Nothing survives the process.
    """

    def __init__(self, clock: Clock, *, parent: "MemoryBroker | None" = None) -> None:
        self._clock = clock
        self._parent = parent
        self._server: _Server = parent._server if parent else _Server(clock)  # noqa: SLF001  # its own class
        self._children: list[MemoryBroker] = []
        self._readers: list[_Reader] = []
        self._getter = _Channel(self._server)
        self._broken = False

    def connect(self) -> "MemoryBroker":
        """Make another connection to the same broker, which can be broken alone."""
        child = MemoryBroker(self._clock, parent=self)
        self._children.append(child)
        return child

    @property
    def connected(self) -> bool:
        """Whether neither this connection nor the one it was made from is broken."""
        return not self._broken and (self._parent is None or self._parent.connected)

    async def declare(self, topology: Topology) -> None:
        """Create the queues; exchanges need no creating here. Raises: Conflict."""
        self._check()
        for queue in topology.queues:
            self._server.declare(queue)

    async def publish(self, route: Route, body: bytes, *, headers: Headers | None = None) -> None:
        """Put a message into every queue that takes it; see `Broker.publish`."""
        await asyncio.sleep(0)  # a confirm never comes in the same turn
        self._check()
        self._server.publish(route, _Message(body, headers or {}, route.key))

    @asynccontextmanager
    async def consume(self, queue: Queue, *, prefetch: int) -> AsyncIterator[Deliveries]:
        """Receive a queue; see `Broker.consume`."""
        self._check()
        reader = _Reader(self._server, self._stored(queue), prefetch)
        self._readers.append(reader)
        try:
            yield reader
        finally:
            if not reader.closed:
                reader.close()
                self._readers.remove(reader)

    async def get(self, queue: Queue) -> Delivery | None:
        """Take one message; see `Broker.get`."""
        self._check()
        return self._getter.take(self._stored(queue))

    async def depth(self, queue: Queue) -> int:
        """Count the messages that wait in a queue."""
        self._check()
        self._server.expire()
        return len(self._stored(queue).ready)

    def break_connection(self) -> None:
        """Lose this connection and those made from it: their calls fail, what they hold unanswered goes back."""
        self._broken = True
        self._lose()

    def restore(self) -> None:
        """Let calls succeed again."""
        self._broken = False

    async def idle(self) -> None:
        """Wait until nothing waits in any queue or is unanswered, dead letters apart."""
        while any(self._busy(stored) for stored in self._server.queues.values()):
            await self._server.change()
            self._server.expire()

    def _lose(self) -> None:
        for child in self._children:
            child._lose()  # noqa: SLF001  # its own class
        for reader in self._readers:
            reader.close()
        self._readers.clear()
        self._getter.close()
        self._getter = _Channel(self._server)

    def _busy(self, stored: _Stored) -> bool:
        if any(binding.exchange == DEAD for binding in stored.queue.bindings):
            return False
        return bool(stored.ready or stored.handed_out)

    def _stored(self, queue: Queue) -> _Stored:
        if queue.kind is QueueKind.EXCLUSIVE:
            return self._server.declare(queue)
        stored = self._server.queues.get(queue.name)
        if stored is None:
            raise BrokerUnavailable("There is no such queue; declare it first.", queue=queue.name)
        return stored

    def _check(self) -> None:
        if not self.connected:
            raise BrokerUnavailable("The connection is broken.")
