"""Show messages on the service wire: with the names, numbers and faces that the messages do not carry."""

from collections.abc import Sequence
from datetime import datetime, tzinfo

from gateway.dialects.numbers import parent_number, shown_user_id
from gateway.dialects.own_parts import own_part
from gateway.dialects.pairs import pair_name
from gateway.dialects.service_agents import agents
from gateway.dialects.service_known import Known
from gateway.dialects.service_sessions import AGENT, WIRE, SessionPart
from gateway.dialects.service_views import NewMessageView, clock_time, moment, part_of, says_agent
from gateway.dialects.world import Room, World
from gateway.views import Progress, progress
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import UserId

_STATUSES: dict[Progress, str] = {"stored": "sent", "delivered": "delivered", "read": "read"}


async def shown_message(
    world: World,
    message: Message,
    known: Known,
    *,
    zone: tzinfo,
    since: datetime | None = None,
    watermarks: Sequence[Watermark] = (),
) -> NewMessageView:
    """Show a message; one from before `since` is an offline one. Raises: NotAMember, NotFound, Unavailable."""
    room = await world.room(message.conversation_id)
    person = (await world.people((message.sender_id,)))[message.sender_id]
    part = part_of(message)
    to = _recipient(room, message.sender_id, world.caller.user_id)
    if part.session is not None and to is not None and part.session == pair_name(message.sender_id, to):
        known.called(message.conversation_id, part.session)
    known.pushed(message)
    return NewMessageView(
        id=str(message.number),
        session_id=known.name(message.conversation_id),
        from_=AGENT if await _is_agent(world, message, room, known) else "user",
        from_user_id=shown_user_id(message.sender_id),
        from_user_name=person.name,
        to_user_id=None if to is None else shown_user_id(to),
        text=message.content,
        time=clock_time(message.created_at, zone),
        avatar=person.avatar_url or "",
        message_type=part.type or message.type.value,
        reply_to_message_id=await parent_number(world, message),
        status=_STATUSES[progress(message, watermarks)[0]],
        offline=since is not None and message.created_at < since,
        timestamp=moment(message.created_at, zone),
    )


async def _is_agent(world: World, message: Message, room: Room, known: Known) -> bool:
    """Tell whether an agent wrote a message. What it and its room say, their owners can write: the list counts."""
    sender_id = message.sender_id
    said = says_agent(part_of(message)) or own_part(room.metadata, WIRE, SessionPart).agent == sender_id
    if said and sender_id not in known.agents:
        known.agents = await agents(world)
    return sender_id in known.agents


def _recipient(room: Room, sender_id: UserId, caller_id: UserId) -> UserId | None:
    """Name whom a message is for: the other one of two; among more, whoever is shown it."""
    if len(room.member_ids) == 2 and sender_id in room.member_ids:
        return next((member for member in room.member_ids if member != sender_id), None)
    if room.peer_of(sender_id) is not None:
        return room.peer_of(sender_id)
    return None if caller_id == sender_id else caller_id
