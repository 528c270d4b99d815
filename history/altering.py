"""What history does with commands of changes: the store decides, then everyone concerned is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from history import metrics
from history.outbound import Outbound
from history.store import Altered, MessageStore
from shared.broker.api import Failures, Publisher, Received
from shared.broker.topology import Topology
from shared.clock import Clock
from shared.commands import (
    Alteration,
    ChangeConversation,
    DeleteMessage,
    EditMessage,
    RemoveMember,
    SetMembers,
    SetReaction,
)
from shared.errors import Unavailable, WarrenError
from shared.events import Changed
from shared.ids import MessageId, NewId

ALTERATIONS: tuple[type, ...] = get_args(Alteration)
_LABELS: dict[type, str] = {
    EditMessage: "edit",
    DeleteMessage: "delete",
    SetReaction: "reaction",
    ChangeConversation: "conversation",
    SetMembers: "members",
    RemoveMember: "removal",
}


@dataclass(frozen=True, slots=True, eq=False)
class AlterConversations:
    """Carry out changes of conversations, one by one, then tell the members and whoever asked.

    Idempotent by change_id: a repeat gives the same event and answer again.
    """

    store: MessageStore
    publisher: Publisher
    topology: Topology
    clock: Clock
    new_id: NewId

    async def __call__(self, batch: Sequence[Received], /) -> Failures:
        """Handle a batch of alterations; where the store is away, the rest of the batch waits."""
        outbound = Outbound(self.publisher, at=self.clock.now(), new_id=self.new_id)
        failed: dict[str, WarrenError] = {}
        for place, received in enumerate(batch):
            try:
                error = await self._handle(received, outbound)
            except Unavailable as away:
                failed |= {each.envelope.id: away for each in batch[place:]}
                break
            if error is not None:
                failed[received.envelope.id] = error
        return {**await outbound.confirmed(), **failed}

    async def _handle(self, received: Received, outbound: Outbound) -> WarrenError | None:
        command = received.envelope.body
        assert isinstance(command, Alteration)
        with metrics.ALTER.time():
            result = await self.store.alter(command, at=self.clock.now())
        metrics.ALTERATIONS.labels(_LABELS[type(command)], _outcome(result)).inc()
        if isinstance(result, WarrenError):
            return result
        if result.entry is not None:
            outbound.event(received, self.topology.events_route(command.conversation_id), result.entry)
        if isinstance(command, RemoveMember):
            await self._leave_channels(command, received, outbound)
        answer = Changed(change_id=command.change_id, conversation_id=command.conversation_id, version=result.version)
        outbound.answer(received.envelope, answer)
        return None

    async def _leave_channels(self, command: RemoveMember, received: Received, outbound: Outbound) -> None:
        """Who leaves a space leaves its channels; each has its own log, on a shard of its own."""
        for channel_id in await self.store.channels_left_over(command.conversation_id, command.user_id):
            removal = RemoveMember(
                change_id=MessageId(self.new_id()),
                conversation_id=channel_id,
                actor_id=None,
                user_id=command.user_id,
            )
            outbound.event(received, self.topology.commands_route(channel_id), removal)


def _outcome(result: Altered | WarrenError) -> str:
    if isinstance(result, WarrenError):
        return "refused"
    if result.entry is None:
        return "unchanged"
    return "repeated" if result.repeat else "changed"
