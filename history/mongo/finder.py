"""Find messages by what they say, and conversations by their name or because they are open, on MongoDB."""

import re
from collections.abc import Collection, Mapping

import pymongo

from history import documents
from history.documents import Document
from history.mongo import asking
from history.mongo.connection import MongoConnection
from history.reading import LoggedMessage, Record, Wanted
from shared.commands import ConversationKind, JoinRule
from shared.ids import ConversationId

MAX_MENTIONS = 10_000  # that are looked at: so many of one user that are deleted, or before their time, are a curiosity
OPEN: Document = {"join": JoinRule.OPEN.value}
NO_SPACE: Document = {"kind": {"$ne": ConversationKind.SPACE.value}}
BY_PARENT = [("parent_id", pymongo.ASCENDING), ("_id", pymongo.ASCENDING)]
NEWEST = [("created_at", pymongo.DESCENDING), ("seq", pymongo.DESCENDING)]


class MongoFinder(MongoConnection):
    """The part of the reading half that searches."""

    async def named(self, name: str, inside: Collection[ConversationId]) -> Record | None:
        """Give a conversation by its name: one of those, else an open one."""
        if not name:
            return None
        among = list(inside)
        own: Document = {"_id": {"$in": among}}
        may_join: Document = OPEN | {"parent_id": {"$in": [None, *among]}}
        with self._asking():
            for which in (own, may_join):
                asked = {"name": name, **which, **NO_SPACE}
                found = await self._conversations.find_one(asked, sort=[("number", pymongo.ASCENDING)])
                if found is not None:
                    return documents.record_of(found)
        return None

    async def open_channels(self, after: ConversationId | None, limit: int) -> list[Record]:
        """Give open channels without a parent, by id."""
        asked = OPEN | {"parent_id": None, "_id": {"$gt": after or ""}, "kind": ConversationKind.CHANNEL.value}
        with self._asking():
            found = self._conversations.find(asked).hint(BY_PARENT).sort("_id", pymongo.ASCENDING).limit(limit)
            return [documents.record_of(each) async for each in found]

    async def found(self, wanted: Wanted, after: Mapping[ConversationId, int]) -> list[LoggedMessage]:
        """Find messages; in one conversation alone it ends with the last one wanted, for they come as they lie."""
        if not after or _matches_nothing(wanted):
            return []
        places = [{"conversation_id": each, "seq": asking.between(seq, None)} for each, seq in after.items()]
        which, order = (places[0], NEWEST[1:]) if len(places) == 1 else ({"$or": places}, NEWEST)
        with self._asking():
            found = self._messages.find(which | _sought(wanted), asking.WITHOUT_EDITS).sort(order).limit(wanted.limit)
            return [documents.logged_message_of(each) async for each in found]

    async def mentions(self, wanted: Wanted, after: Mapping[ConversationId, int]) -> list[LoggedMessage]:
        """Find messages that mention the user, off the index of those that mention anybody."""
        if _matches_nothing(wanted):
            return []
        asked = _sought(wanted) | {"mentions": wanted.user_id}
        messages: list[LoggedMessage] = []
        with self._asking():
            found = self._messages.find(asked, asking.WITHOUT_EDITS).sort(NEWEST[:1]).limit(MAX_MENTIONS)
            async for each in found.batch_size(wanted.limit):
                if each["seq"] > after.get(each["conversation_id"], each["seq"]):
                    messages.append(documents.logged_message_of(each))
                if len(messages) == wanted.limit:
                    break
            await found.close()
        return messages


def _matches_nothing(wanted: Wanted) -> bool:
    return wanted.text is not None and "\0" in wanted.text  # MongoDB's patterns end at a NUL


def _sought(wanted: Wanted) -> Document:
    asked: Document = {"deleted_at": None, "hidden_for.user_id": {"$ne": wanted.user_id}}
    if wanted.text is not None:
        asked["content"] = {"$regex": re.escape(wanted.text), "$options": "i"}
    if wanted.before is not None:
        asked["created_at"] = {"$lt": wanted.before}
    return asked
