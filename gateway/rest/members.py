"""Who is in a conversation: list, join, add, change roles, leave, remove."""

from collections.abc import Iterable

import msgspec
from fastapi import APIRouter, Response

from gateway.ingress import Ingress
from gateway.rest.asking import alter
from gateway.rest.callers import Caller
from gateway.rest.fields import Cursor, Limit, UserPath
from gateway.rest.places import ThatConversation
from gateway.rest.requests import MembersWish, MemberWish
from gateway.rest.schemas import returns
from gateway.rest.shown import Shown
from gateway.views import ConversationView
from shared.clock import rfc3339
from shared.commands import RemoveMember, Role, SetMembers
from shared.history_api import HistoryQueries, Member
from shared.http import StructResponse
from shared.ids import ConversationId, MessageId, NewId, UserId

_PATH = "/conversations/{conversation_id}/members"
_CHANGED = returns(s200=ConversationView, errors=(400, 403, 404, 409, 413, 422))


class MemberView(msgspec.Struct, frozen=True, kw_only=True):
    """A member of a conversation."""

    user_id: UserId
    role: Role
    joined_at: str


class MembersView(msgspec.Struct, frozen=True, kw_only=True):
    """A page of members, by user id."""

    members: list[MemberView]
    next_cursor: str | None


def members_router(*, history: HistoryQueries, ingress: Ingress, new_id: NewId) -> APIRouter:
    """Make the routes that list and take out."""
    router = APIRouter(prefix="/v1", tags=["members"])

    @router.get(_PATH, summary="List members", responses=returns(s200=MembersView, errors=(400, 403, 404, 422)))
    async def list_members(
        conversation_id: ThatConversation, caller: Caller, limit: Limit = 50, cursor: Cursor = None
    ) -> Response:
        """List the members, by user id."""
        page = await history.member_page(caller.user_id, conversation_id, limit=limit, cursor=cursor)
        members = [_view(member) for member in page.members]
        return StructResponse(MembersView(members=members, next_cursor=page.next_cursor))

    @router.delete(
        _PATH + "/{user_id}",
        summary="Leave, or remove a member",
        status_code=204,
        responses=returns(errors=(400, 403, 404, 409, 422)),
    )
    async def remove_member(conversation_id: ThatConversation, user_id: UserPath, caller: Caller) -> None:
        """Take a member out, or leave. Out of a space: out of its channels, too."""
        command = RemoveMember(
            change_id=MessageId(new_id()),
            conversation_id=conversation_id,
            actor_id=caller.user_id,
            user_id=UserId(user_id),
        )
        await alter(ingress, command)

    return router


def joining_router(*, shown: Shown, ingress: Ingress, new_id: NewId) -> APIRouter:
    """Make the routes that let in and give roles; they answer with the conversation."""
    router = APIRouter(prefix="/v1", tags=["members"])

    async def let_in(
        caller_id: UserId, conversation_id: ConversationId, user_ids: Iterable[str], role: Role | None
    ) -> Response:
        command = SetMembers(
            change_id=MessageId(new_id()),
            conversation_id=conversation_id,
            actor_id=caller_id,
            user_ids=tuple(sorted({UserId(user_id) for user_id in user_ids})),
            role=role,
        )
        await alter(ingress, command)
        return StructResponse(await shown.one(caller_id, conversation_id))

    @router.post(_PATH, summary="Add members", responses=_CHANGED)
    async def add_members(conversation_id: ThatConversation, wish: MembersWish, caller: Caller) -> Response:
        """Let users be members, all with one role."""
        return await let_in(caller.user_id, conversation_id, wish.user_ids, wish.role)

    @router.put(_PATH + "/{user_id}", summary="Join, add a member, or change a role", responses=_CHANGED)
    async def set_member(
        conversation_id: ThatConversation, user_id: UserPath, caller: Caller, wish: MemberWish | None = None
    ) -> Response:
        """Let a user be a member, oneself to join."""
        return await let_in(caller.user_id, conversation_id, (user_id,), wish.role if wish else None)

    return router


def _view(member: Member) -> MemberView:
    return MemberView(user_id=member.user_id, role=member.role, joined_at=rfc3339(member.joined_at))
