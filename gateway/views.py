"""Messages and conversations as clients see them, over the native socket and REST."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from shared.clock import rfc3339
from shared.commands import ConversationKind, HistoryRule, JoinRule, MessageType, Role
from shared.events import Changed, ConversationState, Message, Stored
from shared.history_api import Conversation, MessagePage, Watermark
from shared.ids import ConversationId, MessageId, UserId
from shared.presence_api import Presence

Progress: TypeAlias = Literal["stored", "delivered", "read"]  # by all the other members


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A message as the protocol shows it, every field always there."""

    id: MessageId
    number: int
    conversation_id: ConversationId
    seq: int
    version: int
    client_id: str
    sender_id: UserId
    sender_name: str
    type: MessageType
    content: str
    metadata: msgspec.Raw
    reply_to: MessageId | None
    mentions: tuple[UserId, ...]
    attachments: tuple[()] = ()
    reactions: dict[str, tuple[UserId, ...]]
    created_at: str
    edited_at: str | None
    deleted_at: str | None
    status: Progress = "stored"
    delivered_at: str | None = None
    read_at: str | None = None


class StoredView(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was sent is stored."""

    status: Literal["stored"] = "stored"
    message_id: MessageId
    conversation_id: ConversationId
    client_id: str
    seq: int
    version: int
    number: int
    created_at: str


class AcceptedView(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was sent is safe with the broker, but not stored yet."""

    status: Literal["accepted"] = "accepted"
    message_id: MessageId
    conversation_id: ConversationId


class ChangedView(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked to change is so, from this version of the conversation's log on."""

    conversation_id: ConversationId
    version: int


class MessagesView(msgspec.Struct, frozen=True, kw_only=True):
    """A page of messages, in seq order."""

    messages: tuple[MessageView, ...]
    has_more: bool


class WatermarkView(msgspec.Struct, frozen=True, kw_only=True):
    """How far one member has received and read."""

    user_id: UserId
    delivered_seq: int
    delivered_at: str | None
    read_seq: int
    read_at: str | None


class PeerView(msgspec.Struct, frozen=True, kw_only=True):
    """The other one of a direct conversation. `online` is null while presence cannot be asked."""

    user_id: UserId
    online: bool | None
    last_seen: str | None


class ConversationView(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation as one of its members sees it."""

    id: ConversationId
    number: int
    kind: ConversationKind
    name: str | None
    members: tuple[UserId, ...]
    metadata: msgspec.Raw
    created_at: str
    changed_at: str
    last_seq: int
    last_version: int
    last_message: MessageView | None
    unread: int
    watermarks: tuple[WatermarkView, ...]
    role: Role | None
    first_seq: int
    member_count: int
    parent_id: ConversationId | None
    history: HistoryRule
    join: JoinRule
    peer: PeerView | None = None


class ConversationStateView(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation as all its members see it; `members` is empty in rooms of more than 500."""

    id: ConversationId
    number: int
    kind: ConversationKind
    name: str | None
    members: tuple[UserId, ...]
    member_count: int
    metadata: msgspec.Raw
    parent_id: ConversationId | None
    history: HistoryRule
    join: JoinRule
    created_at: str


class PresenceView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a user is there, as others see it; `last_seen` is null for who was never there."""

    user_id: UserId
    status: str
    last_seen: str | None
    devices: int
    text: str


class PresencesView(msgspec.Struct, frozen=True, kw_only=True):
    """The presence of some users."""

    presence: tuple[PresenceView, ...]


def message_view(message: Message, watermarks: Sequence[Watermark] = ()) -> MessageView:
    """Show a message; with watermarks, how far it has come with all the other members."""
    status, delivered_at, read_at = progress(message, watermarks)
    return MessageView(
        id=message.id,
        number=message.number,
        conversation_id=message.conversation_id,
        seq=message.seq,
        version=message.version,
        client_id=message.client_id,
        sender_id=message.sender_id,
        sender_name=message.sender_name,
        type=message.type,
        content=message.content,
        metadata=message.metadata,
        reply_to=message.reply_to,
        mentions=message.mentions,
        reactions=message.reactions,
        created_at=rfc3339(message.created_at),
        edited_at=_time(message.edited_at),
        deleted_at=_time(message.deleted_at),
        status=status,
        delivered_at=_time(delivered_at),
        read_at=_time(read_at),
    )


def stored_view(stored: Stored) -> StoredView:
    """Show that a message is stored, and where."""
    return StoredView(
        message_id=stored.message_id,
        conversation_id=stored.conversation_id,
        client_id=stored.client_id,
        seq=stored.seq,
        version=stored.version,
        number=stored.number,
        created_at=rfc3339(stored.created_at),
    )


def accepted_view(message_id: MessageId, conversation_id: ConversationId) -> AcceptedView:
    """Show that a message is accepted."""
    return AcceptedView(message_id=message_id, conversation_id=conversation_id)


def changed_view(changed: Changed) -> ChangedView:
    """Show that something has changed."""
    return ChangedView(conversation_id=changed.conversation_id, version=changed.version)


def messages_view(page: MessagePage) -> MessagesView:
    """Show a page of messages, each with how far it has come."""
    messages = tuple(message_view(message, page.watermarks) for message in page.messages)
    return MessagesView(messages=messages, has_more=page.has_more)


def conversation_view(conversation: Conversation, peer: PeerView | None = None) -> ConversationView:
    """Show a conversation."""
    last = conversation.last_message
    return ConversationView(
        id=conversation.id,
        number=conversation.number,
        kind=conversation.kind,
        name=conversation.name,
        members=conversation.member_ids,
        metadata=conversation.metadata,
        created_at=rfc3339(conversation.created_at),
        changed_at=rfc3339(conversation.changed_at),
        last_seq=conversation.last_seq,
        last_version=conversation.last_version,
        last_message=message_view(last, conversation.watermarks) if last else None,
        unread=conversation.unread,
        watermarks=tuple(_watermark_view(watermark) for watermark in conversation.watermarks),
        role=conversation.role,
        first_seq=conversation.first_seq,
        member_count=conversation.member_count,
        parent_id=conversation.parent_id,
        history=conversation.history,
        join=conversation.join,
        peer=peer,
    )


def conversation_state_view(state: ConversationState) -> ConversationStateView:
    """Show a conversation as all its members see it."""
    return ConversationStateView(
        id=state.id,
        number=state.number,
        kind=state.kind,
        name=state.name,
        members=state.member_ids,
        member_count=state.member_count,
        metadata=state.metadata,
        parent_id=state.parent_id,
        history=state.history,
        join=state.join,
        created_at=rfc3339(state.created_at),
    )


def presence_view(presence: Presence) -> PresenceView:
    """Show whether a user is there."""
    return PresenceView(
        user_id=presence.user_id,
        status=presence.status,
        last_seen=_time(presence.last_seen),
        devices=presence.devices,
        text=presence.text,
    )


def presences_view(presences: Iterable[Presence]) -> PresencesView:
    """Show who is there."""
    return PresencesView(presence=tuple(presence_view(presence) for presence in presences))


def peer_view(user_id: UserId, presence: Presence | None) -> PeerView:
    """Show the other one of a direct conversation; without a presence, presence could not be asked."""
    if presence is None:
        return PeerView(user_id=user_id, online=None, last_seen=None)
    return PeerView(user_id=user_id, online=presence.status == "online", last_seen=_time(presence.last_seen))


def progress(message: Message, watermarks: Sequence[Watermark]) -> tuple[Progress, datetime | None, datetime | None]:
    """Tell the status, and when the last of the others had received and read so far."""
    others = [watermark for watermark in watermarks if watermark.user_id != message.sender_id]
    if not others:
        return "stored", None, None
    received = all(max(other.delivered_seq, other.read_seq) >= message.seq for other in others)
    delivered_at = _latest(other.delivered_at or other.read_at for other in others) if received else None
    if all(other.read_seq >= message.seq for other in others):
        return "read", delivered_at, _latest(other.read_at for other in others)
    return ("delivered" if received else "stored"), delivered_at, None


def _latest(times: Iterable[datetime | None]) -> datetime | None:
    return max((time for time in times if time is not None), default=None)


def _watermark_view(watermark: Watermark) -> WatermarkView:
    return WatermarkView(
        user_id=watermark.user_id,
        delivered_seq=watermark.delivered_seq,
        delivered_at=_time(watermark.delivered_at),
        read_seq=watermark.read_seq,
        read_at=_time(watermark.read_at),
    )


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
