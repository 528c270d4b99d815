"""Write messages to MongoDB."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

import msgspec
from pymongo.errors import BulkWriteError

from history import documents
from history.creation import Draft
from history.mongo.heads import ROUNDS, MongoHeads, duplicate
from history.rules import direct_conversation, opens_direct
from history.sequence import Appended, Head, Key, Known, key_of, place
from history.store import NO_GATEWAYS
from shared.commands import SendMessage
from shared.errors import Conflict, StoreUnavailable, WarrenError
from shared.ids import ConversationId, GatewayId, MessageId


class MongoWriter(MongoHeads):
    """Storing messages: one insert a batch."""

    async def append(
        self,
        commands: Sequence[SendMessage],
        *,
        at: datetime,
        repeated: bool,
        via: Mapping[MessageId, GatewayId] = NO_GATEWAYS,
    ) -> list[Appended | WarrenError]:
        """Give each message its place and make it durable: one insert for the whole batch."""
        waiting: dict[Key, SendMessage] = {}
        for command in commands:
            waiting.setdefault(key_of(command), command)
        results: dict[Key, Appended | WarrenError] = {}
        with ExitStack() as unfinished:  # cut off, the heads may have moved, or not
            unfinished.callback(self._heads.drop, [command.conversation_id for command in commands])
            with self._asking():
                await self._append(waiting, results, at, via, repeated=repeated)
            unfinished.pop_all()
        return [_marked(results[key_of(command)], first=waiting[key_of(command)] is command) for command in commands]

    async def _append(
        self,
        waiting: Mapping[Key, SendMessage],
        results: dict[Key, Appended | WarrenError],
        at: datetime,
        via: Mapping[MessageId, GatewayId],
        *,
        repeated: bool,
    ) -> None:
        reread: set[ConversationId] = set()
        for _ in range(ROUNDS):
            heads = await self._heads_for(waiting.values(), at)
            if repeated:
                results.update(await self._stored_before(waiting.keys() - results.keys(), heads))
            left = [command for key, command in waiting.items() if key not in results]
            placed, refused = place(left, heads, at, await self._looked_up(left, heads))
            doubtful = {key[0] for key in refused if key[0] in heads} - reread
            results.update((key, error) for key, error in refused.items() if key[0] not in doubtful)
            done, clash = await self._insert(placed, via)
            results.update((key_of(appended.message), appended) for appended in placed[:done])
            if clash is None and not doubtful:
                return
            self._heads.drop(doubtful)  # the database confirms what a head lets in, but not what it refuses
            reread |= doubtful
            if clash is not None:
                self._heads.drop(appended.message.conversation_id for appended in placed)
                results.update(clash)
                repeated = True
        raise StoreUnavailable("Another writer keeps taking the place of these messages.", messages=len(waiting))

    async def _looked_up(self, commands: Collection[SendMessage], heads: Mapping[ConversationId, Head]) -> Known:
        """Look up what heads do not say: nothing, unless somebody writes in a large room or replies."""
        large = {each for each, head in heads.items() if head.member_ids is None}
        writers = {(command.conversation_id, command.sender_id) for command in commands} if large else set()
        writers = {writer for writer in writers if writer[0] in large}
        senders = frozenset(await self._present(writers)) if writers else frozenset()
        replies = {command.reply_to for command in commands if command.reply_to is not None}
        if not replies:
            return Known(senders)
        found = self._messages.find({"_id": {"$in": list(replies)}, "seq": {"$gt": 0}}, ["conversation_id"])
        return Known(senders, {(each["conversation_id"], each["_id"]) async for each in found})

    async def _insert(
        self, placed: Sequence[Appended], via: Mapping[MessageId, GatewayId]
    ) -> tuple[int, Mapping[Key, WarrenError] | None]:
        """Insert in order, up to the first that is a duplicate; so no seq is ever left out.

        Gives how many are stored and, where that is not all, a refusal if that one can never be stored.
        """
        if not placed:
            return 0, None
        try:
            await self._messages.insert_many(
                [documents.message_document(appended, via.get(appended.message.id)) for appended in placed]
            )
        except BulkWriteError as error:
            done = duplicate(error)
            message = placed[done].message
            holder = await self._messages.find_one({"_id": message.id}, documents.KEY_FIELDS)
            if holder is None or documents.key_of(holder) == key_of(message):
                return done, {}
            return done, {key_of(message): Conflict("This message id is taken.", message_id=message.id)}
        return len(placed), None

    async def _stored_before(self, keys: Collection[Key], heads: Mapping[ConversationId, Head]) -> dict[Key, Appended]:
        found: dict[Key, Appended] = {}
        if keys:
            async for document in self._messages.find({"$or": [documents.with_key(key) for key in keys]}):
                message = msgspec.structs.replace(documents.message_of(document), version=document["version"])
                head = heads[message.conversation_id]
                found[key_of(message)] = Appended(
                    message, document["previous_at"], head.audience, head.audience_version, repeat=True
                )
        return found

    async def _heads_for(self, commands: Iterable[SendMessage], at: datetime) -> dict[ConversationId, Head]:
        """Give the heads of existing conversations, and make the direct ones that are missing."""
        commands = list(commands)
        heads = await self._known_heads({command.conversation_id for command in commands})
        missing = {
            command.conversation_id: Draft(direct_conversation(command), at)
            for command in commands
            if command.conversation_id not in heads and opens_direct(command)
        }
        if missing:
            await self._insert_conversations(missing.values())
            heads |= await self._known_heads(missing.keys())
        return heads


def _marked(result: Appended | WarrenError, *, first: bool) -> Appended | WarrenError:
    return result if first or isinstance(result, WarrenError) else replace(result, repeat=True)
