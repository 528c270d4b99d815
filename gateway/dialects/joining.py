"""See a conversation as one who is in it, or may join; and join it."""

from gateway.dialects.world import World
from shared.commands import SetMembers
from shared.errors import NotAMember, NotFound, WarrenError
from shared.history_api import Conversation
from shared.ids import ConversationId


async def visible(world: World, conversation_id: ConversationId) -> Conversation:
    """Give a conversation that the user is in or may join; then its `role` is None.

    Raises: NotFound, NotAMember, Unavailable.
    """
    user_id = world.caller.user_id
    refusal: WarrenError = NotAMember("You are not in this conversation any more.")
    try:
        conversation = await world.history.conversation(user_id, conversation_id)
        if conversation.role is not None:
            return conversation
    except (NotFound, NotAMember) as error:
        refusal = error
    try:
        return await world.history.open_channel(user_id, conversation_id)
    except NotFound as error:
        raise refusal from error


async def join(world: World, conversation_id: ConversationId) -> None:
    """Make the user a member. Raises: Forbidden, NotAMember (of the space above), NotFound, TooLarge, Unavailable."""
    user_id = world.caller.user_id
    command = SetMembers(
        change_id=world.new_message_id(), conversation_id=conversation_id, actor_id=user_id, user_ids=(user_id,)
    )
    await world.alter(command)
