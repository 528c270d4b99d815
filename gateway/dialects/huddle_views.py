"""What clients of the huddle wire read: messages and people, alike on the socket and over REST."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from gateway.dialects import own_parts
from gateway.dialects.numbers import ShownId, conversation_number, parent_number, shown_user_id
from gateway.dialects.reading import UNREADABLE
from gateway.dialects.world import Person, World
from shared.clock import rfc3339
from shared.commands import MessageType
from shared.errors import Unavailable
from shared.events import Message
from shared.ids import UserId
from shared.presence_api import MAX_USERS, Presence

WIRE = "huddle"  # the key of metadata under which this wire keeps what Warren has no field for

StructT = TypeVar("StructT", bound=msgspec.Struct)


class AuthorView(msgspec.Struct, frozen=True, kw_only=True):
    """Who wrote a message."""

    id: ShownId
    username: str
    full_name: str
    avatar_url: str | None
    is_online: bool


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A message; `parent_id` is the number of the message that it replies to."""

    id: ShownId
    content: str
    is_edited: bool
    is_deleted: bool
    author_id: ShownId
    channel_id: ShownId
    parent_id: int | None
    attachment_url: str | None
    attachment_type: str | None
    attachment_name: str | None
    attachment_size: int | None
    created_at: str
    updated_at: str
    author: AuthorView
    replies: tuple["MessageView", ...] = ()


class Attachment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a message carries besides its text, as this wire keeps it in the metadata."""

    attachment_url: str | None = None
    attachment_type: str | None = None
    attachment_name: str | None = None
    attachment_size: int | None = None


class Marks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What this wire keeps in the metadata of a channel or team."""

    description: str | None = None
    topic: str | None = None
    avatar_url: str | None = None
    creator_id: str | None = None
    archived: bool = False
    deleted: bool = False


class _Link(msgspec.Struct, frozen=True):
    """Where clients of other wires commonly put a file."""

    url: str | None = None


def username_of(person: Person) -> str:
    """Name a person shortly; one without a username by the name."""
    return person.username or person.name


def own_part(metadata: msgspec.Raw, kind: type[StructT]) -> StructT:
    """Read what this wire keeps in some metadata; of what others wrote there, whatever it is, nothing."""
    return own_parts.own_part(metadata, WIRE, kind)


def author_view(person: Person, *, is_online: bool) -> AuthorView:
    """Show who wrote a message."""
    return AuthorView(
        id=shown_user_id(person.user_id),
        username=username_of(person),
        full_name=person.name,
        avatar_url=person.avatar_url,
        is_online=is_online,
    )


def message_view(message: Message, author: Person, parent: int | None, *, is_online: bool) -> MessageView:
    """Show a message."""
    attachment = _attachment(message)
    changed_at = message.deleted_at or message.edited_at
    return MessageView(
        id=message.number,
        content=message.content,
        is_edited=message.edited_at is not None,
        is_deleted=message.deleted_at is not None,
        author_id=shown_user_id(message.sender_id),
        channel_id=conversation_number(message),
        parent_id=parent,
        attachment_url=attachment.attachment_url,
        attachment_type=attachment.attachment_type,
        attachment_name=attachment.attachment_name,
        attachment_size=attachment.attachment_size,
        created_at=rfc3339(message.created_at),
        updated_at=rfc3339(changed_at or message.created_at),
        author=author_view(author, is_online=is_online),
    )


async def message_views(world: World, messages: Sequence[Message]) -> list[MessageView]:
    """Show messages with who wrote them, and whether they are here now. Raises: Unavailable (history)."""
    authors = await authors_of(world, messages)
    here = await presence_among(world, authors)
    known = {message.id: message.number for message in messages}
    return [
        message_view(
            message,
            authors[message.sender_id],
            await parent_number(world, message, known),
            is_online=is_here(here.get(message.sender_id)),
        )
        for message in messages
    ]


async def people_of(world: World, user_ids: Iterable[UserId]) -> dict[UserId, Person]:
    """Tell who users are, however many. Raises: Unavailable."""
    people: dict[UserId, Person] = {}
    for some in batches(user_ids):
        people |= await world.people(some)
    return people


async def presence_among(world: World, user_ids: Iterable[UserId]) -> dict[UserId, Presence]:
    """Tell who is here, however many; while presence is away nobody is known to be."""
    found: dict[UserId, Presence] = {}
    try:
        for some in batches(user_ids):
            found |= await world.presence.presence_of(some)
    except Unavailable:
        return {}
    return found


def batches(user_ids: Iterable[UserId]) -> Iterator[Sequence[UserId]]:
    """Give users in numbers that presence can be asked about at once, each of them once."""
    wanted = sorted(set(user_ids))
    for start in range(0, len(wanted), MAX_USERS):
        yield wanted[start : start + MAX_USERS]


async def authors_of(world: World, messages: Sequence[Message]) -> Mapping[UserId, Person]:
    """Tell who wrote messages; while presence is away, by the names that the messages have."""
    try:
        return await people_of(world, (message.sender_id for message in messages))
    except Unavailable:
        return {message.sender_id: Person(user_id=message.sender_id, name=message.sender_name) for message in messages}


def is_here(presence: Presence | None) -> bool:
    """Tell whether somebody is here, as others see it."""
    return presence is not None and presence.status != "offline"


def moment(at: datetime | None) -> str | None:
    """Show a time, if there is one."""
    return None if at is None else rfc3339(at)


def _attachment(message: Message) -> Attachment:
    own = own_part(message.metadata, Attachment)
    if own.attachment_url is not None or message.type in (MessageType.TEXT, MessageType.SYSTEM):
        return own
    try:
        link = msgspec.json.decode(message.metadata, type=_Link)
    except UNREADABLE:
        return own
    return own if link.url is None else Attachment(attachment_url=link.url, attachment_type=message.type.value)
