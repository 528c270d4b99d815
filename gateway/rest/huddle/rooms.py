"""What channels and teams of the huddle wire have in common: list, change, members, deletion."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec
from msgspec.structs import replace

from gateway.content import check_content
from gateway.dialects.huddle_views import WIRE, Marks, own_part
from gateway.dialects.joining import visible
from gateway.dialects.world import World
from shared.commands import (
    EMPTY_OBJECT,
    ChangeConversation,
    ConversationKind,
    CreateConversation,
    JoinRule,
    RemoveMember,
    Role,
    SetMembers,
)
from shared.errors import Forbidden, NotFound
from shared.history_api import MAX_PAGE, Conversation, Member
from shared.ids import ConversationId, UserId, direct_conversation_id

MAX_LISTED = 1000  # conversations or members in one answer; this wire's lists have no pages


async def rooms_of(world: World) -> list[Conversation]:
    """List the caller's conversations, last activity first."""
    found: list[Conversation] = []
    cursor: str | None = None
    while len(found) < MAX_LISTED:
        page = await world.history.conversations(world.caller.user_id, limit=MAX_PAGE, cursor=cursor)
        found += page.conversations
        cursor = page.next_cursor
        if cursor is None:
            break
    return found


async def room(world: World, name: str, *, team: bool) -> Conversation:
    """Find a team, or a channel, that the caller is in or may join. Raises: NotFound, NotAMember."""
    found = await visible(world, await world.conversation(name))
    if (found.kind is ConversationKind.SPACE) is not team:
        raise NotFound(f"There is no such {'team' if team else 'channel'}.", id=name)
    return found


async def make(
    world: World,
    kind: ConversationKind,
    name: str,
    marks: Marks,
    *,
    join: JoinRule,
    parent_id: ConversationId | None = None,
) -> Conversation:
    """Make a channel or team, and give it as its creator sees it. Raises: Forbidden, Invalid, TooLarge, Unavailable."""
    caller = world.caller.user_id
    command = CreateConversation(
        conversation_id=ConversationId(world.new_message_id()),
        kind=kind,
        creator_id=caller,
        member_ids=(caller,),
        name=name,
        metadata=_marked(EMPTY_OBJECT, replace(marks, creator_id=caller)),
        parent_id=parent_id,
        join=join,
    )
    made = await world.create(command)
    return await world.history.conversation(caller, made.conversation_id)


async def direct(world: World, peer: UserId) -> Conversation:
    """Give the conversation between the caller and another user, made now or before. Raises: Unavailable."""
    caller = world.caller.user_id
    command = CreateConversation(
        conversation_id=direct_conversation_id(caller, peer),
        kind=ConversationKind.DIRECT,
        creator_id=caller,
        member_ids=tuple(sorted({caller, peer})),
    )
    made = await world.create(command)
    return await world.history.conversation(caller, made.conversation_id)


async def change(
    world: World, found: Conversation, marks: Marks, *, name: str | None = None, join: JoinRule | None = None
) -> Conversation:
    """Change a channel or team, and give it as it is then. Raises: Forbidden, Invalid, TooLarge, Unavailable."""
    metadata = msgspec.UNSET if marks == own_part(found.metadata, Marks) else _marked(found.metadata, marks)
    command = ChangeConversation(
        change_id=world.new_message_id(),
        conversation_id=found.id,
        actor_id=world.caller.user_id,
        name=name,
        metadata=metadata,
        join=join,
    )
    await world.alter(command)
    return await world.history.conversation(world.caller.user_id, found.id)


async def members_of(world: World, conversation_id: ConversationId, *, at_most: int = MAX_LISTED) -> list[Member]:
    """List the members, by user id."""
    found: list[Member] = []
    async with aclosing(_members(world, conversation_id)) as members:
        async for each in members:
            found.append(each)
            if len(found) == at_most:
                break
    return found


async def member(world: World, conversation_id: ConversationId, user_id: UserId) -> Member:
    """Find one member. Raises: NotFound."""
    async with aclosing(_members(world, conversation_id)) as members:
        async for found in members:
            if found.user_id == user_id:
                return found
    raise NotFound("There is no such member.", user_id=user_id)


async def let_in(world: World, found: Conversation, user_id: UserId, role: Role | None) -> Member:
    """Let a user be a member, with a role. Raises: Forbidden, NotAMember, Conflict, TooLarge, Unavailable."""
    command = SetMembers(
        change_id=world.new_message_id(),
        conversation_id=found.id,
        actor_id=world.caller.user_id,
        user_ids=(user_id,),
        role=role,
    )
    await world.alter(command)
    return await member(world, found.id, user_id)


async def take_out(world: World, conversation_id: ConversationId, user_id: UserId) -> None:
    """Take a member out, or leave. Raises: Forbidden, Conflict (the last owner), Unavailable."""
    command = RemoveMember(
        change_id=world.new_message_id(),
        conversation_id=conversation_id,
        actor_id=world.caller.user_id,
        user_id=user_id,
    )
    await world.alter(command)


async def delete(world: World, found: Conversation) -> None:
    """Take everybody out of a channel or team, so that nobody finds it again. Raises: Forbidden, Unavailable.

    Done again after a failure it goes on where it was: its owner leaves last.
    """
    if found.role is not Role.OWNER:
        raise Forbidden("Only its owner may delete it.", id=found.number)
    marks = replace(own_part(found.metadata, Marks), deleted=True)
    await change(world, found, marks, join=JoinRule.INVITE)
    while others := _without(await members_of(world, found.id), world.caller.user_id):
        for each in others:
            await take_out(world, found.id, each.user_id)
    await take_out(world, found.id, world.caller.user_id)


async def _members(world: World, conversation_id: ConversationId) -> AsyncGenerator[Member, None]:
    cursor: str | None = None
    while True:
        page = await world.history.member_page(world.caller.user_id, conversation_id, limit=MAX_PAGE, cursor=cursor)
        for each in page.members:
            yield each
        cursor = page.next_cursor
        if cursor is None:
            return


def _without(members: Sequence[Member], user_id: UserId) -> list[Member]:
    return [each for each in members if each.user_id != user_id]


def _marked(metadata: msgspec.Raw, marks: Marks) -> msgspec.Raw:
    """Put this wire's part into metadata; what others wrote there stays. Raises: TooLarge."""
    parts = msgspec.json.decode(metadata, type=dict[str, msgspec.Raw])
    encoded = msgspec.Raw(msgspec.json.encode({**parts, WIRE: marks}))
    check_content("", encoded, None)
    return encoded
