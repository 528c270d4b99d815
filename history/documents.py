"""The documents that history keeps in MongoDB, their indexes, and the way from and to Warren's values.

messages       the log of every conversation: entries of two kinds
  a message    {_id, number, conversation_id, seq, version, sender_id, sender_name, client_id, type, content,
               created_at, previous_at, metadata?, reply_to?, mentions?, via?}
               and, once it was changed: {changed_version?, edited_at?, deleted_at?, reactions?: [{emoji, user_ids}],
               edits?: [{version, at, content, metadata?, mentions?}], hidden_for?: [{user_id, version, at}]}
  a change     {_id, conversation_id, version, after_seq, change, at, previous_at, actor_id, message_id?, message_seq?,
               emoji?, removed?, user_ids?, role?}
conversations  {_id, number, kind, name, metadata, parent_id?, history, join, member_ids?, member_count,
               members_version, created_at}
members        {_id: "conversation/user", conversation_id, user_id, role, joined_at, first_seq, since_version,
               joined_version, left_version?, left_seq?, left_at?, delivered_seq, delivered_at, read_seq, read_at,
               acknowledged_at, delivered_trail?: [{seq, at, pushed_at?, gateway_id?}], read_trail?: [{seq, at}]}
counters       {_id: "conversations", last}

The end of a conversation's log is its entry with the highest version and is written nowhere else: no copy can lag
behind it. `metadata` is text: any JSON a client may write fits there, whatever its keys. A large room's document has no
`member_ids`: its members are those of `members` that have not left.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from history.reading import ChangeKind, Edit, Hiding, LoggedChange, LoggedMessage, Membership, Record, Tip
from history.sequence import Appended, Key
from shared.commands import (
    EMPTY_OBJECT,
    ConversationKind,
    HistoryRule,
    JoinRule,
    MessageType,
    Role,
)
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import ConversationId, GatewayId, UserId

Document: TypeAlias = dict[str, Any]
READ_AHEAD = 50  # most readers lack a few messages, not a page
MESSAGES, CONVERSATIONS, MEMBERS, COUNTERS = "messages", "conversations", "members", "counters"
NO_WATERMARK: Document = {
    "delivered_seq": 0,
    "delivered_at": None,
    "read_seq": 0,
    "read_at": None,
    "acknowledged_at": None,
}


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a collection; ascending. With `where` it holds only the documents of which that is true."""

    collection: str
    fields: tuple[str, ...]
    unique: bool = False
    sparse: bool = False
    where: Document | None = None


def _has(field: str) -> Document:
    return {field: {"$exists": True}}


# Every index of `messages` costs CPU for every message. The first is the arbiter of versions, and serves the log's end
# and what comes after a version. The second serves pages and last messages; a query of it says `seq > 0`, or MongoDB
# does not know that the index holds all it asks for. The third makes sending idempotent. The last holds only messages
# that mention somebody.
INDEXES = (
    Index(MESSAGES, ("conversation_id", "version"), unique=True),
    Index(MESSAGES, ("conversation_id", "seq"), unique=True, where=_has("seq")),
    Index(MESSAGES, ("conversation_id", "sender_id", "client_id"), unique=True, where=_has("client_id")),
    Index(MESSAGES, ("mentions", "created_at"), where=_has("mentions")),
    Index(CONVERSATIONS, ("number",), unique=True),
    Index(CONVERSATIONS, ("name", "number"), where={"name": {"$gt": ""}}),  # direct ones have none
    Index(CONVERSATIONS, ("parent_id", "_id"), where={"join": "open"}),  # who is in no space, by id
    Index(CONVERSATIONS, ("parent_id",), sparse=True),  # a space's channels
    Index(MEMBERS, ("user_id",)),  # a user's conversations
    Index(MEMBERS, ("conversation_id", "acknowledged_at")),  # a conversation's watermarks; those that moved lately
    Index(MEMBERS, ("conversation_id", "first_seq")),  # who joined after a message
)


KEY_FIELDS = ("conversation_id", "sender_id", "client_id")


def key_of(document: Document) -> Key | None:
    """Read a message's identity; a change has none."""
    if "client_id" not in document:
        return None
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


