"""Teams on the huddle wire: list, make, look at, change, delete; invite, join, leave, their members."""

import msgspec
from fastapi import APIRouter, Response
from msgspec.structs import replace

from gateway.dialects.huddle_views import Marks, own_part
from gateway.dialects.joining import join
from gateway.dialects.world import World
from gateway.rest.fields import ConversationPath, UserPath
from gateway.rest.huddle import rooms
from gateway.rest.huddle.channels import named
from gateway.rest.huddle.errors import HuddleRoute
from gateway.rest.huddle.fields import InviteWish, MemberWish, RoleWish, SearchText, TeamPatch, TeamWish
from gateway.rest.huddle.views import Said, member_views, team_view
from gateway.rest.worlds import ThatWorld
from shared.commands import ConversationKind, JoinRule, Role
from shared.errors import NotFound
from shared.history_api import MAX_PAGE, Conversation, Member
from shared.http import StructResponse
from shared.ids import UserId


class TeamStats(msgspec.Struct, frozen=True, kw_only=True):
    """How large a team is; of its channels those count that the caller is in or may join."""

    member_count: int
    channel_count: int


def teams_router() -> APIRouter:
    """Make the routes."""
    router = APIRouter(route_class=HuddleRoute, include_in_schema=False)
    for path, handler, method in (
        ("", list_teams, "GET"),
        ("", make_team, "POST"),
        ("/search", search_teams, "GET"),
        ("/{conversation_id}", show_team, "GET"),
        ("/{conversation_id}", change_team, "PUT"),
        ("/{conversation_id}", delete_team, "DELETE"),
        ("/{conversation_id}/invite", invite, "POST"),
        ("/{conversation_id}/join", join_team, "POST"),
        ("/{conversation_id}/leave", leave_team, "POST"),
        ("/{conversation_id}/stats", count_team, "GET"),
        ("/{conversation_id}/members", list_members, "GET"),
        ("/{conversation_id}/members", add_member, "POST"),
        ("/{conversation_id}/members/{user_id}", change_member, "PUT"),
        ("/{conversation_id}/members/{user_id}", remove_member, "DELETE"),
    ):
        router.add_api_route(f"/api/v1/teams{path}", handler, methods=[method])
    return router


async def list_teams(world: ThatWorld) -> Response:
    """List the caller's teams, last activity first."""
    return StructResponse([team_view(each) for each in await _teams(world)])


async def search_teams(q: SearchText, world: ThatWorld) -> Response:
    """Find the caller's teams by a part of their name."""
    return StructResponse([team_view(each) for each in await _teams(world) if named(each, q)])


async def make_team(wish: TeamWish, world: ThatWorld) -> Response:
    """Make a team."""
    marks = Marks(description=wish.description, avatar_url=wish.avatar_url)
    made = await rooms.make(world, ConversationKind.SPACE, wish.name, marks, join=_rule(is_public=wish.is_public))
    return StructResponse(team_view(made), status_code=201)


async def show_team(conversation_id: ConversationPath, world: ThatWorld) -> Response:
    """Show a team that the caller is in or may join."""
    return StructResponse(team_view(await rooms.room(world, conversation_id, team=True)))


async def change_team(conversation_id: ConversationPath, wish: TeamPatch, world: ThatWorld) -> Response:
    """Change a team; for its owners and admins."""
    found = await rooms.room(world, conversation_id, team=True)
    given = {name: getattr(wish, name) for name in ("description", "avatar_url") if name in wish.model_fields_set}
    marks = replace(own_part(found.metadata, Marks), **given)
    rule = None if wish.is_public is None else _rule(is_public=wish.is_public)
    return StructResponse(team_view(await rooms.change(world, found, marks, name=wish.name, join=rule)))


async def delete_team(conversation_id: ConversationPath, world: ThatWorld) -> Response:
    """Delete a team; for its owner. Who is taken out of it is taken out of its channels, too."""
    await rooms.delete(world, await rooms.room(world, conversation_id, team=True))
    return StructResponse(Said(message="Team deleted."))


async def invite(conversation_id: ConversationPath, wish: InviteWish, world: ThatWorld) -> Response:
    """Let the user of an account in, at once."""
    found = await rooms.room(world, conversation_id, team=True)
    return await _let_in(world, found, await _invited(world, wish.email), wish.role, status_code=201)


async def join_team(conversation_id: ConversationPath, world: ThatWorld) -> Response:
    """Join a public team; answers with the membership."""
    found = await rooms.room(world, conversation_id, team=True)
    if found.role is None:
        await join(world, found.id)
    return await _member(world, found, await rooms.member(world, found.id, world.caller.user_id))


async def leave_team(conversation_id: ConversationPath, world: ThatWorld) -> Response:
    """Leave a team and its channels."""
    found = await rooms.room(world, conversation_id, team=True)
    await rooms.take_out(world, found.id, world.caller.user_id)
    return StructResponse(Said(message="Left the team."))


async def count_team(conversation_id: ConversationPath, world: ThatWorld) -> Response:
    """Tell how large a team is."""
    found = await rooms.room(world, conversation_id, team=True)
    channels = await world.history.channels(world.caller.user_id, found.id)
    return StructResponse(TeamStats(member_count=found.member_count, channel_count=len(channels)))


async def list_members(conversation_id: ConversationPath, world: ThatWorld) -> Response:
    """List a team's members."""
    found = await rooms.room(world, conversation_id, team=True)
    return StructResponse(await member_views(world, found, await rooms.members_of(world, found.id)))


async def add_member(conversation_id: ConversationPath, wish: MemberWish, world: ThatWorld) -> Response:
    """Let a user in; for owners and admins."""
    found = await rooms.room(world, conversation_id, team=True)
    return await _let_in(world, found, UserId(wish.user_id), wish.role, status_code=201)


async def change_member(
    conversation_id: ConversationPath, user_id: UserPath, wish: RoleWish, world: ThatWorld
) -> Response:
    """Give a member another role; for owners."""
    found = await rooms.room(world, conversation_id, team=True)
    await rooms.member(world, found.id, UserId(user_id))
    return await _let_in(world, found, UserId(user_id), wish.role, status_code=200)


async def remove_member(conversation_id: ConversationPath, user_id: UserPath, world: ThatWorld) -> Response:
    """Take a member out of a team and its channels."""
    found = await rooms.room(world, conversation_id, team=True)
    await rooms.take_out(world, found.id, UserId(user_id))
    return StructResponse(Said(message="Member removed."))


async def _teams(world: World) -> list[Conversation]:
    return [each for each in await rooms.rooms_of(world) if each.kind is ConversationKind.SPACE]


async def _invited(world: World, name: str) -> UserId:
    """Find a user by the email or username of their account, or by the username of their profile. Raises: NotFound."""
    login = await world.presence.login(name)
    if login is not None:
        return login.user_id
    page = await world.presence.search(name, limit=MAX_PAGE, cursor=None)
    for profile in page.users:
        if (profile.username or "").casefold() == name.casefold():
            return profile.user_id
    raise NotFound("There is no account of that email.", email=name)


async def _let_in(
    world: World, found: Conversation, user_id: UserId, role: str | None, *, status_code: int
) -> Response:
    added = await rooms.let_in(world, found, user_id, None if role is None else Role(role))
    return await _member(world, found, added, status_code=status_code)


async def _member(world: World, found: Conversation, member: Member, *, status_code: int = 200) -> Response:
    [view] = await member_views(world, found, [member])
    return StructResponse(view, status_code=status_code)


def _rule(*, is_public: bool) -> JoinRule:
    return JoinRule.OPEN if is_public else JoinRule.INVITE
