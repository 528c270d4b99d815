"""Remove a user from history: what they said, their reactions, their name, their seats in groups."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import msgspec
import structlog

from history.custody import Place
from history.export import STRETCH, reactions_of, sent_by
from history.reading import Record, Tip
from history.store import MessageStore
from shared.broker.api import Publisher
from shared.broker.topology import Route, Topology
from shared.clock import Clock
from shared.commands import ConversationKind, DeleteMessage, DeleteScope, RemoveMember, SetReaction
from shared.envelope import Body, Envelope
from shared.errors import Unavailable
from shared.ids import MessageId, NewId, UserId

POSTED = 200  # commands in the queues at once: messages that people send meanwhile wait behind them
POLL_S = 0.05
PATIENCE_S = 60.0  # with the shards; as long as an outage of theirs may last before it is said
CONVERSATIONS = 200  # asked for at once

log = structlog.get_logger()


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure still found and has asked the shards to remove."""

    conversations: int
    messages: int


class Erasures:
    """Erase users, by commands in the operator's name: so every member's clients learn of it as of any change.

    The commands wait in the queues of the shards like others, never many at once. Until they are done, asking again
    finds the same; after that it finds nothing. What is cut off is done by asking again.
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
        """Ask the shards to remove all of a user. Raises: Unavailable: the store, the broker, or the shards."""
        places, posting = await self._store.places(user_id), _Posting()
        conversations = messages = 0
        for start in range(0, len(places), CONVERSATIONS):
            some = places[start : start + CONVERSATIONS]
            ids = [place.conversation_id for place in some]
            records, tips = await self._store.records(ids), await self._store.tips(ids)
            for place in some:
                if record := records.get(place.conversation_id):
                    found = await self._erase_from(posting, record, place, tips.get(record.id), user_id)
                    conversations += any(found)
                    messages += found[0]
        log.info("user_erased", user_id=user_id, conversations=conversations, messages=messages)
        return Erased(conversations=conversations, messages=messages)

    async def _erase_from(
        self, posting: "_Posting", record: Record, place: Place, tip: Tip | None, user_id: UserId
    ) -> tuple[int, int]:
        """Erase from one conversation; gives how many messages were there, and how much else."""
        await self._store.blank_name(record.id, user_id)
        messages = await self._post(posting, record, self._deletions(record, user_id))
        if not place.present:
            for after in range(0, tip.version if tip else 0, STRETCH):
                await self._store.withdraw_reactions(record.id, user_id, after=after, until=after + STRETCH)
            return messages, 0
        reactions = await self._post(posting, record, self._withdrawals(record, user_id, tip))
        if record.kind is ConversationKind.DIRECT:
            return messages, reactions
        return messages, reactions + await self._post(posting, record, self._removal(record, user_id))

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

    async def _post(self, posting: "_Posting", record: Record, commands: AsyncIterator[Body]) -> int:
        """Post commands to the shard of a conversation, in order; gives how many."""
        count, page = 0, list[Body]()
        async for command in commands:
            page.append(command)
            count += 1
            if len(page) == POSTED:
                await self._publish(posting, record, page)
                page.clear()
        if page:
            await self._publish(posting, record, page)
        return count

    async def _publish(self, posting: "_Posting", record: Record, commands: Sequence[Body]) -> None:
        if posting.count + len(commands) > POSTED:
            await self._until_done(posting)
        at, envelopes = self._clock.now(), []
        for command in commands:
            id_ = self._new_id()
            envelopes.append(Envelope(id=id_, trace_id=id_, occurred_at=at, body=command))
        route = self._topology.commands_route(record.id)
        await self._publisher.publish(route, envelopes)
        posting.note(route, commands)

    async def _until_done(self, posting: "_Posting") -> None:
        """Wait until the shards have deleted what was posted. Raises: Unavailable, if they do not."""
        deadline = self._clock.monotonic() + PATIENCE_S
        while not await self._is_done(posting):
            if self._clock.monotonic() >= deadline:
                raise Unavailable("The shards have not carried out what was posted yet; ask again later.")
            await self._clock.sleep(POLL_S)
        posting.clear()

    async def _is_done(self, posting: "_Posting") -> bool:
        found = await self._store.messages_by_id(posting.last.values())
        return all(logged.message.deleted_at is not None for logged in found.values())


@dataclass(slots=True)
class _Posting:
    """What an erasure has posted since the shards were known to be done."""

    count: int = 0
    last: dict[Route, MessageId] = field(default_factory=dict)  # the last message to be deleted by each shard

    def note(self, route: Route, commands: Sequence[Body]) -> None:
        self.count += len(commands)
        for command in commands:
            if isinstance(command, DeleteMessage):
                self.last[route] = command.message_id

    def clear(self) -> None:
        self.count = 0
        self.last.clear()
