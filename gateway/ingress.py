"""Commands on their way to history: posted in batches, each answered once, within five seconds."""

import asyncio
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import structlog

from gateway import metrics
from gateway.dialects.base import Accepted
from shared.broker.api import Publisher
from shared.broker.topology import RECEIPTS_ROUTE, Topology
from shared.clock import Clock
from shared.commands import Alteration, Change, CreateConversation, SendMessage
from shared.envelope import Body, Envelope
from shared.errors import ErrorBody, QueueFull, Unavailable
from shared.events import Changed, ConversationCreated, MessageFailed, Rejected, Stored
from shared.ids import GatewayId, NewId

ANSWER_S = 5.0  # then the sender is told what is known: accepted, or unavailable
SWEEP_S = 0.25
LATE_S = 600.0  # how long a late answer still finds its sender
MAX_LATE = 20_000

Answered: TypeAlias = Stored | ConversationCreated | Changed
Outcome: TypeAlias = Answered | Accepted | ErrorBody
Command: TypeAlias = SendMessage | CreateConversation | Alteration

log = structlog.get_logger()


class Asker(Protocol):
    """Whoever sent a command and wants to know what became of it. Called from the loop; must not wait."""

    def answered(self, command: Command, outcome: Outcome, reply_to: str | None) -> None:
        """Take the one answer."""
        ...

    def stored_later(self, command: SendMessage, stored: Stored) -> None:
        """Take the place of a message that was answered with `Accepted` or with an error that was not final."""
        ...


@dataclass(frozen=True, slots=True)
class _Pending:
    command: Command
    asker: Asker
    reply_to: str | None
    taken_at: float
    posted: "asyncio.Future[None]"

    @property
    def confirmed(self) -> bool:
        return self.posted.done() and self.posted.exception() is None


@dataclass(frozen=True, slots=True)
class _Late:
    command: SendMessage
    asker: weakref.ref[Asker]  # a session that has closed need not be kept to be told nothing
    taken_at: float
    confirmed: bool


