"""The commands that history's tests send."""

import itertools
from collections.abc import Sequence
from typing import TypeVar

from shared.commands import (
    Acknowledge,
    ChangeConversation,
    ConversationKind,
    CreateConversation,
    DeleteMessage,
    DeleteScope,
    EditMessage,
    HistoryRule,
    JoinRule,
    RemoveMember,
    Role,
    SendMessage,
    SetMembers,
    SetReaction,
    Stage,
)
from shared.errors import WarrenError
from shared.ids import ConversationId, MessageId, UserId, direct_conversation_id

ALICE, BOB, EVE = UserId("alice"), UserId("bob"), UserId("eve")
DIRECT = direct_conversation_id(ALICE, BOB)
GROUP = ConversationId("group-1")
CHANNEL, SPACE = ConversationId("channel-1"), ConversationId("space-1")

T = TypeVar("T")
_ids = itertools.count(1)


def send(
    client_id: str = "c1",
    *,
    sender: UserId = ALICE,
    to: UserId | None = None,
    room: ConversationId = DIRECT,
    content: str = "hi",
    message_id: str | None = None,
    mentions: tuple[UserId, ...] = (),
) -> SendMessage:
    """A message to `room`, or to a user in their direct conversation."""
    return SendMessage(
        message_id=MessageId(message_id or f"m{next(_ids)}"),
        conversation_id=room if to is None else direct_conversation_id(sender, to),
        sender_id=sender,
        sender_name=sender.title(),
        client_id=client_id,
        to=to,
        content=content,
        mentions=mentions,
    )


def acknowledge(
    seq: int, stage: Stage = Stage.READ, *, user: UserId = BOB, room: ConversationId = DIRECT
) -> Acknowledge:
    return Acknowledge(conversation_id=room, user_id=user, stage=stage, seq=seq)


def create_direct(one: UserId = ALICE, other: UserId = BOB) -> CreateConversation:
    return CreateConversation(
        conversation_id=direct_conversation_id(one, other),
        kind=ConversationKind.DIRECT,
        creator_id=one,
        member_ids=tuple(sorted({one, other})),
    )


def create_group(
    members: Sequence[UserId] = (ALICE, BOB, EVE),
    *,
    room: ConversationId = GROUP,
    creator: UserId = ALICE,
    kind: ConversationKind = ConversationKind.GROUP,
    parent: ConversationId | None = None,
    history: HistoryRule | None = None,
    join: JoinRule | None = None,
) -> CreateConversation:
    return CreateConversation(
        conversation_id=room,
        kind=kind,
        creator_id=creator,
        member_ids=tuple(sorted(members)),
        name="A group",
        parent_id=parent,
        history=history,
        join=join,
    )


def create_space(members: Sequence[UserId] = (ALICE, BOB, EVE), *, creator: UserId = ALICE) -> CreateConversation:
    return create_group(members, room=SPACE, creator=creator, kind=ConversationKind.SPACE)


def create_channel(
    members: Sequence[UserId] = (ALICE,), *, creator: UserId = ALICE, parent: ConversationId | None = None
) -> CreateConversation:
    return create_group(members, room=CHANNEL, creator=creator, kind=ConversationKind.CHANNEL, parent=parent)


def edit(
    message_id: str, content: str = "edited", *, by: UserId | None = ALICE, room: ConversationId = GROUP
) -> EditMessage:
    return EditMessage(
        change_id=_change_id(),
        conversation_id=room,
        actor_id=by,
        message_id=MessageId(message_id),
        content=content,
    )


def delete(
    message_id: str,
    scope: DeleteScope = DeleteScope.EVERYONE,
    *,
    by: UserId | None = ALICE,
    room: ConversationId = GROUP,
) -> DeleteMessage:
    return DeleteMessage(
        change_id=_change_id(), conversation_id=room, actor_id=by, message_id=MessageId(message_id), scope=scope
    )


def react(
    message_id: str,
    emoji: str = "👍",
    *,
    by: UserId | None = BOB,
    room: ConversationId = GROUP,
    removed: bool = False,
) -> SetReaction:
    return SetReaction(
        change_id=_change_id(),
        conversation_id=room,
        actor_id=by,
        message_id=MessageId(message_id),
        emoji=emoji,
        removed=removed,
    )


def rename(name: str, *, by: UserId | None = ALICE, room: ConversationId = GROUP) -> ChangeConversation:
    return ChangeConversation(change_id=_change_id(), conversation_id=room, actor_id=by, name=name)


def add(
    *users: UserId, by: UserId | None = ALICE, room: ConversationId = GROUP, role: Role | None = None
) -> SetMembers:
    return SetMembers(
        change_id=_change_id(), conversation_id=room, actor_id=by, user_ids=tuple(sorted(users)), role=role
    )


def remove(user: UserId, *, by: UserId | None = ALICE, room: ConversationId = GROUP) -> RemoveMember:
    return RemoveMember(change_id=_change_id(), conversation_id=room, actor_id=by, user_id=user)


def _change_id() -> MessageId:
    return MessageId(f"x{next(_ids)}")


def done(result: T | WarrenError) -> T:
    """Take a result that must not be a refusal."""
    assert not isinstance(result, WarrenError), result
    return result
