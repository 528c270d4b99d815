"""Look into the dead letters, send them back to where they failed, or throw them away."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import msgspec
import structlog

from shared import envelope as codec
from shared.broker.api import Broker, Delivery
from shared.broker.retry import (
    ATTEMPTS_HEADER,
    DEAD_ID_HEADER,
    DIED_AT_HEADER,
    FIRST_ERROR_HEADER,
    LAST_ERROR_HEADER,
    ORIGIN_HEADER,
    REASON_HEADER,
)
from shared.broker.topology import Queue, Topology, queue_route
from shared.clock import Clock
from shared.errors import Conflict, FailureKind, Invalid, NotFound, Unavailable

MAX_LISTED = 1000  # of each queue: each one costs a question to the broker
DEADLINE_S = 10.0
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # as `new_id` makes them

log = structlog.get_logger()


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one item that was given up."""

    id: str
    stage: str  # the family of queues that gave it up, like history.commands
    origin: str  # the queue
    reason: str
    attempts: int
    first_error: str
    last_error: str
    died_at: str


class DeadLetterBody(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter with what it says: the JSON of its envelope, or whatever could not be read as one."""

    letter: DeadLetter
    body: str


class DeadLetterPage(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters, the latest first. `truncated`: there are later ones that were not looked at."""

    dead_letters: tuple[DeadLetter, ...]
    next_cursor: str | None
    truncated: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters are meant; None: any."""

    stage: str | None = None
    reason: str | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Tell whether a letter is meant."""
        return self.stage in (None, letter.stage) and self.reason in (None, letter.reason)


@dataclass(slots=True)
class _Taken:
    """A letter in our hands: unless it is settled, it goes back."""

    letter: DeadLetter
    delivery: Delivery
    settled: bool = False


class DeadLetters:
    """The dead letters of every family.

    AMQP can show a message only by giving it out, so each operation takes them one by one and puts back what stays;
    one operation at a time in this process. Another process that looks meanwhile sees fewer. What it held returns if
    it dies. Every operation raises Unavailable where it does not come to its end in time.
    """

    def __init__(self, broker: Broker, topology: Topology, *, clock: Clock) -> None:
        self._broker = broker
        self._dead_queues = {queue.family: queue for queue in topology.dead_queues}
        self._origins = frozenset(queue.name for queue in topology.queues)
        self._clock = clock
        self._lock = asyncio.Lock()

    async def page(self, wanted: Filter, *, cursor: str | None, limit: int) -> DeadLetterPage:
        """Give a page of them, after the one whose id is `cursor`, out of the oldest MAX_LISTED of each queue.

        Raises: Invalid (the cursor, the stage), Unavailable.
        """
        if cursor is not None and not _ID.fullmatch(cursor):
            raise Invalid("This cursor is not one of a page before.", cursor=cursor)
        queues = self._queues(wanted.stage)
        async with self._taking(queues, at_most=MAX_LISTED) as taken:
            letters = [item.letter async for item in taken if wanted.takes(item.letter)]
            truncated = any([await self._broker.depth(queue) > 0 for queue in queues])
        letters.sort(key=lambda letter: letter.id, reverse=True)  # their ids sort by time
        if cursor is not None:
            letters = [letter for letter in letters if letter.id < cursor]
        page = tuple(letters[:limit])
        next_cursor = page[-1].id if len(letters) > limit else None
        return DeadLetterPage(dead_letters=page, next_cursor=next_cursor, truncated=truncated)

    async def inspect(self, dead_id: str) -> DeadLetterBody:
        """Give one with its body. Raises: NotFound, Unavailable."""
        async with self._finding(dead_id) as item:
            return DeadLetterBody(letter=item.letter, body=item.delivery.body.decode(errors="replace"))

    async def replay(self, dead_id: str) -> None:
        """Send one back to its queue as a first attempt.

        Confirmed before the letter goes, so dying in between repeats it. Raises: NotFound, Conflict (it cannot be
        read, or its queue is no more), Unavailable.
        """
        async with self._finding(dead_id) as item:
            await self._replay(item)

    async def replay_all(self, wanted: Filter) -> int:
        """Send back all that are meant and can be, the oldest of each queue first; gives their number.

        Raises: Invalid (the stage), Unavailable; what was sent back until then stays so.
        """
        replayed = 0
        async with self._taking(self._queues(wanted.stage)) as taken:
            async for item in taken:
                if wanted.takes(item.letter):
                    with suppress(Conflict):  # it cannot be sent back, and stays
                        await self._replay(item)
                        replayed += 1
        return replayed

    async def discard(self, dead_id: str) -> None:
        """Throw one away. Raises: NotFound, Unavailable."""
        async with self._finding(dead_id) as item:
            await item.delivery.ack()
            item.settled = True
            _audit("dead_letter_discarded", item.letter)

    def _queues(self, stage: str | None) -> Sequence[Queue]:
        if stage is None:
            return tuple(self._dead_queues.values())
        if stage not in self._dead_queues:
            raise Invalid(f"There is no such stage; there are {', '.join(self._dead_queues)}.", stage=stage)
        return (self._dead_queues[stage],)

    @asynccontextmanager
    async def _finding(self, dead_id: str) -> AsyncIterator[_Taken]:
        async with self._taking(self._queues(None)) as taken:
            async for item in taken:
                if item.letter.id == dead_id:
                    yield item
                    return
        raise NotFound("There is no such dead letter.", dead_letter_id=dead_id)

    @asynccontextmanager
    async def _taking(
        self, queues: Sequence[Queue], at_most: int = sys.maxsize
    ) -> AsyncIterator[AsyncIterator[_Taken]]:
        """Lend the letters of these queues, each taken when it is asked for, `at_most` of each queue."""
        until = self._clock.monotonic() + DEADLINE_S
        async with self._lock:
            taken: list[_Taken] = []
            try:
                yield self._take(queues, at_most, until, taken)
            finally:
                for item in reversed(taken):  # each goes to the head again
                    if not item.settled:
                        await item.delivery.requeue()

    async def _take(
        self, queues: Sequence[Queue], at_most: int, until: float, taken: list[_Taken]
    ) -> AsyncIterator[_Taken]:
        for queue in queues:
            for _ in range(at_most):
                if self._clock.monotonic() > until:  # looked at in between: a take that is cancelled hides its letter
                    raise Unavailable("There are too many dead letters to look at in time.")
                delivery = await self._broker.get(queue)
                if delivery is None:
                    break
                taken.append(_Taken(_read(queue.family, delivery), delivery))
                yield taken[-1]

    def _obstacle(self, item: _Taken) -> str | None:
        """Say why a letter cannot be replayed, if so."""
        if item.letter.reason == FailureKind.MALFORMED:
            return "It cannot be read, and would die again."
        if item.letter.origin not in self._origins:
            return f"Its queue {item.letter.origin} is no more."
        return None

    async def _replay(self, item: _Taken) -> None:
        envelopes, unreadable = codec.decode_batch(item.delivery.body)
        obstacle = "This release cannot read it." if unreadable else self._obstacle(item)
        if obstacle is not None:
            raise Conflict(obstacle, dead_letter_id=item.letter.id)
        again = [codec.encode(msgspec.structs.replace(envelope, attempt=1, error=None)) for envelope in envelopes]
        await self._broker.publish(queue_route(item.letter.origin), codec.join(again))
        await item.delivery.ack()
        item.settled = True
        _audit("dead_letter_replayed", item.letter)


def _read(stage: str, delivery: Delivery) -> DeadLetter:
    headers = delivery.headers
    return DeadLetter(
        id=str(headers.get(DEAD_ID_HEADER, "")),
        stage=stage,
        origin=str(headers.get(ORIGIN_HEADER, "")),
        reason=str(headers.get(REASON_HEADER, "")),
        attempts=int(headers.get(ATTEMPTS_HEADER, 0)),
        first_error=str(headers.get(FIRST_ERROR_HEADER, "")),
        last_error=str(headers.get(LAST_ERROR_HEADER, "")),
        died_at=str(headers.get(DIED_AT_HEADER, "")),
    )


def _audit(action: str, letter: DeadLetter) -> None:
    log.warning(action, dead_id=letter.id, stage=letter.stage, origin=letter.origin, reason=letter.reason)
