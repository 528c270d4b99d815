"""Channels on the huddle wire: list, make, look at, change, archive, delete; join, leave, their members."""

import msgspec
from fastapi import APIRouter, Response
from msgspec.structs import replace

from gateway.dialects.huddle_joining import enter
from gateway.dialects.huddle_views import Marks, own_part
from gateway.dialects.world import World
from gateway.rest.fields import ConversationPath, UserPath
from gateway.rest.huddle import rooms
from gateway.rest.huddle.errors import HuddleRoute
from gateway.rest.huddle.fields import ChannelPatch, ChannelWish, MemberWish, Named, RoleWish, SearchText
from gateway.rest.huddle.views import Said, channel_views, member_views
from gateway.rest.worlds import ThatWorld
from shared.commands import ConversationKind, JoinRule, Role
from shared.errors import InvalidField
from shared.history_api import Conversation
from shared.http import StructResponse
from shared.ids import UserId


class ChannelStats(msgspec.Struct, frozen=True, kw_only=True):
    """How large a channel is; the messages count from where the caller may read."""

    member_count: int
    message_count: int


def channels_router() -> APIRouter:
    """Make the routes."""
    router = APIRouter(route_class=HuddleRoute, include_in_schema=False)
    for path, handler, method in (
        ("", list_channels, "GET"),
        ("", make_channel, "POST"),
        ("/team/{conversation_id}/search", search_channels, "GET"),
        ("/{conversation_id}", show_channel, "GET"),
        ("/{conversation_id}", change_channel, "PUT"),
        ("/{conversation_id}", delete_channel, "DELETE"),
        ("/{conversation_id}/archive", archive_channel, "POST"),
        ("/{conversation_id}/unarchive", unarchive_channel, "POST"),
        ("/{conversation_id}/join", join_channel, "POST"),
        ("/{conversation_id}/leave", leave_channel, "POST"),
        ("/{conversation_id}/stats", count_channel, "GET"),
        ("/{conversation_id}/members", list_members, "GET"),
        ("/{conversation_id}/members", add_member, "POST"),
        ("/{conversation_id}/members/{user_id}", change_member, "PUT"),
        ("/{conversation_id}/members/{user_id}", remove_member, "DELETE"),
    ):
        router.add_api_route(f"/api/v1/channels{path}", handler, methods=[method])
    router.add_api_route("/api/channels", make_channel, methods=["POST"])
    return router


async def list_channels(world: ThatWorld, team_id: Named = None, *, include_archived: bool = False) -> Response:
    """List the channels of a team that the caller is in or may join, by name; without a team all of the caller's."""
    if team_id is None:
        found = tuple(each for each in await rooms.rooms_of(world) if each.kind is not ConversationKind.SPACE)
    else:
        found = await _channels_of(world, team_id)
    shown = [each for each in found if include_archived or not own_part(each.metadata, Marks).archived]
    return StructResponse(await channel_views(world, shown))


async def search_channels(conversation_id: ConversationPath, q: SearchText, world: ThatWorld) -> Response:
    """Find a team's channels by a part of their name."""
    found = await _channels_of(world, conversation_id)
    return StructResponse(await channel_views(world, [each for each in found if named(each, q)]))


async def make_channel(wish: ChannelWish, world: ThatWorld) -> Response:
    """Make a channel, in a team or in none; or give the one with another user, which may be there already."""
    if wish.type == "direct":
        if wish.user_id is None:
            raise InvalidField("A direct channel needs the other user.", path="user_id")
        return await _answer(world, await rooms.direct(world, UserId(wish.user_id)), status_code=201)
    if wish.name is None:
        raise InvalidField("A channel needs a name.", path="name")
    made = await rooms.make(
        world,
        ConversationKind.CHANNEL,
        wish.name,
        Marks(description=wish.description, topic=wish.topic),
        join=_rule(wish.type),
        parent_id=None if wish.team_id is None else (await rooms.room(world, wish.team_id, team=True)).id,
    )
    return await _answer(world, made, status_code=201)


async def show_channel(conversation_id: ConversationPath, world: ThatWorld) -> Response:
    """Show a channel that the caller is in or may join."""
    return await _answer(world, await rooms.room(world, conversation_id, team=False))


