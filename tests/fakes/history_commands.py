"""The commands that history's tests send."""

import itertools
from collections.abc import Sequence
from typing import TypeVar

from shared.commands import Acknowledge, ConversationKind, CreateConversation, SendMessage, Stage
from shared.errors import WarrenError
from shared.ids import ConversationId, MessageId, UserId, direct_conversation_id

ALICE, BOB, EVE = UserId("alice"), UserId("bob"), UserId("eve")
DIRECT = direct_conversation_id(ALICE, BOB)
GROUP = ConversationId("group-1")

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
    members: Sequence[UserId] = (ALICE, BOB, EVE), *, room: ConversationId = GROUP, creator: UserId = ALICE
) -> CreateConversation:
    return CreateConversation(
        conversation_id=room,
        kind=ConversationKind.GROUP,
        creator_id=creator,
        member_ids=tuple(sorted(members)),
        name="A group",
    )


def done(result: T | WarrenError) -> T:
    """Take a result that must not be a refusal."""
    assert not isinstance(result, WarrenError), result
    return result
