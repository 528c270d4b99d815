"""What the huddle wire's REST API shows of users, channels, teams and their members."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from gateway.dialects.huddle_views import (
    Marks,
    MessageView,
    batches,
    is_here,
    message_views,
    moment,
    own_part,
    people_of,
    presence_among,
)
from gateway.dialects.numbers import ShownId, shown_user_id
from gateway.dialects.world import World
from shared.clock import rfc3339
from shared.commands import ConversationKind, JoinRule
from shared.errors import Forbidden, NotFound
from shared.history_api import Conversation, Member
from shared.ids import ConversationId, UserId
from shared.presence_api import Presence, Profile


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    """A user; `email` is shown to its owner alone."""

    id: ShownId
    username: str
    email: str | None
    full_name: str
    avatar_url: str | None
    bio: str | None
    timezone: str | None
    is_active: bool
    is_online: bool
    last_seen: str | None
    created_at: str | None


class ChannelView(msgspec.Struct, frozen=True, kw_only=True):
    """A channel: in a team, in none, or (type `direct`) with one other user."""

    id: int
    name: str
    description: str | None
    type: str
    topic: str | None
    team_id: int | None
    creator_id: ShownId | None
    is_archived: bool
    is_member: bool
    role: str | None
    member_count: int
    unread_count: int
    last_message: MessageView | None
    created_at: str
    updated_at: str


class TeamView(msgspec.Struct, frozen=True, kw_only=True):
    """A team."""

    id: int
    name: str
    description: str | None
    avatar_url: str | None
    owner_id: ShownId | None
    is_public: bool
    role: str | None
    member_count: int
    created_at: str
    updated_at: str


class MemberView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A member of a channel or team."""

    id: ShownId
    user_id: ShownId
    channel_id: int | None = None
    team_id: int | None = None
    role: str
    joined_at: str
    user: UserView


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked is done."""

    message: str


async def user_views(world: World, user_ids: Collection[UserId]) -> Mapping[UserId, UserView]:
    """Show users; one without a profile is known by the id. Raises: Unavailable."""
    profiles: dict[UserId, Profile] = {}
    for some in batches(user_ids):
        profiles |= await world.presence.profiles(some)
    here = await presence_among(world, user_ids)
    return {user_id: user_view(user_id, profiles.get(user_id), here.get(user_id)) for user_id in user_ids}


def user_view(
    user_id: UserId, profile: Profile | None, presence: Presence | None, email: str | None = None
) -> UserView:
    """Show a user."""
    name = user_id if profile is None else profile.name
    return UserView(
        id=shown_user_id(user_id),
        username=name if profile is None or profile.username is None else profile.username,
        email=email,
        full_name=name,
        avatar_url=None if profile is None else profile.avatar_url,
        bio=None if profile is None else profile.bio,
        timezone=None if profile is None else profile.time_zone,
        is_active=True,
        is_online=is_here(presence),
        last_seen=None if presence is None else moment(presence.last_seen),
        created_at=None if profile is None else rfc3339(profile.created_at),
    )


async def channel_views(world: World, conversations: Sequence[Conversation]) -> list[ChannelView]:
    """Show channels to one who is in them or may join them. Raises: Unavailable."""
    peers = {found.id: peer for found in conversations if (peer := _peer(found, world.caller.user_id)) is not None}
    people = await people_of(world, peers.values())
    teams = await _numbers(world, {found.parent_id for found in conversations if found.parent_id is not None})
    last = [found.last_message for found in conversations if found.last_message is not None]
    shown = dict(zip((message.id for message in last), await message_views(world, last), strict=True))
    return [
        _channel_view(
            found,
            found.name or (people[peers[found.id]].name if found.id in peers else f"#{found.number}"),
            teams.get(found.parent_id) if found.parent_id is not None else None,
            None if found.last_message is None else shown[found.last_message.id],
        )
        for found in conversations
    ]


def team_view(found: Conversation) -> TeamView:
    """Show a team."""
    marks = own_part(found.metadata, Marks)
    return TeamView(
        id=found.number,
        name=found.name or f"#{found.number}",
        description=marks.description,
        avatar_url=marks.avatar_url,
        owner_id=None if marks.creator_id is None else shown_user_id(UserId(marks.creator_id)),
        is_public=found.join is JoinRule.OPEN,
        role=found.role,
        member_count=found.member_count,
        created_at=rfc3339(found.created_at),
        updated_at=rfc3339(found.changed_at),
    )


async def member_views(world: World, found: Conversation, members: Sequence[Member]) -> list[MemberView]:
    """Show members of a channel or team. Raises: Unavailable."""
    users = await user_views(world, [member.user_id for member in members])
    is_team = found.kind is ConversationKind.SPACE
    return [
        MemberView(
            id=shown_user_id(member.user_id),
            user_id=shown_user_id(member.user_id),
            channel_id=None if is_team else found.number,
            team_id=found.number if is_team else None,
            role=member.role.value,
            joined_at=rfc3339(member.joined_at),
            user=users[member.user_id],
        )
        for member in members
    ]


def _channel_view(found: Conversation, name: str, team_id: int | None, last: MessageView | None) -> ChannelView:
    marks = own_part(found.metadata, Marks)
    return ChannelView(
        id=found.number,
        name=name,
        description=marks.description,
        type=_type_of(found),
        topic=marks.topic,
        team_id=team_id,
        creator_id=None if marks.creator_id is None else shown_user_id(UserId(marks.creator_id)),
        is_archived=marks.archived,
        is_member=found.role is not None,
        role=found.role,
        member_count=found.member_count,
        unread_count=found.unread,
        last_message=last,
        created_at=rfc3339(found.created_at),
        updated_at=rfc3339(found.changed_at),
    )


def _type_of(found: Conversation) -> str:
    if found.kind is ConversationKind.DIRECT:
        return "direct"
    return "public" if found.join is JoinRule.OPEN else "private"


def _peer(found: Conversation, user_id: UserId) -> UserId | None:
    if found.kind is not ConversationKind.DIRECT:
        return None
    return next((member for member in found.member_ids if member != user_id), user_id)


async def _numbers(world: World, conversation_ids: Collection[ConversationId]) -> Mapping[ConversationId, int]:
    """Give the numbers of teams; of one that the caller is not in, none."""
    numbers: dict[ConversationId, int] = {}
    for conversation_id in conversation_ids:
        try:
            numbers[conversation_id] = (await world.room(conversation_id)).number
        except (NotFound, Forbidden):
            continue
    return numbers