async def change_channel(conversation_id: ConversationPath, wish: ChannelPatch, world: ThatWorld) -> Response:
    """Change a channel; for its owners and admins."""
    found = await rooms.room(world, conversation_id, team=False)
    marks = own_part(found.metadata, Marks)
    given = {name: getattr(wish, name) for name in ("description", "topic") if name in wish.model_fields_set}
    join = None if wish.type is None else _rule(wish.type)
    return await _answer(world, await rooms.change(world, found, replace(marks, **given), name=wish.name, join=join))


async def archive_channel(conversation_id: ConversationPath, world: ThatWorld) -> Response:
    """Let nothing more be said in a channel; for its owners and admins."""
    return await _archive(world, conversation_id, archived=True)


async def unarchive_channel(conversation_id: ConversationPath, world: ThatWorld) -> Response:
    """Open an archived channel again."""
    return await _archive(world, conversation_id, archived=False)


async def delete_channel(conversation_id: ConversationPath, world: ThatWorld) -> Response:
    """Delete a channel; for its owner."""
    await rooms.delete(world, await rooms.room(world, conversation_id, team=False))
    return StructResponse(Said(message="Channel deleted."))


async def join_channel(conversation_id: ConversationPath, world: ThatWorld) -> Response:
    """Join an open channel; answers with the membership."""
    found = await enter(world, conversation_id)
    joined = await rooms.member(world, found.id, world.caller.user_id)
    return StructResponse((await member_views(world, found, [joined]))[0])


async def leave_channel(conversation_id: ConversationPath, world: ThatWorld) -> Response:
    """Leave a channel."""
    found = await rooms.room(world, conversation_id, team=False)
    await rooms.take_out(world, found.id, world.caller.user_id)
    return StructResponse(Said(message="Left the channel."))


async def count_channel(conversation_id: ConversationPath, world: ThatWorld) -> Response:
    """Tell how large a channel is."""
    found = await rooms.room(world, conversation_id, team=False)
    messages = max(0, found.last_seq - found.first_seq + 1)
    return StructResponse(ChannelStats(member_count=found.member_count, message_count=messages))


async def list_members(conversation_id: ConversationPath, world: ThatWorld) -> Response:
    """List a channel's members."""
    found = await rooms.room(world, conversation_id, team=False)
    return StructResponse(await member_views(world, found, await rooms.members_of(world, found.id)))


async def add_member(conversation_id: ConversationPath, wish: MemberWish, world: ThatWorld) -> Response:
    """Let a user in; for owners and admins, in open channels for every member."""
    found = await rooms.room(world, conversation_id, team=False)
    role = None if wish.role is None else Role(wish.role)
    added = await rooms.let_in(world, found, UserId(wish.user_id), role)
    return StructResponse((await member_views(world, found, [added]))[0], status_code=201)


async def change_member(
    conversation_id: ConversationPath, user_id: UserPath, wish: RoleWish, world: ThatWorld
) -> Response:
    """Give a member another role; for owners."""
    found = await rooms.room(world, conversation_id, team=False)
    await rooms.member(world, found.id, UserId(user_id))
    changed = await rooms.let_in(world, found, UserId(user_id), Role(wish.role))
    return StructResponse((await member_views(world, found, [changed]))[0])


async def remove_member(conversation_id: ConversationPath, user_id: UserPath, world: ThatWorld) -> Response:
    """Take a member out."""
    found = await rooms.room(world, conversation_id, team=False)
    await rooms.take_out(world, found.id, UserId(user_id))
    return StructResponse(Said(message="Member removed."))


def named(found: Conversation, text: str) -> bool:
    """Tell whether a conversation's name holds a text, without regard to case."""
    return text.strip().casefold() in (found.name or "").casefold()


async def _channels_of(world: World, team_id: str) -> tuple[Conversation, ...]:
    return await world.history.channels(world.caller.user_id, await world.conversation(team_id))


async def _archive(world: World, name: str, *, archived: bool) -> Response:
    found = await rooms.room(world, name, team=False)
    marks = replace(own_part(found.metadata, Marks), archived=archived)
    return await _answer(world, await rooms.change(world, found, marks))


async def _answer(world: World, found: Conversation, *, status_code: int = 200) -> Response:
    [view] = await channel_views(world, (found,))
    return StructResponse(view, status_code=status_code)


def _rule(type_: str) -> JoinRule:
    return JoinRule.OPEN if type_ == "public" else JoinRule.INVITE
