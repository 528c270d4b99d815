"""Find the conversation that a client names, among those it is in or may join."""

import re

from gateway.dialects.joining import visible
from gateway.dialects.pairs import peer_in_pair
from gateway.dialects.world import World
from shared.errors import NotAMember, NotFound, WarrenError
from shared.history_api import Conversation
from shared.ids import ID_PATTERN, ConversationId, direct_conversation_id, is_number

_ID = re.compile(ID_PATTERN)


def is_id(name: str) -> bool:
    """Tell whether a name has the form of an id; a conversation's name may have it, too."""
    return _ID.match(name) is not None and not is_number(name)


async def find_conversation(world: World, name: str) -> Conversation:
    """Find a conversation by its id, its number, its two users (`<a>_<b>`) or its name, in this order.

    Its `role` is None where the user is not in it and may join. Raises: NotFound, NotAMember, Unavailable.
    """
    refusal: WarrenError = NotFound("There is no such conversation.", conversation=name[:128])
    for find in (_by_id, _by_pair, _by_name):
        try:
            return await visible(world, await find(world, name))
        except NotAMember as error:
            refusal = error
        except NotFound:
            continue
    raise refusal


async def _by_id(world: World, name: str) -> ConversationId:
    if is_id(name) or is_number(name):
        return await world.conversation(name)
    raise NotFound("It is neither an id nor a number.")


async def _by_pair(world: World, name: str) -> ConversationId:
    peer = peer_in_pair(name, world.caller.user_id)
    if peer is None:
        raise NotFound("It names no two users.")
    return direct_conversation_id(world.caller.user_id, peer)


async def _by_name(world: World, name: str) -> ConversationId:
    return await world.history.conversation_named(world.caller.user_id, name)
