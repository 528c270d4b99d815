"""What history refuses, and why."""

from shared.commands import ConversationKind, CreateConversation, SendMessage
from shared.errors import Invalid, NotAMember, NotFound, TooLarge, WarrenError
from shared.ids import ConversationId, UserId, direct_conversation_id, is_direct

MAX_MEMBERS = 500  # a head, and every event's audience, carries them all


def refuse_stranger(
    user_id: UserId, conversation_id: ConversationId, member_ids: tuple[UserId, ...] | None
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


def refuse_message(command: SendMessage, member_ids: tuple[UserId, ...] | None) -> WarrenError | None:
    """Refuse a message to a conversation that is not its sender's."""
    if command.to is not None and not opens_direct(command):
        return Invalid("The conversation is not the one with that user.", conversation_id=command.conversation_id)
    return refuse_stranger(command.sender_id, command.conversation_id, member_ids)


def refuse_conversation(command: CreateConversation) -> WarrenError | None:
    """Refuse a conversation that cannot be as the command says."""
    if command.creator_id not in command.member_ids:
        return Invalid("The creator is a member of the conversation.", creator_id=command.creator_id)
    if len(command.member_ids) > MAX_MEMBERS:
        return TooLarge(f"A conversation has at most {MAX_MEMBERS} members.", members=len(command.member_ids))
    match command.kind:
        case ConversationKind.DIRECT:
            return _refuse_direct(command)
        case ConversationKind.GROUP:
            if is_direct(command.conversation_id):
                return Invalid("This id is kept for direct conversations.", conversation_id=command.conversation_id)
            return None
        case _:
            return Invalid("A conversation of this kind cannot be created.", kind=command.kind.value)


def _refuse_direct(command: CreateConversation) -> WarrenError | None:
    if len(command.member_ids) > 2:
        return Invalid("A direct conversation is between two users.", members=len(command.member_ids))
    if command.conversation_id != direct_conversation_id(command.member_ids[0], command.member_ids[-1]):
        return Invalid("The id is not the one of these two users.", conversation_id=command.conversation_id)
    return None
