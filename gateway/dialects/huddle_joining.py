"""Enter a channel: one that is open is joined, a private one is for its members."""

from gateway.dialects.huddle_composing import channel
from gateway.dialects.joining import join, visible
from gateway.dialects.world import World
from shared.commands import ConversationKind
from shared.errors import NotAMember, NotFound
from shared.history_api import Conversation
from shared.ids import ConversationId


async def enter(world: World, name: str) -> Conversation:
    """Give a channel that the caller is in, or is from now on. Raises: NotFound, NotAMember, Unavailable, Forbidden."""
    conversation_id = await world.conversation(name)
    conversation = await visible(world, conversation_id)
    if conversation.kind is ConversationKind.SPACE:
        raise NotFound("There is no such channel: this is a team.", channel_id=name)
    if conversation.role is None:
        await join(world, conversation_id)
        conversation = await world.history.conversation(world.caller.user_id, conversation_id)
    return conversation


async def visit(world: World, name: str) -> ConversationId:
    """Name a channel that the caller is in, or is from now on, as `enter` does; the former is known for a minute."""
    try:
        return (await channel(world, name)).id
    except NotAMember:
        return (await enter(world, name)).id
