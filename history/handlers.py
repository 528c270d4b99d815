"""What history does with each command: the store decides, then everyone concerned is told."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from history import metrics
from history.outbound import Outbound
from history.sequence import Appended
from history.store import Advanced, MessageStore, Reader
from shared.broker.api import Failures, Publisher, Received, Refusal
from shared.broker.topology import Topology
from shared.clock import Clock
from shared.commands import Acknowledge, CreateConversation, SendMessage, Stage
from shared.errors import WarrenError
from shared.events import ConversationCreated, MessageFailed, MessageStored, ReceiptAdvanced, Rejected, Stored
from shared.ids import GatewayId, MessageId, NewId


@dataclass(frozen=True, slots=True, eq=False)
class StoreMessages:
    """Give messages their places in their conversations and make them durable, then tell the members and the sender.

    Idempotent by (conversation_id, sender_id, client_id): a repeat gives the same answer and event again.
    """

    store: MessageStore
    publisher: Publisher
    topology: Topology
    clock: Clock
    new_id: NewId

    async def __call__(self, batch: Sequence[Received], /) -> Failures:
        """Store a batch of SendMessage. Raises: StoreUnavailable."""
        commands = [_send_message(received) for received in batch]
        at = self.clock.now()
        with metrics.APPEND.time():
            results = await self.store.append(
                commands, at=at, repeated=any(each.repeated for each in batch), via=_gateways(batch)
            )
        metrics.BATCH.observe(len(batch))
        outbound = Outbound(self.publisher, at=at, new_id=self.new_id)
        refused: dict[str, WarrenError] = {}
        for received, result in zip(batch, results, strict=True):
            if isinstance(result, WarrenError):
                refused[received.envelope.id] = result
            else:
                self._tell(received, result, outbound)
        for outcome, count in Counter(map(_append_outcome, results)).items():
            metrics.MESSAGES.labels(outcome).inc(count)
        return {**await outbound.confirmed(), **refused}

    def _tell(self, received: Received, result: Appended, outbound: Outbound) -> None:
        message = result.message
        event = MessageStored(
            message=message,
            audience=result.audience,
            previous_at=result.previous_at,
            members_version=result.members_version,
        )
        outbound.event(received, self.topology.events_route(message.conversation_id), event)
        answer = Stored(
            message_id=message.id,
            conversation_id=message.conversation_id,
            client_id=message.client_id,
            seq=message.seq,
            version=message.version,
            number=message.number,
            created_at=message.created_at,
        )
        outbound.answer(received.envelope, answer)


@dataclass(frozen=True, slots=True, eq=False)
class AdvanceReceipts:
    """Move readers' watermarks forward and tell every gateway which of them moved.

    Idempotent: watermarks are merged by maximum. A command that may be here again tells where they stand, since
    what it said the first time may have been lost.
    """

    store: MessageStore
    publisher: Publisher
    clock: Clock
    new_id: NewId

    async def __call__(self, batch: Sequence[Received], /) -> Failures:
        """Handle a batch of Acknowledge. Raises: StoreUnavailable."""
        commands = [_acknowledge(received) for received in batch]
        at = self.clock.now()
        results = await self.store.advance(commands, at=at)
        outbound = Outbound(self.publisher, at=at, new_id=self.new_id)
        refused: dict[str, WarrenError] = {}
        told: dict[Reader, Received] = {}  # by which command each reader's news go out: the last, or a repeated one
        for received, command in zip(batch, commands, strict=True):
            reader = _reader(command)
            result = results[reader]
            if isinstance(result, WarrenError):
                refused[received.envelope.id] = result
            elif reader not in told or not told[reader].repeated:
                told[reader] = received
        for outcome, count in Counter(_outcome(results[_reader(command)]) for command in commands).items():
            metrics.RECEIPTS.labels(outcome).inc(count)
        for reader, received in told.items():
            self._tell(reader, results[reader], received, outbound)
        return {**await outbound.confirmed(), **refused}

    def _tell(self, reader: Reader, result: Advanced | WarrenError, received: Received, outbound: Outbound) -> None:
        assert isinstance(result, Advanced)
        conversation_id, user_id = reader
        mark = result.watermark
        stages = (
            (Stage.DELIVERED, mark.delivered_seq, mark.delivered_at),
            (Stage.READ, mark.read_seq, mark.read_at),
        )
        for stage, seq, at in stages:
            if at is not None and (stage in result.moved or received.repeated):
                event = ReceiptAdvanced(
                    conversation_id=conversation_id,
                    user_id=user_id,
                    stage=stage,
                    seq=seq,
                    at=at,
                    audience=result.audience,
                )
                outbound.receipt(received, event)


@dataclass(frozen=True, slots=True, eq=False)
class CreateConversations:
    """Make conversations, tell their members, and answer with what is there. Idempotent by conversation id."""

    store: MessageStore
    publisher: Publisher
    topology: Topology
    clock: Clock
    new_id: NewId

    async def __call__(self, batch: Sequence[Received], /) -> Failures:
        """Handle a batch of CreateConversation. Raises: StoreUnavailable."""
        at = self.clock.now()
        results = await self.store.create([_create_conversation(received) for received in batch], at=at)
        outbound = Outbound(self.publisher, at=at, new_id=self.new_id)
        refused: dict[str, WarrenError] = {}
        for received, result in zip(batch, results, strict=True):
            if isinstance(result, WarrenError):
                refused[received.envelope.id] = result
                metrics.CONVERSATIONS.labels("refused").inc()
                continue
            if result.entry is not None and (result.created or received.repeated):
                outbound.event(received, self.topology.events_route(result.conversation_id), result.entry)
            answer = ConversationCreated(
                conversation_id=result.conversation_id, number=result.number, kind=result.kind, created=result.created
            )
            outbound.answer(received.envelope, answer)
            metrics.CONVERSATIONS.labels("created" if result.created else "there").inc()
        return {**await outbound.confirmed(), **refused}


@dataclass(frozen=True, slots=True, eq=False)
class RefuseCommands:
    """Tell senders what will not be done: an answer to the gateway that waits, else a receipt for everyone to see."""

    publisher: Publisher
    clock: Clock
    new_id: NewId

    async def __call__(self, refusals: Sequence[Refusal], /) -> None:
        """Publish the refusals. Raises: BrokerUnavailable."""
        at = self.clock.now()
        answers = Outbound(self.publisher, at=at, new_id=self.new_id)
        for refusal in refusals:
            if not refusal.given_up:
                answers.answer(refusal.envelope, Rejected(error=refusal.error.body()))
        _raise_first(await answers.confirmed())
        receipts = Outbound(self.publisher, at=at, new_id=self.new_id)
        for refusal in refusals:
            body, cause = refusal.envelope.body, refusal.envelope
            if isinstance(body, SendMessage) and (refusal.given_up or cause.id in answers.unanswered):
                failed = MessageFailed(
                    conversation_id=body.conversation_id,
                    message_id=body.message_id,
                    client_id=body.client_id,
                    sender_id=body.sender_id,
                    at=at,
                    error=refusal.error.body(),
                )
                receipts.receipt(Received(cause), failed)
        _raise_first(await receipts.confirmed())


def _raise_first(failures: Failures) -> None:
    for error in failures.values():
        raise error


def _append_outcome(result: Appended | WarrenError) -> str:
    if isinstance(result, WarrenError):
        return "refused"
    return "repeated" if result.repeat else "stored"


def _reader(command: Acknowledge) -> Reader:
    return command.conversation_id, command.user_id


def _outcome(result: Advanced | WarrenError) -> str:
    if isinstance(result, WarrenError):
        return "refused"
    return "advanced" if result.moved else "unchanged"


def _gateways(batch: Sequence[Received]) -> dict[MessageId, GatewayId]:
    """Name the gateways that took the messages."""
    return {
        received.envelope.body.message_id: received.envelope.reply_to
        for received in batch
        if isinstance(received.envelope.body, SendMessage) and received.envelope.reply_to is not None
    }


def _send_message(received: Received) -> SendMessage:
    assert isinstance(received.envelope.body, SendMessage)
    return received.envelope.body


def _acknowledge(received: Received) -> Acknowledge:
    assert isinstance(received.envelope.body, Acknowledge)
    return received.envelope.body


def _create_conversation(received: Received) -> CreateConversation:
    assert isinstance(received.envelope.body, CreateConversation)
    return received.envelope.body
