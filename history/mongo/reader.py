"""Read conversations, their logs and watermarks from MongoDB."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import islice

import pymongo

from history import documents
from history.documents import Document
from history.mongo import asking
from history.mongo.connection import MongoConnection
from history.mongo.watermarks import NO_TRAILS
from history.paging import EPOCH
from history.reading import End, Logged, LoggedMessage, Membership, Record, Tip, Trail
from shared.history_api import Watermark
from shared.ids import ConversationId, MessageId, UserId


class MongoReader(MongoConnection):
    """The reading half of the store."""

    # --- members

    async def memberships(self, user_id: UserId) -> dict[ConversationId, Membership]:
        """Give all conversations of a user, those that they have left too."""
        with self._asking():
            found = self._members.find({"user_id": user_id}, NO_TRAILS)
            return {each["conversation_id"]: documents.membership_of(each) async for each in found}

    async def memberships_in(
        self, user_id: UserId, conversation_ids: Collection[ConversationId]
    ) -> dict[ConversationId, Membership]:
        """Give a user's places in those of the conversations that they are or were in."""
        ids = [documents.member_id(each, user_id) for each in conversation_ids]
        with self._asking():
            found = self._members.find({"_id": {"$in": ids}}, NO_TRAILS)
            return {each["conversation_id"]: documents.membership_of(each) async for each in found}

    async def windows(self, conversation_id: ConversationId) -> dict[UserId, int]:
        """Give every present member with the version after which entries are for them."""
        with self._asking():
            found = self._members.find(asking.members_of(conversation_id), ["user_id", "since_version"])
            return {each["user_id"]: each.get("since_version", 0) async for each in found}

    async def members_after(
        self, conversation_id: ConversationId, user_id: UserId | None, limit: int
    ) -> list[Membership]:
        """Give present members, by user id."""
        query = asking.members_of(conversation_id, user_id)
        with self._asking():
            found = self._members.find(query, NO_TRAILS).sort("_id", pymongo.ASCENDING).limit(limit)
            return [documents.membership_of(each) async for each in found]

    async def trails(self, conversation_id: ConversationId, limit: int) -> list[Trail]:
        """Give the trails of the first present members, by user id."""
        with self._asking():
            found = self._members.find(asking.members_of(conversation_id)).sort("_id", pymongo.ASCENDING).limit(limit)
            return [asking.trail_of(each) async for each in found]

    async def watermarks(
        self, conversation_ids: Collection[ConversationId]
    ) -> dict[ConversationId, tuple[Watermark, ...]]:
        """Give the watermarks of every present member."""
        marks: defaultdict[ConversationId, list[Watermark]] = defaultdict(list)
        query = {"conversation_id": {"$in": list(conversation_ids)}, "left_version": None}
        with self._asking():
            async for each in self._members.find(query, NO_TRAILS):
                marks[each["conversation_id"]].append(documents.watermark_of(each))
        return {each: tuple(sorted(found, key=lambda mark: mark.user_id)) for each, found in marks.items()}

    async def acknowledged_after(
        self, conversation_ids: Collection[ConversationId], moment: datetime
    ) -> dict[ConversationId, datetime]:
        """Tell when watermarks moved last."""
        query = {"conversation_id": {"$in": list(conversation_ids)}, "acknowledged_at": {"$gt": moment}}
        last = {"_id": "$conversation_id", "at": {"$max": "$acknowledged_at"}}
        with self._asking():
            found = self._members.aggregate([{"$match": query}, {"$group": last}])
            return {each["_id"]: each["at"] async for each in found}

    # --- conversations

    async def records(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Record]:
        """Give those of the conversations that exist."""
        with self._asking():
            found = self._conversations.find({"_id": {"$in": list(conversation_ids)}})
            return {each["_id"]: documents.record_of(each) async for each in found}

    async def numbered(self, number: int) -> Record | None:
        """Find a conversation by its number."""
        with self._asking():
            found = await self._conversations.find_one({"number": number})
        return None if found is None else documents.record_of(found)

    async def channels(self, space_id: ConversationId) -> list[Record]:
        """Give the channels of a space."""
        with self._asking():
            return [documents.record_of(each) async for each in self._conversations.find({"parent_id": space_id})]

    async def tips(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Tip]:
        """Give the ends of conversations' logs."""
        with self._asking():
            return await self._tips(conversation_ids)

    async def ends(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, End]:
        """Give the ends of conversations' logs with their last messages: mostly that is the same entry."""
        with self._asking():
            found = self._messages.aggregate(asking.ends(conversation_ids))
            last = {each["_id"]: each["last"] async for each in found}
            before = {each: entry["after_seq"] for each, entry in last.items() if entry.get("after_seq")}
            messages = {each: entry for each, entry in last.items() if "seq" in entry}
            if before:
                messages |= await self._at_places(before)
        return {each: _end(entry, messages.get(each)) for each, entry in last.items()}

    async def _at_places(self, places: Mapping[ConversationId, int]) -> dict[ConversationId, Document]:
        found: dict[ConversationId, Document] = {}
        rest = iter(places.items())
        while some := dict(islice(rest, asking.ALTERNATIVES)):
            older = self._messages.find(asking.at_places(some), asking.WITHOUT_EDITS)
            found |= {each["conversation_id"]: each async for each in older}
        return found

    # --- messages and other entries

    async def entries(
        self,
        conversation_id: ConversationId,
        *,
        after: int,
        floor: datetime,
        until: int | None,
        limit: int,
        newest: bool = True,
    ) -> list[Logged]:
        """Give the newest entries, read backwards until one that is had; or, found like that, the first ones."""
        asked = asking.log(conversation_id, after=after, until=until)
        fields = asking.WITHOUT_EDITS if until is None else None  # what was said before is for who has left
        with self._asking():
            if newest:
                return await self._newest(asked, fields, floor, limit)
            if floor > EPOCH:
                after = max(after, await self._had(asked, floor))
                asked = asking.log(conversation_id, after=after, until=until)
            found = self._messages.find(asked, fields).sort("version", pymongo.ASCENDING).limit(limit)
            return [documents.logged_of(document) async for document in found]

    async def _newest(self, asked: Document, fields: Document | None, floor: datetime, limit: int) -> list[Logged]:
        found = self._messages.find(asked, fields).sort("version", pymongo.DESCENDING).limit(limit)
        entries: list[Logged] = []
        async for document in found.batch_size(min(limit, documents.READ_AHEAD)):
            entry = documents.logged_of(document)
            if entry.at <= floor:
                break
            entries.append(entry)
        await found.close()
        return entries[::-1]

    async def _had(self, asked: Document, floor: datetime) -> int:
        """Give the version of the last entry up to a time; those after it are read over, and not sent."""
        early = {"$or": [{"created_at": {"$lte": floor}}, {"at": {"$lte": floor}}]}
        last = await self._messages.find_one({**asked, **early}, ["version"], sort=[("version", pymongo.DESCENDING)])
        return 0 if last is None else int(last["version"])

    async def messages(
        self, conversation_id: ConversationId, *, before: int | None, after: int, limit: int, newest: bool
    ) -> list[LoggedMessage]:
        """Give one page in seq order."""
        query: Document = {"conversation_id": conversation_id, "seq": asking.between(after, before)}
        order = pymongo.DESCENDING if newest else pymongo.ASCENDING
        with self._asking():
            found = self._messages.find(query, asking.WITHOUT_EDITS).sort("seq", order).limit(limit)
            messages = [documents.logged_message_of(document) async for document in found]
        return messages[::-1] if newest else messages

    async def messages_by_id(self, message_ids: Collection[MessageId]) -> dict[MessageId, LoggedMessage]:
        """Give those of the messages that exist."""
        query: Document = {"_id": {"$in": list(message_ids)}, "seq": {"$gt": 0}}
        with self._asking():
            return {each["_id"]: documents.logged_message_of(each) async for each in self._messages.find(query)}

    async def unread(self, user_id: UserId, after: Mapping[ConversationId, int]) -> dict[ConversationId, int]:
        """Count the messages of others."""
        unread: dict[ConversationId, int] = {}
        rest = iter(after.items())
        with self._asking():
            while some := dict(islice(rest, asking.ALTERNATIVES)):
                found = self._messages.aggregate(asking.unread(user_id, some))
                unread |= {each["_id"]: each["unread"] async for each in found}
        return unread


def _end(last: Document, message: Document | None) -> End:
    return End(documents.tip_of(last), None if message is None else documents.logged_message_of(message))
