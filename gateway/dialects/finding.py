"""Find the conversation that a client calls by its id, its number or its name, among those it is in or may join."""

import re

from gateway.dialects.world import World
from shared.errors import NotAMember, NotFound, WarrenError
from shared.history_api import Conversation
from shared.ids import ID_PATTERN, ConversationId, is_number

_ID = re.compile(ID_PATTERN)


def is_id(name: str) -> bool:
    """Tell whether a name has the form of an id; a conversation's name may have it, too."""
    return _ID.match(name) is not None and not is_number(name)


async def find_conversation(world: World, name: str) -> Conversation:
    """Find a conversation; its `role` is None where the user is not in it and may join.

    Raises: NotFound, NotAMember, Unavailable.
    """
    refusal: WarrenError = NotFound("There is no such conversation.", conversation=name[:128])
    try:
        if is_id(name) or is_number(name):
            return await _seen(world, await world.conversation(name))
    except (NotFound, NotAMember) as error:
        refusal = error
    try:
        return await _seen(world, await world.history.conversation_named(world.caller.user_id, name))
    except NotFound as error:
        raise refusal from error


async def _seen(world: World, conversation_id: ConversationId) -> Conversation:
    """Give a conversation that the user is in, or may join. Raises: NotFound, NotAMember."""
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