def message_document(appended: Appended, via: GatewayId | None = None) -> Document:
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
    if via is not None:
        document["via"] = via
    return document


def message_of(document: Document) -> Message:
    """Read a message as it is now; its version is that of its last change."""
    return Message(
        id=document["_id"],
        number=int(document["number"]),  # BSON's 64-bit integers come as a subclass of int, which msgspec refuses
        conversation_id=document["conversation_id"],
        seq=document["seq"],
        version=document.get("changed_version") or document["version"],
        client_id=document["client_id"],
        sender_id=document["sender_id"],
        sender_name=document["sender_name"],
        type=MessageType(document["type"]),
        content=document["content"],
        created_at=document["created_at"],
        metadata=_metadata_of(document),
        reply_to=document.get("reply_to"),
        mentions=tuple(document.get("mentions", ())),
        reactions={each["emoji"]: tuple(each["user_ids"]) for each in document.get("reactions", ())},
        edited_at=document.get("edited_at"),
        deleted_at=document.get("deleted_at"),
    )


def logged_message_of(document: Document) -> LoggedMessage:
    """Read a message with what is kept of it besides."""
    return LoggedMessage(
        message_of(document),
        document["version"],
        document["previous_at"],
        hidings=tuple(Hiding(each["user_id"], each["version"], each["at"]) for each in document.get("hidden_for", ())),
        edits=tuple(
            Edit(each["version"], each["at"], each["content"], _metadata_of(each), tuple(each.get("mentions", ())))
            for each in document.get("edits", ())
        ),
        via=document.get("via"),
    )


def changed_fields(logged: LoggedMessage) -> Document:
    """Write what a change may have changed of a message, as an update: what is empty is taken off."""
    message = logged.message
    fields: Document = {
        "changed_version": message.version if message.version != logged.version else None,
        "metadata": text_of(message.metadata) if bytes(message.metadata) != b"{}" else None,
        "mentions": message.mentions,
        "edited_at": message.edited_at,
        "deleted_at": message.deleted_at,
        "reactions": [{"emoji": emoji, "user_ids": users} for emoji, users in message.reactions.items()],
        "edits": [_edit_document(edit) for edit in logged.edits],
        "hidden_for": [{"user_id": each.user_id, "version": each.version, "at": each.at} for each in logged.hidings],
    }
    kept = {name: value for name, value in fields.items() if value}
    update: Document = {"$set": {"content": message.content, **kept}}
    if empty := fields.keys() - kept.keys():
        update["$unset"] = dict.fromkeys(empty, "")
    return update


def _edit_document(edit: Edit) -> Document:
    document: Document = {"version": edit.version, "at": edit.at, "content": edit.content}
    if bytes(edit.metadata) != b"{}":
        document["metadata"] = text_of(edit.metadata)
    if edit.mentions:
        document["mentions"] = edit.mentions
    return document


def _metadata_of(document: Document) -> msgspec.Raw:
    metadata = document.get("metadata")
    return EMPTY_OBJECT if metadata is None else msgspec.Raw(metadata.encode())


def change_document(change: LoggedChange) -> Document:
    """Write an entry of the log that is no message; what is empty is left out."""
    document: Document = {
        "_id": change.id,
        "conversation_id": change.conversation_id,
        "version": change.version,
        "after_seq": change.after_seq,
        "change": change.kind.value,
        "at": change.at,
        "previous_at": change.previous_at,
        "actor_id": change.actor_id,
    }
    optional: Document = {
        "message_id": change.message_id,
        "message_seq": change.message_seq,
        "emoji": change.emoji,
        "removed": change.removed,
        "user_ids": change.user_ids,
        "role": change.role and change.role.value,
    }
    return document | {name: value for name, value in optional.items() if value}


def logged_change_of(document: Document) -> LoggedChange:
    """Read an entry of the log that is no message."""
    role = document.get("role")
    return LoggedChange(
        document["_id"],
        document["conversation_id"],
        document["version"],
        document["after_seq"],
        ChangeKind(document["change"]),
        document["at"],
        document["previous_at"],
        document["actor_id"],
        message_id=document.get("message_id"),
        message_seq=document.get("message_seq", 0),
        emoji=document.get("emoji", ""),
        removed=document.get("removed", False),
        user_ids=tuple(document.get("user_ids", ())),
        role=Role(role) if role else None,
    )


