"""Export, erasure and expiry of messages in MongoDB.

settings  {_id: "retention", days}
leases    {_id, holder, until}
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
import pymongo
from pymongo.errors import DuplicateKeyError

from history import documents
from history.custody import Beginning, Move, Place, Reaction, Sent, Wording
from history.documents import Document
from history.mongo.connection import MongoConnection
from shared.commands import EMPTY_OBJECT, Stage
from shared.ids import ConversationId, UserId

SETTINGS, LEASES = "settings", "leases"
_RETENTION = "retention"


class MongoCustody(MongoConnection):
    """What operators do with users' data. No query here scans more than a stretch of one conversation."""

    async def places(self, user_id: UserId) -> list[Place]:
        """Give a user's places."""
        with self._asking():
            found = [_place_of(each) async for each in self._members.find({"user_id": user_id})]
        return sorted(found, key=lambda place: place.conversation_id)

    async def sent(self, conversation_id: ConversationId, user_id: UserId, *, after: str, limit: int) -> Sequence[Sent]:
        """Give messages of a user, in the order of the index that makes sending idempotent."""
        query = {"conversation_id": conversation_id, "sender_id": user_id, "client_id": {"$gt": after}}
        with self._asking():
            found = self._messages.find(query).sort("client_id", pymongo.ASCENDING).limit(limit)
            return [_sent_of(each) async for each in found]

    async def reactions_of(
        self, conversation_id: ConversationId, user_id: UserId, *, after: int, until: int
    ) -> Sequence[Reaction]:
        """Give a user's reactions to the messages of a stretch."""
        query = _stretch(conversation_id, after, until) | {"reactions.user_ids": user_id}
        with self._asking():
            return [
                Reaction(each["_id"], reaction["emoji"])
                async for each in self._messages.find(query, ["reactions"])
                for reaction in each["reactions"]
                if user_id in reaction["user_ids"]
            ]

    async def withdraw_reactions(
        self, conversation_id: ConversationId, user_id: UserId, *, after: int, until: int
    ) -> None:
        """Take a user's reactions out of messages, and let the entries that told of them tell that they are gone."""
        stretch = _stretch(conversation_id, after, until)
        with self._asking():
            await self._messages.update_many(
                stretch | {"reactions.user_ids": user_id}, {"$pull": {"reactions.$[].user_ids": user_id}}
            )
            await self._messages.update_many(
                stretch | {"reactions.user_ids": {"$size": 0}}, {"$pull": {"reactions": {"user_ids": {"$size": 0}}}}
            )
            await self._messages.update_many(
                stretch | {"change": "reaction", "actor_id": user_id}, {"$set": {"removed": True}}
            )

    async def blank_name(self, conversation_id: ConversationId, user_id: UserId) -> None:
        """Blank the name on all messages of a user."""
        query = {"conversation_id": conversation_id, "sender_id": user_id, "client_id": {"$gt": ""}}
        with self._asking():
            await self._messages.update_many(query | {"sender_name": {"$ne": ""}}, {"$set": {"sender_name": ""}})

    async def retention_days(self) -> int | None:
        """Give how long messages are kept."""
        with self._asking():
            setting = await self._database[SETTINGS].find_one({"_id": _RETENTION})
        return None if setting is None else setting["days"]

    async def set_retention_days(self, days: int | None) -> None:
        """Set how long messages are kept."""
        with self._asking():
            await self._database[SETTINGS].update_one({"_id": _RETENTION}, {"$set": {"days": days}}, upsert=True)

    async def take_lease(self, name: str, holder: str, *, at: datetime, until: datetime) -> bool:
        """Take or renew a lease; the unique _id lets only one of several newcomers have it."""
        mine = {"_id": name, "$or": [{"holder": holder}, {"until": {"$lte": at}}]}
        with self._asking():
            try:
                await self._database[LEASES].update_one(mine, {"$set": {"holder": holder, "until": until}}, upsert=True)
            except DuplicateKeyError:
                return False
        return True

    async def beginnings(self, after: ConversationId | None, limit: int) -> Sequence[Beginning]:
        """Give where logs begin: one step of the index of versions a conversation."""
        query: Document = {} if after is None else {"_id": {"$gt": after}}
        with self._asking():
            page = self._conversations.find(query, ["_id"]).sort("_id", pymongo.ASCENDING).limit(limit)
            ids: list[ConversationId] = [each["_id"] async for each in page]
            first = self._messages.aggregate(_beginnings(ids))
            times = {each["_id"]: _time_of(each) async for each in first}
        return [Beginning(each, times.get(each)) for each in ids]

    async def remove_before(self, conversation_id: ConversationId, moment: datetime, limit: int) -> int:
        """Remove the first entries of a log; they are in the order of their times."""
        fields = ["version", "created_at", "at"]
        with self._asking():
            found = self._messages.find({"conversation_id": conversation_id}, fields)
            first = [each async for each in found.sort("version", pymongo.ASCENDING).limit(limit + 1)]
            old = [each["version"] for each in first[:-1] if _time_of(each) < moment]
            if old:
                await self._messages.delete_many({"conversation_id": conversation_id, "version": {"$lte": old[-1]}})
        return len(old)


def _stretch(conversation_id: ConversationId, after: int, until: int) -> Document:
    return {"conversation_id": conversation_id, "version": {"$gt": after, "$lte": until}}


def _beginnings(conversation_ids: Sequence[ConversationId]) -> list[Document]:
    """Sorted as the index is and grouped by its prefix: MongoDB jumps from one log's first entry to the next's."""
    return [
        {"$match": {"conversation_id": {"$in": list(conversation_ids)}}},
        {"$sort": {"conversation_id": 1, "version": 1}},
        {"$group": {"_id": "$conversation_id", **{name: {"$first": f"${name}"} for name in ("created_at", "at")}}},
    ]


def _time_of(entry: Document) -> datetime:
    at: datetime = entry.get("created_at") or entry["at"]
    return at


def _place_of(document: Document) -> Place:
    delivered = (_move_of(Stage.DELIVERED, each) for each in document.get("delivered_trail", ()))
    read = (_move_of(Stage.READ, each) for each in document.get("read_trail", ()))
    return Place(
        document["conversation_id"],
        document["role"],
        document["joined_at"],
        document.get("left_at"),
        documents.watermark_of(document),
        (*delivered, *read),
    )


def _move_of(stage: Stage, document: Document) -> Move:
    return Move(stage, document["seq"], document["at"])


def _sent_of(document: Document) -> Sent:
    return Sent(documents.message_of(document), tuple(_wording_of(each) for each in document.get("edits", ())))


def _wording_of(document: Document) -> Wording:
    metadata = document.get("metadata")
    return Wording(
        document["at"],
        document["content"],
        EMPTY_OBJECT if metadata is None else msgspec.Raw(metadata.encode()),
        tuple(document.get("mentions", ())),
    )
