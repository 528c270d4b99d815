"""What a user has just sent, as a message: for the wires that answer with it."""

from gateway.dialects.base import Accepted
from gateway.dialects.world import World
from shared.commands import SendMessage
from shared.events import Message, Stored


async def sent_message(world: World, command: SendMessage, outcome: Stored | Accepted) -> Message:
    """Give the message as it is stored, or will be, which takes no question; of a repeat, the first one.

    Raises: Unavailable (of a repeat alone: to ask once more does no harm).
    """
    if isinstance(outcome, Stored) and outcome.message_id != command.message_id:
        return await world.read_message(outcome.message_id)
    stored = outcome if isinstance(outcome, Stored) else None
    return Message(
        id=outcome.message_id,
        number=stored.number if stored else 0,
        conversation_id=outcome.conversation_id,
        seq=stored.seq if stored else 0,
        version=stored.version if stored else 0,
        client_id=command.client_id,
        sender_id=command.sender_id,
        sender_name=command.sender_name,
        type=command.type,
        content=command.content,
        metadata=command.metadata,
        reply_to=command.reply_to,
        mentions=command.mentions,
        created_at=stored.created_at if stored else world.now(),
    )
