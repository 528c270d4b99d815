"""The documents that history keeps in MongoDB, their indexes, and the way from and to Warren's values.

messages       {_id, number, conversation_id, seq, version, sender_id, sender_name, client_id, type, content,
               created_at, previous_at, metadata?, reply_to?, mentions?}
conversations  {_id, number, kind, name, metadata, member_ids, created_at}
members        {_id: "conversation/user", conversation_id, user_id, role, joined_at, delivered_seq, delivered_at,
               read_seq, read_at, acknowledged_at}
counters       {_id: "conversations", last}

The end of a conversation's log is its last message and is written nowhere else: no copy can lag behind it.
`metadata` is text: any JSON a client may write fits there, whatever its keys.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from history.reading import Change, Membership, Record
from history.sequence import Appended, Key
from shared.commands import EMPTY_OBJECT, ConversationKind, CreateConversation, MessageType
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import ConversationId, UserId

Document: TypeAlias = dict[str, Any]
READ_AHEAD = 50  # most readers lack a few messages, not a page
MESSAGES, CONVERSATIONS, MEMBERS, COUNTERS = "messages", "conversations", "members", "counters"


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a collection; ascending."""

    collection: str
    fields: tuple[str, ...]
    unique: bool = False


# Every index of `messages` costs CPU for every message, so it has two besides _id. The first is the arbiter of seq and
# serves pages, the log's end and what comes after a version (messages in version order are in seq order). The second
# makes sending idempotent.
INDEXES = (
    Index(MESSAGES, ("conversation_id", "seq"), unique=True),
    Index(MESSAGES, ("conversation_id", "sender_id", "client_id"), unique=True),
    Index(CONVERSATIONS, ("number",), unique=True),
    Index(MEMBERS, ("user_id",)),  # a user's conversations
    Index(MEMBERS, ("conversation_id", "acknowledged_at")),  # a conversation's watermarks; those that moved lately
)


KEY_FIELDS = ("conversation_id", "sender_id", "client_id")


def key_of(document: Document) -> Key:
    """Read a message's identity."""
    return document["conversation_id"], document["sender_id"], document["client_id"]


def with_key(key: Key) -> Document:
    """Ask for the message of an identity."""
    return dict(zip(KEY_FIELDS, key, strict=True))


def member_id(conversation_id: ConversationId, user_id: UserId) -> str:
    """Name a member's document; an id never holds a slash."""
    return f"{conversation_id}/{user_id}"


def text_of(metadata: msgspec.Raw) -> str:
    """Give JSON as text. Nobody has looked inside yet, and not every sender's bytes are UTF-8."""
    return bytes(metadata).decode(errors="replace")


def message_document(appended: Appended) -> Document:
    """Write a new message; what is empty is left out."""
    message = appended.message
    document = {
        "_id": message.id,
        "number": message.number,
        "conversation_id": message.conversation_id,
        "seq": message.seq,
        "version": message.version,
        "sender_id": message.sender_id,
        "sender_name": message.sender_name,
        "client_id": message.client_id,
        "type": message.type.value,
        "content": message.content,
        "created_at": message.created_at,
        "previous_at": appended.previous_at,
    }
    if bytes(message.metadata) != b"{}":
        document["metadata"] = text_of(message.metadata)
    if message.reply_to is not None:
        document["reply_to"] = message.reply_to
    if message.mentions:
        document["mentions"] = message.mentions
    return document


def message_of(document: Document) -> Message:
    """Read a message."""
    metadata = document.get("metadata")
    return Message(
        id=document["_id"],
        number=int(document["number"]),  # BSON's 64-bit integers come as a subclass of int, which msgspec refuses
        conversation_id=document["conversation_id"],
        seq=document["seq"],
        version=document["version"],
        client_id=document["client_id"],
        sender_id=document["sender_id"],
        sender_name=document["sender_name"],
        type=MessageType(document["type"]),
        content=document["content"],
        created_at=document["created_at"],
        metadata=EMPTY_OBJECT if metadata is None else msgspec.Raw(metadata.encode()),
        reply_to=document.get("reply_to"),
        mentions=tuple(document.get("mentions", ())),
    )


def change_of(document: Document) -> Change:
    """Read a message as an entry of the log."""
    return Change(message_of(document), document["previous_at"])


def conversation_document(command: CreateConversation, number: int, at: datetime) -> Document:
    """Write a new conversation."""
    return {
        "_id": command.conversation_id,
        "number": number,
        "kind": command.kind.value,
        "name": command.name,
        "metadata": text_of(command.metadata),
        "member_ids": command.member_ids,
        "created_at": at,
    }


def record_of(document: Document, last_message: Message | None) -> Record:
    """Read a conversation."""
    return Record(
        id=document["_id"],
        number=document["number"],
        kind=ConversationKind(document["kind"]),
        member_ids=tuple(document["member_ids"]),
        created_at=document["created_at"],
        name=document["name"],
        metadata=msgspec.Raw(document["metadata"].encode()),
        last_message=last_message,
    )


def member_documents(command: CreateConversation, at: datetime) -> Iterable[Document]:
    """Write the members of a new conversation; a group's creator owns it."""
    owned = command.kind is not ConversationKind.DIRECT
    for user_id in command.member_ids:
        yield {
            "_id": member_id(command.conversation_id, user_id),
            "conversation_id": command.conversation_id,
            "user_id": user_id,
            "role": "owner" if owned and user_id == command.creator_id else "member",
            "joined_at": at,
            "delivered_seq": 0,
            "delivered_at": None,
            "read_seq": 0,
            "read_at": None,
            "acknowledged_at": None,
        }


def watermark_of(document: Document) -> Watermark:
    """Read how far a member has come."""
    return Watermark(
        user_id=document["user_id"],
        delivered_seq=document["delivered_seq"],
        delivered_at=document["delivered_at"],
        read_seq=document["read_seq"],
        read_at=document["read_at"],
    )


def last_of_each(conversation_ids: Collection[ConversationId], *fields: str) -> list[Document]:
    """Ask for each conversation's last message: these fields of it, or all as `last`.

    Sorted as the index is and grouped by its prefix, so that MongoDB jumps from one conversation's end to the next's.
    """
    wanted: Document = {name: {"$first": f"${name}"} for name in fields} or {"last": {"$first": "$$ROOT"}}
    return [
        {"$match": {"conversation_id": {"$in": list(conversation_ids)}}},
        {"$sort": {"conversation_id": -1, "seq": -1}},
        {"$group": {"_id": "$conversation_id", **wanted}},
    ]


def unread_count(user_id: UserId, after: Mapping[ConversationId, int]) -> list[Document]:
    """Ask how many messages of others follow a seq, by conversation."""
    each = [{"conversation_id": conversation_id, "seq": {"$gt": seq}} for conversation_id, seq in after.items()]
    return [
        {"$match": {"$or": each, "sender_id": {"$ne": user_id}}},
        {"$group": {"_id": "$conversation_id", "unread": {"$sum": 1}}},
    ]


def membership_of(document: Document) -> Membership:
    """Read a user's place in a conversation."""
    return Membership(watermark_of(document), document["joined_at"], document["role"])
