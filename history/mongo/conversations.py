"""Make conversations on MongoDB, and look up who is in them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from history import documents
from history.announcements import addressed, entry_of
from history.creation import Draft, created_id
from history.mongo.heads import MongoHeads
from history.rules import refuse_conversation, refuse_parent, refuse_stranger
from history.sequence import Head
from history.store import Created
from shared.commands import CreateConversation
from shared.errors import WarrenError
from shared.events import ConversationChanged
from shared.ids import ConversationId, UserId


class MongoConversations(MongoHeads):
    """Making conversations."""

    async def create(self, commands: Sequence[CreateConversation], *, at: datetime) -> list[Created | WarrenError]:
        """Make the conversations that are not there."""
        with self._asking():
            wanted = {command.conversation_id: command for command in commands if refuse_conversation(command) is None}
            heads = await self._known_heads(wanted.keys())
            missing = [command for each, command in wanted.items() if each not in heads]
            orphans = await self._orphans(missing)
            drafts = [Draft(command, at) for command in missing if command.conversation_id not in orphans]
            made = await self._insert_conversations(drafts) if drafts else set()
            heads |= await self._known_heads([draft.id for draft in drafts])
            creators = [(command.conversation_id, command.creator_id) for command in wanted.values()]
            present = await self._present(creators)
            entries = await self._first_entries([each for each, head in heads.items() if head.version])
        results: list[Created | WarrenError] = []
        for command in commands:
            each = command.conversation_id
            error = refuse_conversation(command) or orphans.get(each)
            results.append(error or _created(command, heads[each], present, made, entries))
        return results

    async def _orphans(self, commands: Collection[CreateConversation]) -> dict[ConversationId, WarrenError]:
        """Refuse the channels of spaces that are not there, or not their creators'."""
        inside = {command.conversation_id: command for command in commands}
        parents = {each: parent for each, command in inside.items() if (parent := command.parent_id) is not None}
        if not parents:
            return {}
        heads = await self._load_heads(set(parents.values()))  # not kept: another replica may write to the space
        present = await self._present([(parent, inside[each].creator_id) for each, parent in parents.items()])
        refused: dict[ConversationId, WarrenError] = {}
        for each, parent in parents.items():
            head = heads.get(parent)
            is_member = (parent, inside[each].creator_id) in present
            if error := refuse_parent(inside[each], None if head is None else head.kind, is_member=is_member):
                refused[each] = error
        return refused

    async def _first_entries(
        self, conversation_ids: Collection[ConversationId]
    ) -> dict[ConversationId, ConversationChanged]:
        """Give the entries that conversations began with; direct ones have none."""
        query = {"_id": {"$in": [created_id(each) for each in conversation_ids]}}
        changes = [documents.logged_change_of(each) async for each in self._messages.find(query)]
        found = self._conversations.find({"_id": {"$in": [change.conversation_id for change in changes]}})
        records = {each["_id"]: documents.record_of(each) async for each in found}
        entries: dict[ConversationId, ConversationChanged] = {}
        for change in changes:
            record = records[change.conversation_id]
            entry = addressed(entry_of(change, record, None), record)
            assert isinstance(entry, ConversationChanged)
            entries[record.id] = entry
        return entries

    async def channels_left_over(self, space_id: ConversationId, user_id: UserId) -> list[ConversationId]:
        """Give the channels that a user is in now, though not in their space."""
        with self._asking():
            channels = [each["_id"] async for each in self._conversations.find({"parent_id": space_id}, ["_id"])]
            places = {place for place, _ in await self._present([(each, user_id) for each in (space_id, *channels)])}
        return [] if space_id in places else sorted(places)


def _created(
    command: CreateConversation,
    head: Head,
    present: Collection[tuple[ConversationId, UserId]],
    made: Collection[ConversationId],
    entries: Mapping[ConversationId, ConversationChanged],
) -> Created | WarrenError:
    each, creator = command.conversation_id, command.creator_id
    stranger = refuse_stranger(creator, each, (creator,) if (each, creator) in present else ())
    return stranger or Created(each, head.number, head.kind, created=each in made, entry=entries.get(each))
