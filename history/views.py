"""A conversation as it is shown: to a member, to one who has left, to one who may join, to an operator."""

import dataclasses

from msgspec.structs import replace

from history.reading import End, Membership, Record
from history.sight import Sight
from shared.commands import EMPTY_OBJECT, Role
from shared.events import ConversationState
from shared.history_api import Conversation, Member, Watermark


def shown(
    record: Record, membership: Membership, end: End | None, marks: tuple[Watermark, ...], unread: int
) -> Conversation:
    """Put a conversation together as a member sees it."""
    conversation = bare(record, end)
    return replace(
        conversation,
        changed_at=max(conversation.changed_at, membership.joined_at),
        last_message=None if end is None else Sight.of(membership).last(end.last_message),
        unread=unread,
        watermarks=(membership.watermark,) if record.member_ids is None else marks,
        role=Role(membership.role),
        first_seq=membership.first_seq,
    )


def departed(record: Record, membership: Membership) -> Conversation:
    """Put together what is left of a conversation for one who is no member any more."""
    return Conversation(
        id=record.id,
        number=record.number,
        kind=record.kind,
        member_ids=(),
        created_at=record.created_at,
        changed_at=membership.left_at or record.created_at,
        last_seq=membership.left_seq or 0,
        last_version=membership.left_version or 0,
        first_seq=membership.first_seq,
        parent_id=record.parent_id,
    )


def joinable(record: Record) -> Conversation:
    """Put together a conversation for one who may join it: nothing of who is in it, or of what they write."""
    return replace(bare(record, None), member_ids=())


def bare(record: Record, end: End | None) -> Conversation:
    """Put together what does not depend on who asks."""
    return Conversation(
        id=record.id,
        number=record.number,
        kind=record.kind,
        member_ids=record.member_ids or (),
        created_at=record.created_at,
        changed_at=record.created_at if end is None else max(record.created_at, end.tip.at),
        name=record.name,
        metadata=record.metadata,
        last_seq=0 if end is None else end.tip.seq,
        last_version=0 if end is None else end.tip.version,
        member_count=record.member_count,
        parent_id=record.parent_id,
        history=record.history,
        join=record.join,
    )


def state(record: Record) -> ConversationState:
    """Give a conversation as its events tell of it."""
    return ConversationState(
        id=record.id,
        number=record.number,
        kind=record.kind,
        created_at=record.created_at,
        name=record.name,
        metadata=record.metadata,
        parent_id=record.parent_id,
        history=record.history,
        join=record.join,
        member_count=record.member_count,
        members_version=record.members_version,
        member_ids=record.member_ids or (),
    )


def nameless(record: Record) -> Record:
    """Give what one who has left may know of a conversation: which it is."""
    return dataclasses.replace(
        record, name=None, metadata=EMPTY_OBJECT, member_count=0, members_version=0, member_ids=None
    )


def member(membership: Membership) -> Member:
    """Give a member as the other ones see them."""
    return Member(user_id=membership.user_id, role=Role(membership.role), joined_at=membership.joined_at)
