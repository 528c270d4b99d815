"""Read messages, conversations and watermarks from MongoDB."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

import pymongo

from history import documents
from history.documents import Document
from history.mongo.connection import MongoConnection
from history.reading import Change, Membership, Record, Tip
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import ConversationId, UserId


class MongoReader(MongoConnection):
    """The reading half of the store."""

    async def memberships(self, user_id: UserId) -> dict[ConversationId, Membership]:
        """Give all conversations of a user."""
        with self._asking():
            found = self._members.find({"user_id": user_id})
            return {each["conversation_id"]: documents.membership_of(each) async for each in found}

    async def tips(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Tip]:
        """Give the ends of conversations' logs."""
        with self._asking():
            return await self._tips(conversation_ids)

    async def records(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Record]:
        """Give those of the conversations that exist."""
        with self._asking():
            last = self._messages.aggregate(documents.last_of_each(conversation_ids))
            messages = {each["_id"]: documents.message_of(each["last"]) async for each in last}
            found = self._conversations.find({"_id": {"$in": list(conversation_ids)}})
            return {each["_id"]: documents.record_of(each, messages.get(each["_id"])) async for each in found}

    async def watermarks(
        self, conversation_ids: Collection[ConversationId]
    ) -> dict[ConversationId, tuple[Watermark, ...]]:
        """Give the watermarks of every member."""
        marks: defaultdict[ConversationId, list[Watermark]] = defaultdict(list)
        with self._asking():
            async for each in self._members.find({"conversation_id": {"$in": list(conversation_ids)}}):
                marks[each["conversation_id"]].append(documents.watermark_of(each))
        return {each: tuple(sorted(found, key=lambda mark: mark.user_id)) for each, found in marks.items()}

    async def acknowledged_after(
        self, conversation_ids: Collection[ConversationId], moment: datetime
    ) -> set[ConversationId]:
        """Give those of the conversations in which a watermark moved after a moment."""
        query = {"conversation_id": {"$in": list(conversation_ids)}, "acknowledged_at": {"$gt": moment}}
        with self._asking():
            return set(await self._members.distinct("conversation_id", query))

    async def changes(
        self, conversation_id: ConversationId, *, version: int | None, floor: datetime, limit: int
    ) -> list[Change]:
        """Give the newest changes, read backwards until one that is had."""
        newest = self._messages.find({"conversation_id": conversation_id}).sort("seq", pymongo.DESCENDING)
        changes: list[Change] = []
        with self._asking():
            async for document in newest.limit(limit).batch_size(min(limit, documents.READ_AHEAD)):
                change = documents.change_of(document)
                message = change.message
                if message.version <= version if version is not None else message.created_at <= floor:
                    break
                changes.append(change)
            await newest.close()
        return changes[::-1]

    async def messages(
        self, conversation_id: ConversationId, *, before: int | None, after: int | None, limit: int
    ) -> list[Message]:
        """Give one page in seq order."""
        query: Document = {"conversation_id": conversation_id}
        if after is not None:
            query["seq"] = {"$gt": after}
        elif before is not None:
            query["seq"] = {"$lt": before}
        order = pymongo.ASCENDING if after is not None else pymongo.DESCENDING
        with self._asking():
            found = await self._messages.find(query).sort("seq", order).limit(limit).to_list(limit)
        messages = [documents.message_of(document) for document in found]
        return messages if after is not None else messages[::-1]

    async def unread(self, user_id: UserId, after: Mapping[ConversationId, int]) -> dict[ConversationId, int]:
        """Count the messages of others."""
        if not after:
            return {}
        with self._asking():
            found = self._messages.aggregate(documents.unread_count(user_id, after))
            return {each["_id"]: each["unread"] async for each in found}
