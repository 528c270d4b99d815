"""What a message of the huddle wire becomes, whichever way it comes in: its place, its attachment, its mentions."""

import re
from urllib.parse import urlsplit

import msgspec

from gateway.content import check_content
from gateway.dialects.huddle_reading import Say
from gateway.dialects.huddle_views import WIRE, Attachment, Marks, own_part
from gateway.dialects.world import Room, World
from shared.commands import EMPTY_OBJECT, ConversationKind, MessageType, SendMessage
from shared.errors import Forbidden, Invalid, InvalidField, NotFound, Unavailable
from shared.ids import ConversationId, MessageId, UserId

MAX_NAMES = 50  # looked for in one message

_MENTION = re.compile(r"(?<![\w@])@([\w.-]{1,128})")
_TYPES = {
    "image": MessageType.IMAGE,
    "audio": MessageType.AUDIO,
    "video": MessageType.VIDEO,
}  # by the first half of a media type, or the word alone


async def compose(world: World, wish: Say, *, hears: bool) -> SendMessage:
    """Make the command that sends a message. `hears`: of a change of the channel its members are told here at once.

    Raises: NotFound, NotAMember, Forbidden (the channel is archived), Invalid, TooLarge, Unavailable.
    """
    metadata = attached(wish.attachment)
    check_text(wish.content, wish.attachment)
    check_content(wish.content, metadata, None)
    room = await channel(world, wish.channel)
    if (not hears or own_part(room.metadata, Marks).archived) and await _is_archived(world, room.id):
        raise Forbidden("The channel is archived.", channel_id=wish.channel)
    caller, message_id = world.caller, world.new_message_id()
    return SendMessage(
        message_id=message_id,
        conversation_id=room.id,
        sender_id=caller.user_id,
        sender_name=caller.name,
        client_id=wish.client_id or message_id,
        type=_type_of(wish.attachment),
        content=wish.content,
        metadata=metadata,
        reply_to=None if wish.parent is None else await _parent(world, room.id, wish.parent),
        mentions=await mentioned(world, room, wish.content),
    )


async def channel(world: World, name: str) -> Room:
    """Find a channel that the caller is in. Raises: NotFound, NotAMember, Unavailable."""
    room = await world.room(await world.conversation(name))
    if room.kind is ConversationKind.SPACE:
        raise NotFound("There is no such channel: this is a team.", channel_id=name)
    return room


def check_text(content: str, attachment: Attachment) -> None:
    """Refuse a message that says nothing, or whose link is none to a file. Raises: InvalidField."""
    url = attachment.attachment_url
    if not content.strip() and url is None:
        raise InvalidField("A message needs content.", path="content")
    if url is not None and not _is_link(url):
        raise InvalidField("An attachment is at an http or https address, or at a path.", path="attachment_url")


async def mentioned(world: World, room: Room, content: str) -> tuple[UserId, ...]:
    """Name the members that a text mentions, as @username; in rooms of more than 500 members nobody is found.

    While presence is away nobody is: a message need not wait for that.
    """
    names = {name.rstrip(".-").casefold() for name in _MENTION.findall(content)[:MAX_NAMES]}
    if not names or not room.member_ids:
        return ()
    try:
        people = await world.people(room.member_ids)
    except Unavailable:
        return ()
    return tuple(
        user_id
        for user_id, person in people.items()
        if names & {user_id.casefold(), (person.username or user_id).casefold(), person.name.casefold()}
    )


def attached(attachment: Attachment) -> msgspec.Raw:
    """Write what a message carries into its metadata."""
    if attachment == Attachment():
        return EMPTY_OBJECT
    return msgspec.Raw(msgspec.json.encode({WIRE: attachment}))


async def _is_archived(world: World, conversation_id: ConversationId) -> bool:
    """Ask whether it still is: what is known of a room may be a minute old."""
    found = await world.history.conversation(world.caller.user_id, conversation_id)
    return own_part(found.metadata, Marks).archived


async def _parent(world: World, conversation_id: ConversationId, name: str) -> MessageId:
    place = await world.message(name)
    if place.conversation_id != conversation_id:
        raise Invalid("A reply is in the channel of its parent.", parent_id=name)
    return place.message_id


def _type_of(attachment: Attachment) -> MessageType:
    if attachment.attachment_url is None:
        return MessageType.TEXT
    kind = (attachment.attachment_type or "").partition("/")[0].lower()
    return _TYPES.get(kind, MessageType.FILE)


def _is_link(url: str) -> bool:
    """Tell whether clients can follow an address without harm, as they could not javascript:."""
    try:
        return urlsplit(url).scheme in ("", "http", "https")
    except ValueError:
        return False
