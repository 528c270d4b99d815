"""Hand batches to their handlers and do with every failed item what its kind deserves."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import structlog

from shared import envelope as codec
from shared.broker import metrics
from shared.broker.api import Broker, Failures, Handler, Headers, Received, Refusal, Refuse
from shared.broker.retry import (
    ATTEMPTS_HEADER,
    DEAD_ID_HEADER,
    DIED_AT_HEADER,
    FIRST_ERROR_HEADER,
    LAST_ERROR_HEADER,
    ORIGIN_HEADER,
    REASON_HEADER,
    Backoff,
    Drop,
    Hold,
    Park,
    Retry,
    Tell,
    describe,
    plan_retry,
)
from shared.broker.topology import DEAD, DELAY_HEADER, FAMILY_HEADER, RETRY, Queue, RetryLadder, Route
from shared.clock import Clock, rfc3339
from shared.envelope import Envelope
from shared.errors import Failed, FailureKind, Malformed, WarrenError
from shared.ids import NewId

Pause = Callable[[float], Awaitable[None]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Batch:
    """What was read from the queue in one go."""

    items: Sequence[Received]
    unreadable: Sequence[tuple[bytes, Malformed]] = ()
    first_errors: Mapping[str, str] = field(default_factory=dict)  # envelope id → why its first attempt failed


@dataclass(frozen=True, slots=True)
class Burial:
    """One item that is given up, on its way to the dead letters."""

    raw: bytes  # the encoded envelope, or what could not be read as one
    reason: FailureKind
    attempts: int
    first_error: str
    last_error: str


@dataclass(slots=True)
class Verdicts:
    """What is to be done with the failed items of a batch."""

    retries: defaultdict[tuple[int, str], list[Envelope]] = field(default_factory=lambda: defaultdict(list))
    dead: list[Burial] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    dropped: list[tuple[Received, WarrenError]] = field(default_factory=list)


def judge(batch: Batch, failures: Failures, ladder: RetryLadder | None) -> Verdicts:
    """Decide what becomes of each failed item; those of one delay and one first error travel together, in order."""
    verdicts = Verdicts()
    for item in batch.items:
        envelope = item.envelope
        error = failures.get(envelope.id)
        if error is None:
            continue
        text = describe(error)
        first_error = batch.first_errors.get(envelope.id, text)
        match plan_retry(envelope.attempt, error, ladder):
            case Tell():
                verdicts.refusals.append(Refusal(envelope, error))
            case Retry(delay_s):
                again = msgspec.structs.replace(envelope, attempt=envelope.attempt + 1, error=text)
                verdicts.retries[delay_s, first_error].append(again)
            case Park(reason):
                raw = codec.encode(envelope)
                verdicts.dead.append(Burial(raw, reason, envelope.attempt, first_error, text))
                if reason is FailureKind.TRANSIENT:
                    verdicts.refusals.append(Refusal(envelope, error, given_up=True))
            case Drop():
                verdicts.dropped.append((item, error))
            case Hold():
                raise AssertionError("An outage is waited out before its batch is judged.")
    for raw, malformed in batch.unreadable if ladder else ():
        text = describe(malformed)
        verdicts.dead.append(Burial(raw, FailureKind.MALFORMED, 1, text, text))
    return verdicts


class Dispatcher:
    """Performs for one queue: handlers, retries, dead letters, refusals; outages are waited out in place.

    Handlers run in the order they are listed in, each with its items in theirs. A queue without ladder has no dead
    letters either: what fails there, or cannot be read, is logged, counted and dropped.
    """

    def __init__(
        self,
        broker: Broker,
        queue: Queue,
        handlers: Mapping[type, Handler],
        *,
        clock: Clock,
        new_id: NewId,
        refuse: Refuse | None,
        pause: Pause,
    ) -> None:
        self._broker = broker
        self._queue = queue
        self._handlers = tuple({id(handler): handler for handler in handlers.values()}.values())
        places = {id(handler): place for place, handler in enumerate(self._handlers)}
        self._places = {kind: places[id(handler)] for kind, handler in handlers.items()}
        self._clock = clock
        self._new_id = new_id
        self._refuse = refuse
        self._pause = pause

    async def handle(self, batch: Batch) -> None:
        """Handle a batch; on return it may be acked. Raises what `pause` raises. Cancelling: it comes again whole."""
        failures: dict[str, WarrenError] = {}
        groups: list[list[Received]] = [[] for _ in self._handlers]
        for item in batch.items:
            place = self._places.get(type(item.envelope.body))
            if place is None:
                kind = type(item.envelope.body).__name__
                failures[item.envelope.id] = Malformed(f"Nothing reads {kind} from {self._queue.family}.")
            else:
                groups[place].append(item)
        for handler, items in zip(self._handlers, groups, strict=True):
            failures |= await self._through_outages(handler, items)
        verdicts = judge(batch, failures, self._queue.ladder)
        await self._perform(verdicts)
        self._count(batch, failures, verdicts)

    async def _through_outages(self, handler: Handler, items: Sequence[Received]) -> dict[str, WarrenError]:
        """Call a handler until no item is left that failed with an outage."""
        failed: dict[str, WarrenError] = {}
        backoff = Backoff()
        while items:
            failures = await self._attempt(handler, items)
            held = {item_id for item_id, error in failures.items() if error.kind is FailureKind.OUTAGE}
            failed |= {item_id: error for item_id, error in failures.items() if item_id not in held}
            items = [replace(item, redelivered=True) for item in items if item.envelope.id in held]
            if items:
                await self._hold(backoff, failures[items[0].envelope.id])
        return failed

    async def _attempt(self, handler: Handler, items: Sequence[Received]) -> Failures:
        """Call a handler once; where it raises for several items, call it for each alone to find the guilty ones."""
        try:
            return await handler(items)
        except WarrenError as error:
            caught = error
        except Exception as error:  # a bug in a handler must not stop the shard
            log.exception("handler_bug", queue=self._queue.name, items=len(items))
            caught = Failed(f"{type(error).__name__}: {error}")
        if len(items) == 1 or caught.kind is FailureKind.OUTAGE:
            return {item.envelope.id: caught for item in items}
        failures: dict[str, WarrenError] = {}
        for item in items:
            failures |= await self._through_outages(handler, [replace(item, redelivered=True)])
        return failures

    async def _hold(self, backoff: Backoff, error: WarrenError) -> None:
        wait_s = backoff.next()
        log.warning("shard_held", queue=self._queue.name, error=describe(error), wait_s=wait_s)
        metrics.OUTAGES.labels(self._queue.family).inc()
        await self._pause(wait_s)

    async def _perform(self, verdicts: Verdicts) -> None:
        for (delay_s, first_error), envelopes in verdicts.retries.items():
            await self._retry(delay_s, first_error, envelopes)
        for burial in verdicts.dead:
            await self._bury(burial)
        for item, error in verdicts.dropped:
            log.warning("item_dropped", queue=self._queue.name, id=item.envelope.id, error=describe(error))
        if verdicts.refusals and self._refuse is not None:
            try:
                await self._refuse(verdicts.refusals)
            except Exception:  # the items are settled; that their senders are not told must not bring them back
                log.exception("refusal_failed", queue=self._queue.name, items=len(verdicts.refusals))

    async def _retry(self, delay_s: int, first_error: str, envelopes: Sequence[Envelope]) -> None:
        headers: Headers = {
            FAMILY_HEADER: self._queue.family,
            DELAY_HEADER: delay_s,
            FIRST_ERROR_HEADER: first_error,
        }
        body = codec.join([codec.encode(envelope) for envelope in envelopes])
        await self._publish(Route(RETRY, self._queue.name), body, headers)
        log.warning(
            "items_retried",
            queue=self._queue.name,
            items=len(envelopes),
            attempt=envelopes[0].attempt,
            delay_s=delay_s,
            error=envelopes[0].error,
        )

    async def _bury(self, burial: Burial) -> None:
        readable = burial.raw.startswith(b"{")
        headers: Headers = {
            DEAD_ID_HEADER: self._new_id(),
            REASON_HEADER: burial.reason.value,
            ATTEMPTS_HEADER: burial.attempts,
            FIRST_ERROR_HEADER: burial.first_error,
            LAST_ERROR_HEADER: burial.last_error,
            ORIGIN_HEADER: self._queue.name,
            DIED_AT_HEADER: rfc3339(self._clock.now()),
        }
        await self._publish(
            Route(DEAD, self._queue.family), codec.join([burial.raw]) if readable else burial.raw, headers
        )
        log.error(
            "dead_letter",
            queue=self._queue.name,
            dead_id=headers[DEAD_ID_HEADER],
            reason=burial.reason.value,
            attempts=burial.attempts,
            error=burial.last_error,
        )

    async def _publish(self, route: Route, body: bytes, headers: Headers) -> None:
        """Publish, however long it takes: without its place on the ladder or in the dead letters, an item is lost."""
        backoff = Backoff()
        while True:
            try:
                return await self._broker.publish(route, body, headers=headers)
            except WarrenError as error:
                await self._hold(backoff, error)

    def _count(self, batch: Batch, failures: Failures, verdicts: Verdicts) -> None:
        family = self._queue.family
        counts = {
            "done": sum(item.envelope.id not in failures for item in batch.items),
            "refused": sum(not refusal.given_up for refusal in verdicts.refusals),
            "retried": sum(map(len, verdicts.retries.values())),
            "dead": len(verdicts.dead),
            "dropped": len(verdicts.dropped) + (0 if self._queue.ladder else len(batch.unreadable)),
        }
        for outcome, count in counts.items():
            if count:
                metrics.CONSUMED.labels(family, outcome).inc(count)
