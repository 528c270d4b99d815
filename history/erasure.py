"""Remove a user from history: what they said, their reactions, their name, their seats in groups."""

from collections.abc import AsyncIterator, Sequence

import msgspec
import structlog

from history.custody import Place
from history.export import STRETCH, reactions_of, sent_by
from history.reading import Record, Tip
from history.store import MessageStore
from shared.broker.api import Publisher
from shared.broker.topology import Topology
from shared.clock import Clock
from shared.commands import ConversationKind, DeleteMessage, DeleteScope, RemoveMember, SetReaction
from shared.envelope import Body, Envelope
from shared.ids import MessageId, NewId, UserId

POSTED = 200  # commands at once; the next ones wait until the broker has confirmed these
CONVERSATIONS = 200  # asked for at once

log = structlog.get_logger()


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure still found and has asked the shards to remove."""

    conversations: int
    messages: int


class Erasures:
    """Erase users, by commands in the operator's name: so every member's clients learn of it as of any change.

    The commands wait in the queues of the shards like others; until they are done, asking again finds the same.
    After that it finds nothing. What is cut off is done by asking again.
    """

    def __init__(
        self, store: MessageStore, publisher: Publisher, topology: Topology, *, clock: Clock, new_id: NewId
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._topology = topology
        self._clock = clock
        self._new_id = new_id

    async def erase(self, user_id: UserId) -> Erased:
        """Ask the shards to remove all of a user. Raises: StoreUnavailable, BrokerUnavailable, QueueFull."""
        places = await self._store.places(user_id)
        conversations = messages = 0
        for start in range(0, len(places), CONVERSATIONS):
            some = places[start : start + CONVERSATIONS]
            ids = [place.conversation_id for place in some]
            records, tips = await self._store.records(ids), await self._store.tips(ids)
            for place in some:
                if record := records.get(place.conversation_id):
                    found = await self._erase_from(record, place, user_id, tips.get(record.id))
                    conversations += any(found)
                    messages += found[0]
        log.info("user_erased", user_id=user_id, conversations=conversations, messages=messages)
        return Erased(conversations=conversations, messages=messages)

    async def _erase_from(self, record: Record, place: Place, user_id: UserId, tip: Tip | None) -> tuple[int, int]:
        """Erase from one conversation; gives how many messages were there, and how much else."""
        await self._store.blank_name(record.id, user_id)
        messages = await self._post(record, self._deletions(record, user_id))
        if not place.present:
            for after in range(0, tip.version if tip else 0, STRETCH):
                await self._store.withdraw_reactions(record.id, user_id, after=after, until=after + STRETCH)
            return messages, 0
        reactions = await self._post(record, self._withdrawals(record, user_id, tip))
        if record.kind is ConversationKind.DIRECT:
            return messages, reactions
        return messages, reactions + await self._post(record, self._removal(record, user_id))

    async def _deletions(self, record: Record, user_id: UserId) -> AsyncIterator[Body]:
        async for sent in sent_by(self._store, record.id, user_id):
            if sent.message.deleted_at is None:
                yield DeleteMessage(
                    change_id=MessageId(self._new_id()),
                    conversation_id=record.id,
                    actor_id=None,
                    message_id=sent.message.id,
                    scope=DeleteScope.EVERYONE,
                )

    async def _withdrawals(self, record: Record, user_id: UserId, tip: Tip | None) -> AsyncIterator[Body]:
        async for reaction in reactions_of(self._store, record.id, user_id, tip):
            yield SetReaction(
                change_id=MessageId(self._new_id()),
                conversation_id=record.id,
                actor_id=user_id,
                message_id=reaction.message_id,
                emoji=reaction.emoji,
                removed=True,
            )

    async def _removal(self, record: Record, user_id: UserId) -> AsyncIterator[Body]:
        yield RemoveMember(
            change_id=MessageId(self._new_id()), conversation_id=record.id, actor_id=None, user_id=user_id
        )

    async def _post(self, record: Record, commands: AsyncIterator[Body]) -> int:
        """Post commands to the shard of a conversation, in order; gives how many."""
        count, waiting = 0, list[Body]()
        async for command in commands:
            waiting.append(command)
            count += 1
            if len(waiting) == POSTED:
                await self._publish(record, waiting)
                waiting.clear()
        if waiting:
            await self._publish(record, waiting)
        return count

    async def _publish(self, record: Record, commands: Sequence[Body]) -> None:
        at, envelopes = self._clock.now(), []
        for command in commands:
            id_ = self._new_id()
            envelopes.append(Envelope(id=id_, trace_id=id_, occurred_at=at, body=command))
        await self._publisher.publish(self._topology.commands_route(record.id), envelopes)
