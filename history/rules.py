"""What history refuses, and why."""

from collections.abc import Collection

from shared.commands import ConversationKind, CreateConversation, HistoryRule, JoinRule, SendMessage
from shared.errors import Invalid, NotAMember, NotFound, TooLarge, WarrenError
from shared.ids import ConversationId, UserId, direct_conversation_id, is_direct

MAX_NAMED = 500  # members that a conversation's document, a head and every event's audience carry; more: a large room
MAX_MEMBERS = 10_000


def refuse_stranger(
    user_id: UserId, conversation_id: ConversationId, member_ids: Collection[UserId] | None
) -> WarrenError | None:
    """Refuse whoever is not a member; `member_ids` is None where there is no such conversation.

    A direct conversation that is missing looks like one between others, so that nobody learns who talks to whom.
    """
    if member_ids is None and not is_direct(conversation_id):
        return NotFound("There is no such conversation.", conversation_id=conversation_id)
    if member_ids is None or user_id not in member_ids:
        return NotAMember("You are not in this conversation.", conversation_id=conversation_id, user_id=user_id)
    return None


def opens_direct(command: SendMessage) -> bool:
    """Tell whether the command names its recipient truly, so that their conversation may be made for it."""
    return command.to is not None and direct_conversation_id(command.sender_id, command.to) == command.conversation_id


def direct_conversation(command: SendMessage) -> CreateConversation:
    """Give the command that makes the direct conversation which a message opens."""
    members = {command.sender_id, command.to or command.sender_id}
    return CreateConversation(
        conversation_id=command.conversation_id,
        kind=ConversationKind.DIRECT,
        creator_id=command.sender_id,
        member_ids=tuple(sorted(members)),
    )


def refuse_conversation(command: CreateConversation) -> WarrenError | None:
    """Refuse a conversation that cannot be as the command says."""
    if command.creator_id not in command.member_ids:
        return Invalid("The creator is a member of the conversation.", creator_id=command.creator_id)
    if len(command.member_ids) > MAX_MEMBERS:
        return TooLarge(f"A conversation has at most {MAX_MEMBERS} members.", members=len(command.member_ids))
    if command.kind is ConversationKind.DIRECT:
        return _refuse_direct(command)
    if is_direct(command.conversation_id):
        return Invalid("This id is kept for direct conversations.", conversation_id=command.conversation_id)
    if command.parent_id is not None and command.kind is not ConversationKind.CHANNEL:
        return Invalid("Only channels are in spaces.", kind=command.kind.value)
    return None


def refuse_parent(command: CreateConversation, kind: ConversationKind | None, *, is_member: bool) -> WarrenError | None:
    """Refuse a channel in what is no space, or in one that its creator is not in; `kind` None: there is none."""
    assert command.parent_id is not None
    member_ids = (command.creator_id,) if is_member else ()
    if error := refuse_stranger(command.creator_id, command.parent_id, None if kind is None else member_ids):
        return error
    if kind is not ConversationKind.SPACE:
        return Invalid("Channels are in spaces only.", parent_id=command.parent_id)
    return None


def history_rule(command: CreateConversation) -> HistoryRule:
    """Give what new members may read: in channels and spaces everything, where nothing else is said."""
    open_by_kind = command.kind in (ConversationKind.CHANNEL, ConversationKind.SPACE)
    return command.history or (HistoryRule.FULL if open_by_kind else HistoryRule.JOINED)


def join_rule(command: CreateConversation) -> JoinRule:
    """Give who may join: whoever wants to in channels, where nothing else is said."""
    return command.join or (JoinRule.OPEN if command.kind is ConversationKind.CHANNEL else JoinRule.INVITE)


def _refuse_direct(command: CreateConversation) -> WarrenError | None:
    if len(command.member_ids) > 2:
        return Invalid("A direct conversation is between two users.", members=len(command.member_ids))
    if command.conversation_id != direct_conversation_id(command.member_ids[0], command.member_ids[-1]):
        return Invalid("The id is not the one of these two users.", conversation_id=command.conversation_id)
    return None
