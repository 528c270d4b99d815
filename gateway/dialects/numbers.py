"""Integers in place of ids, for the wires whose clients hold them so."""

from collections.abc import Mapping
from typing import TypeAlias

from gateway.dialects.world import World
from shared.errors import NotFound
from shared.events import Message
from shared.ids import SEQ_BITS, MessageId, UserId, is_number, message_number

MAX_INTEGER = 2**53 - 1  # what a JavaScript number holds exactly

ShownId: TypeAlias = int | str


def shown_user_id(user_id: UserId) -> ShownId:
    """Show a decimal id as the integer that clients hold; text that no integer gives back, as 007, stays text."""
    if is_number(user_id) and str(int(user_id)) == user_id and int(user_id) <= MAX_INTEGER:
        return int(user_id)
    return user_id


def conversation_number(message: Message) -> int:
    """Give the number of the conversation that a message is in."""
    return message.number >> SEQ_BITS


async def parent_number(world: World, message: Message, known: Mapping[MessageId, int] | None = None) -> int | None:
    """Give the number of the message that this one replies to; None also where the reader may not see that one."""
    if message.reply_to is None:
        return None
    if known is not None and message.reply_to in known:
        return known[message.reply_to]
    try:
        place = await world.message(message.reply_to)
    except NotFound:
        return None
    return message_number(conversation_number(message), place.seq)
