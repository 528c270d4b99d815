"""What the devices wire calls users and conversations: devices, and sessions named after two of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.dialects.pairs import pair_name, peer_in_pair
from gateway.dialects.world import Room, World
from shared.commands import ConversationKind
from shared.errors import NotAMember, NotFound, Unavailable
from shared.ids import ID_PATTERN, ConversationId, UserId, direct_conversation_id, is_direct
from shared.presence_api import MAX_USERS

SESSION_PATTERN = ID_PATTERN.replace("128", "257")  # of two devices' ids
_SHOWN_CHARS = 8


def name_of(device_id: UserId, name: str = "") -> str:
    """Give the name of a device; of one that has none besides its id, one made of that."""
    return name if name and name != device_id else f"Device-{device_id[:_SHOWN_CHARS]}"


async def names_of(world: World, user_ids: Iterable[UserId]) -> Mapping[UserId, str]:
    """Give the names of devices; while presence is away, of those that are known: chatting does not wait for it."""
    wanted, names = list(user_ids), dict[UserId, str]()
    for start in range(0, len(wanted), MAX_USERS):
        try:
            people = await world.people(wanted[start : start + MAX_USERS])
        except Unavailable:
            break
        names |= {user_id: name_of(user_id, person.name) for user_id, person in people.items()}
    return names


@dataclass(frozen=True, slots=True)
class Addressed:
    """To whom a message is, and in which session."""

    session_id: str
    recipient_id: str
    recipient_name: str


def to_device(sender_id: UserId, recipient_id: UserId, names: Mapping[UserId, str]) -> Addressed:
    """Address a message to one device."""
    return Addressed(pair_name(sender_id, recipient_id), recipient_id, names.get(recipient_id) or name_of(recipient_id))


def in_room(room: Room, sender_id: UserId, names: Mapping[UserId, str]) -> Addressed:
    """Address a device's message in a conversation: to the other one, or to the group."""
    recipient_id = room.peer_of(sender_id)
    if recipient_id is None:
        return Addressed(room.id, room.id, room.name or room.id)
    return to_device(sender_id, recipient_id, names)


def session_id(room: Room) -> str:
    """Name a conversation: a direct one after its two devices, another by its id."""
    if room.kind is not ConversationKind.DIRECT:
        return room.id
    return pair_name(room.member_ids[0], room.member_ids[-1])


async def find_session(world: World, name: str) -> tuple[ConversationId, UserId | None]:
    """Find the conversation that a session id names; gives the other device of a direct one, which may be new.

    Raises: NotFound (a number).
    """
    peer = peer_in_pair(name, world.caller.user_id)
    if peer is not None:
        return direct_conversation_id(world.caller.user_id, peer), peer
    return await world.conversation(name), None


async def find_recipient(world: World, name: str) -> tuple[ConversationId, UserId | None]:
    """Find the conversation with a device, or the group that is named in its place, as its messages name it.

    A group does not stand in the way of a device of the same name; one that the caller has left is still a group. While
    history is away, a name is a device's where presence knows it. Raises: Unavailable.
    """
    direct = direct_conversation_id(world.caller.user_id, UserId(name)), UserId(name)
    try:
        if await _is_room(world, direct[0]) or not await _is_room(world, ConversationId(name)):
            return direct
    except Unavailable:
        if not await _is_device(world, UserId(name)):
            raise
        return direct
    return direct if await _is_device(world, UserId(name)) else (ConversationId(name), None)


async def _is_device(world: World, name: UserId) -> bool:
    """Tell whether a device of this name was ever here. Raises: Unavailable."""
    return name in await world.presence.profiles((name,))


async def _is_room(world: World, conversation_id: ConversationId) -> bool:
    """Tell whether there is a conversation; of direct ones, whether the caller's. Raises: Unavailable."""
    try:
        await world.room(conversation_id)
    except NotFound:
        return False
    except NotAMember:
        return not is_direct(conversation_id)
    return True