class Ingress:
    """Posts commands and matches the answers, by the id of the envelope.

    No task, timer or future per command: one sweep looks at those that wait too long, in the order of their coming.
    """

    def __init__(
        self, publisher: Publisher, topology: Topology, *, gateway_id: GatewayId, clock: Clock, new_id: NewId
    ) -> None:
        self._publisher = publisher
        self._topology = topology
        self._gateway_id = gateway_id
        self._clock = clock
        self._new_id = new_id
        self._pending: dict[str, _Pending] = {}
        self._late: dict[str, _Late] = {}
        self._watched: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._pending)

    def submit(self, command: Command, asker: Asker, *, reply_to: str | None = None) -> None:
        """Send a command on its way; the asker is answered exactly once, maybe before this returns."""
        envelope_id = self._envelope_id(command)
        try:
            posted = self._post(envelope_id, command)
        except Unavailable as error:
            metrics.ANSWERS.labels("unavailable").inc()
            asker.answered(command, _unavailable(error), reply_to)
            return
        self._pending[envelope_id] = _Pending(command, asker, reply_to, self._clock.monotonic(), posted)
        if posted not in self._watched:
            self._watched.add(posted)
            posted.add_done_callback(self._batch_done)

    def answer(self, answers: Sequence[tuple[str, Answered | Rejected]]) -> None:
        """Pass on answers of history, by envelope id; what nobody waits for any more is forgotten."""
        now = self._clock.monotonic()
        oldest = now
        for envelope_id, answer in answers:
            outcome = answer.error if isinstance(answer, Rejected) else answer
            pending = self._pending.pop(envelope_id, None)
            if pending is not None:
                oldest = min(oldest, pending.taken_at)
                metrics.ANSWERS.labels(_label(outcome)).inc()
                pending.asker.answered(pending.command, outcome, pending.reply_to)
            elif (late := self._late.pop(envelope_id, None)) is not None:
                metrics.ANSWERS.labels("late").inc()
                self._tell_later(envelope_id, late, outcome)
        metrics.ANSWER_SECONDS.observe(now - oldest)
        metrics.PENDING.set(len(self._pending))

    async def sweep(self) -> None:
        """Answer those that wait too long with what is known, and forget what is too old."""
        now = self._clock.monotonic()
        for envelope_id in _older(self._pending, now - ANSWER_S):
            pending = self._pending.pop(envelope_id)
            self._answer_without_history(envelope_id, pending)
        for envelope_id in _older(self._late, now - LATE_S):
            del self._late[envelope_id]
        metrics.PENDING.set(len(self._pending))

    def post_again(self) -> None:
        """Send again the messages and changes that have no answer: it may be lost with a queue. Idempotent in history.

        What the broker has not confirmed is left out: it is still being sent, or its sender was told to send it again.
        """
        waiting: list[Mapping[str, _Pending | _Late]] = [self._late, self._pending]
        for entries in waiting:
            for envelope_id, entry in entries.items():
                if entry.confirmed and isinstance(entry.command, SendMessage | Change):
                    try:
                        self._post(envelope_id, entry.command)
                    except Unavailable as error:
                        log.warning("not_posted_again", error=str(error), messages=len(entries))
                        return

    def _envelope_id(self, command: Command) -> str:
        """Name the envelope; a message's id, or a change's, is new with each attempt to send it, so it will do."""
        match command:
            case SendMessage():
                return command.message_id
            case Change():
                return command.change_id
            case CreateConversation():
                return self._new_id()

    def _post(self, envelope_id: str, command: Command) -> "asyncio.Future[None]":
        envelope = self._envelope(envelope_id, command, reply_to=self._gateway_id)
        return self._publisher.post(self._topology.commands_route(command.conversation_id), envelope)

    def _envelope(self, envelope_id: str, body: Body, *, reply_to: GatewayId | None = None) -> Envelope:
        now = self._clock.now()
        return Envelope(id=envelope_id, trace_id=envelope_id, occurred_at=now, body=body, reply_to=reply_to)

    def _keep(self, envelope_id: str, late: _Late) -> None:
        if len(self._late) >= MAX_LATE:
            del self._late[next(iter(self._late))]
        self._late[envelope_id] = late

    def _keep_pending(self, envelope_id: str, pending: _Pending) -> None:
        if isinstance(pending.command, SendMessage):
            late = _Late(pending.command, weakref.ref(pending.asker), pending.taken_at, pending.confirmed)
            self._keep(envelope_id, late)

    def _tell_later(self, envelope_id: str, late: _Late, outcome: Answered | ErrorBody) -> None:
        if isinstance(outcome, ErrorBody):
            self._tell_failure(envelope_id, late, outcome)
        elif isinstance(outcome, Stored) and (asker := late.asker()) is not None:
            asker.stored_later(late.command, outcome)

    def _tell_failure(self, envelope_id: str, late: _Late, error: ErrorBody) -> None:
        """Tell every session of the sender, wherever it is now: the one that sent the message may be gone."""
        command = late.command
        failed = MessageFailed(
            conversation_id=command.conversation_id,
            message_id=command.message_id,
            client_id=command.client_id,
            sender_id=command.sender_id,
            at=self._clock.now(),
            error=error,
        )

        def told(posted: "asyncio.Future[None]") -> None:
            failure = posted.exception()
            if isinstance(failure, QueueFull):  # of some gateway; the others have it
                log.warning("receipt_not_taken_by_all", envelope_id=envelope_id)
            elif failure is not None:
                self._keep(envelope_id, late)  # posted again, it is refused again

        try:
            self._publisher.post(RECEIPTS_ROUTE, self._envelope(self._new_id(), failed)).add_done_callback(told)
        except Unavailable as unavailable:
            log.warning("receipt_not_posted", envelope_id=envelope_id, error=str(unavailable))
            self._keep(envelope_id, late)

    def give_up(self) -> None:
        """Answer all that wait with what is known."""
        for envelope_id in tuple(self._pending):
            self._answer_without_history(envelope_id, self._pending.pop(envelope_id))

    def _answer_without_history(self, envelope_id: str, pending: _Pending) -> None:
        command = pending.command
        self._keep_pending(envelope_id, pending)
        if isinstance(command, SendMessage) and pending.confirmed:
            metrics.ANSWERS.labels("accepted").inc()
            accepted = Accepted(message_id=command.message_id, conversation_id=command.conversation_id)
            pending.asker.answered(command, accepted, pending.reply_to)
        else:
            metrics.ANSWERS.labels("unavailable").inc()
            refusal = _unavailable(Unavailable("No answer in time; send it again."))
            pending.asker.answered(command, refusal, pending.reply_to)

    def _batch_done(self, posted: "asyncio.Future[None]") -> None:
        """Answer at once for a batch that could not be published. It may be on the broker all the same."""
        self._watched.discard(posted)
        error = posted.exception()
        if error is None:
            return
        failed = [(known_as, pending) for known_as, pending in self._pending.items() if pending.posted is posted]
        for envelope_id, pending in failed:
            del self._pending[envelope_id]
            self._keep_pending(envelope_id, pending)
            metrics.ANSWERS.labels("unavailable").inc()
            pending.asker.answered(pending.command, _unavailable(error), pending.reply_to)


def _older(entries: Mapping[str, _Pending | _Late], than: float) -> list[str]:
    old: list[str] = []
    for envelope_id, pending in entries.items():
        if pending.taken_at > than:
            break
        old.append(envelope_id)
    return old


def _unavailable(error: BaseException) -> ErrorBody:
    retry_after_ms = 500 if isinstance(error, QueueFull) else 1000
    return Unavailable(f"It cannot be taken now: {error}", retry_after_ms=retry_after_ms).body()


def _label(outcome: Answered | ErrorBody) -> str:
    match outcome:
        case Stored():
            return "stored"
        case ConversationCreated():
            return "created"
        case Changed():
            return "changed"
        case ErrorBody():
            return "refused"