def logged_of(document: Document) -> LoggedMessage | LoggedChange:
    """Read an entry of a log."""
    return logged_message_of(document) if "seq" in document else logged_change_of(document)


def conversation_document(record: Record) -> Document:
    """Write a conversation."""
    document: Document = {
        "_id": record.id,
        "number": record.number,
        "kind": record.kind.value,
        "name": record.name,
        "metadata": text_of(record.metadata),
        "history": record.history.value,
        "join": record.join.value,
        "member_count": record.member_count,
        "members_version": record.members_version,
        "created_at": record.created_at,
    }
    if record.parent_id is not None:
        document["parent_id"] = record.parent_id
    if record.member_ids is not None:
        document["member_ids"] = record.member_ids
    return document


def record_of(document: Document) -> Record:
    """Read a conversation."""
    member_ids = tuple(document["member_ids"]) if "member_ids" in document else None
    return Record(
        id=document["_id"],
        number=int(document["number"]),
        kind=ConversationKind(document["kind"]),
        member_ids=member_ids,
        created_at=document["created_at"],
        name=document["name"],
        metadata=msgspec.Raw(document["metadata"].encode()),
        parent_id=document.get("parent_id"),
        history=HistoryRule(document.get("history", HistoryRule.JOINED)),
        join=JoinRule(document.get("join", JoinRule.INVITE)),
        member_count=document.get("member_count", len(member_ids or ())),
        members_version=document.get("members_version", 0),
    )


def member_document(conversation_id: ConversationId, member: Membership) -> Document:
    """Write a new member."""
    return {
        "_id": member_id(conversation_id, member.user_id),
        "conversation_id": conversation_id,
        "user_id": member.user_id,
        **seat_fields(member),
        **NO_WATERMARK,
    }


def seat_fields(member: Membership) -> Document:
    """Write a member's place and window; `left_…` of who has left alone."""
    fields: Document = {
        "role": str(member.role),
        "joined_at": member.joined_at,
        "first_seq": member.first_seq,
        "since_version": member.since_version,
        "joined_version": member.joined_version,
    }
    if member.left_version is not None:
        fields |= {"left_version": member.left_version, "left_seq": member.left_seq, "left_at": member.left_at}
    return fields


def membership_of(document: Document) -> Membership:
    """Read a user's place in a conversation, now or once."""
    return Membership(
        watermark_of(document),
        document["joined_at"],
        document["role"],
        first_seq=document.get("first_seq", 1),
        since_version=document.get("since_version", 0),
        joined_version=document.get("joined_version", 0),
        left_version=document.get("left_version"),
        left_seq=document.get("left_seq"),
        left_at=document.get("left_at"),
        acknowledged_at=document["acknowledged_at"],
    )


def watermark_of(document: Document) -> Watermark:
    """Read how far a member has come."""
    return Watermark(
        user_id=document["user_id"],
        delivered_seq=document["delivered_seq"],
        delivered_at=document["delivered_at"],
        read_seq=document["read_seq"],
        read_at=document["read_at"],
    )


TIP_FIELDS = ("seq", "after_seq", "version", "created_at", "at")


def ends_of_logs(conversation_ids: Collection[ConversationId]) -> list[Document]:
    """Ask for what a tip is read from, of each conversation's last entry.

    Sorted as the index is and grouped by its prefix, so that MongoDB jumps from one conversation's end to the next's.
    """
    return [
        {"$match": {"conversation_id": {"$in": list(conversation_ids)}}},
        {"$sort": {"conversation_id": -1, "version": -1}},
        {"$group": {"_id": "$conversation_id", **{name: {"$first": f"${name}"} for name in TIP_FIELDS}}},
    ]


def tip_of(document: Document) -> Tip:
    """Read the end of a log: a message, or a change."""
    seq = document.get("seq")
    if seq is None:
        return Tip(document["after_seq"], document["version"], document["at"])
    return Tip(seq, document["version"], document["created_at"])
