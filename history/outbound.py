"""What history publishes: events for everyone, answers to the gateway that asked."""

import asyncio
from datetime import datetime

import structlog

from shared.broker.api import Failures, Publisher, Received
from shared.broker.topology import COMMANDS, RECEIPTS_ROUTE, Route, gateway_route
from shared.envelope import Body, Envelope
from shared.errors import BrokerUnavailable, QueueFull, Unroutable, WarrenError
from shared.ids import NewId

log = structlog.get_logger()


class Outbound:
    """The envelopes that one batch of commands causes: posted in order, then confirmed together."""

    def __init__(self, publisher: Publisher, *, at: datetime, new_id: NewId) -> None:
        self._publisher = publisher
        self._at = at
        self._new_id = new_id
        self._waiting: list[tuple[str, Route, bool, asyncio.Future[None]]] = []
        self._failures: dict[str, WarrenError] = {}
        self.unanswered: set[str] = set()  # the commands whose gateway is gone, or takes nothing more

    def event(self, received: Received, route: Route, body: Body) -> None:
        """Post an event; until it is confirmed the command is not done. A full queue is waited for, like an outage.

        Not so history's own: who waits for room in the queue that they empty waits for ever. The command is retried.
        """
        cause = received.envelope
        envelope = Envelope(id=self._new_id(), trace_id=cause.trace_id, occurred_at=self._at, body=body)
        self._post(cause.id, route, envelope, is_answer=False)

    def receipt(self, received: Received, body: Body) -> None:
        """Post a receipt to every gateway. One whose queue is full misses it; that must not hold up the others."""
        cause = received.envelope
        envelope = Envelope(id=self._new_id(), trace_id=cause.trace_id, occurred_at=self._at, body=body)
        self._post(cause.id, RECEIPTS_ROUTE, envelope, is_answer=False)

    def answer(self, cause: Envelope, body: Body) -> None:
        """Post the answer to a command, if one is wanted. A gateway that is gone misses it; its client asks again."""
        if cause.reply_to is None:
            self.unanswered.add(cause.id)
            return
        envelope = Envelope(id=cause.id, trace_id=cause.trace_id, occurred_at=self._at, body=body)
        self._post(cause.id, gateway_route(cause.reply_to), envelope, is_answer=True)

    async def confirmed(self) -> Failures:
        """Wait until the broker has taken everything; gives the commands to do again."""
        if self._waiting:
            await asyncio.wait({future for *_, future in self._waiting})
        for cause_id, route, is_answer, future in self._waiting:
            error = future.exception()
            if route is RECEIPTS_ROUTE and isinstance(error, QueueFull):
                log.warning("receipt_not_taken_by_all", envelope_id=cause_id)
            elif error is not None:
                self._note(cause_id, route, error, is_answer=is_answer)
        return self._failures

    def _post(self, cause_id: str, route: Route, envelope: Envelope, *, is_answer: bool) -> None:
        try:
            self._waiting.append((cause_id, route, is_answer, self._publisher.post(route, envelope)))
        except QueueFull as error:
            self._note(cause_id, route, error, is_answer=is_answer)

    def _note(self, cause_id: str, route: Route, error: BaseException, *, is_answer: bool) -> None:
        if is_answer and isinstance(error, (Unroutable, QueueFull)):
            log.debug("answer_not_taken", envelope_id=cause_id, error=str(error))
            self.unanswered.add(cause_id)
        elif isinstance(error, QueueFull) and route.exchange is not COMMANDS:
            # the ladder would tell the sender that a stored message has failed
            self._failures[cause_id] = BrokerUnavailable(error.message)
        elif isinstance(error, WarrenError):
            self._failures[cause_id] = error
        else:
            raise error
