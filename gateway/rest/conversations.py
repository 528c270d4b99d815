"""The caller's conversations: list, look at, make; unread counts."""

from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Response

from gateway.content import check_content, encode_metadata
from gateway.ingress import Ingress
from gateway.rest.asking import ask
from gateway.rest.callers import Caller
from gateway.rest.refusals import refusal
from gateway.rest.requests import ConversationPath, ConversationWish, Limit
from gateway.rest.schemas import returns
from gateway.views import ConversationView, conversation_view, peer_view
from shared.commands import ConversationKind, CreateConversation
from shared.errors import Invalid, Unavailable
from shared.events import ConversationCreated
from shared.history_api import Conversation, HistoryQueries
from shared.http import StructResponse
from shared.ids import ConversationId, UserId, direct_conversation_id
from shared.presence_api import Presence, PresenceQueries


class ConversationsView(msgspec.Struct, frozen=True, kw_only=True):
    """A page of conversations, last activity first."""

    conversations: list[ConversationView]
    next_cursor: str | None


class UnreadView(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages of others are unread, in all and by conversation."""

    total: int
    conversations: dict[ConversationId, int]


def conversations_router(*, history: HistoryQueries, presence: PresenceQueries, ingress: Ingress) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1", tags=["conversations"])

    @router.get("/conversations", summary="List your conversations", responses=returns(s200=ConversationsView))
    async def page(caller: Caller, limit: Limit = 50, cursor: str | None = None) -> Response:
        """List the caller's conversations, last activity first."""
        found = await history.conversations(caller.user_id, limit=limit, cursor=cursor)
        views = await _views(presence, caller.user_id, found.conversations)
        return StructResponse(ConversationsView(conversations=views, next_cursor=found.next_cursor))

    @router.post(
        "/conversations",
        summary="Start a conversation",
        status_code=201,
        responses=returns(s200=ConversationView, s201=ConversationView, errors=(413,)),
    )
    async def create(wish: ConversationWish, caller: Caller) -> Response:
        """Make a direct conversation; 200 where it was there already."""
        outcome = await ask(ingress, _creation(wish, caller.user_id))
        if not isinstance(outcome, ConversationCreated):
            return refusal(outcome)
        made = await history.conversation(caller.user_id, outcome.conversation_id)
        [view] = await _views(presence, caller.user_id, (made,))
        return StructResponse(view, status_code=201 if outcome.created else 200)

    @router.get(
        "/conversations/{conversation_id}",
        summary="Show a conversation",
        responses=returns(s200=ConversationView, errors=(403, 404)),
    )
    async def one(conversation_id: ConversationPath, caller: Caller) -> Response:
        """Show one of the caller's conversations."""
        found = await history.conversation(caller.user_id, ConversationId(conversation_id))
        [view] = await _views(presence, caller.user_id, (found,))
        return StructResponse(view)

    @router.get("/unread", summary="Count unread messages", responses=returns(s200=UnreadView))
    async def unread(caller: Caller) -> Response:
        """Count the messages of others that the caller has not read."""
        counts = await history.unread(caller.user_id)
        return StructResponse(UnreadView(total=sum(counts.values()), conversations=counts))

    return router


def _creation(wish: ConversationWish, creator_id: UserId) -> CreateConversation:
    if wish.kind is not ConversationKind.DIRECT:
        raise Invalid(f"This server makes direct conversations only, no {wish.kind.value}.")
    others = {UserId(member) for member in wish.member_ids} - {creator_id}
    if len(others) != 1:
        raise Invalid("A direct conversation has one other member: name them in member_ids.")
    [other] = others
    metadata = encode_metadata(wish.metadata)
    check_content("", metadata, None)
    return CreateConversation(
        conversation_id=direct_conversation_id(creator_id, other),
        kind=wish.kind,
        creator_id=creator_id,
        member_ids=tuple(sorted((creator_id, other))),
        metadata=metadata,
    )


async def _views(
    presence: PresenceQueries, user_id: UserId, conversations: Sequence[Conversation]
) -> list[ConversationView]:
    peers = {found.id: peer for found in conversations if (peer := _peer(found, user_id)) is not None}
    here = await _presence_of(presence, set(peers.values()))
    return [
        conversation_view(found, peer_view(peers[found.id], here.get(peers[found.id])) if found.id in peers else None)
        for found in conversations
    ]


def _peer(conversation: Conversation, user_id: UserId) -> UserId | None:
    if conversation.kind is not ConversationKind.DIRECT:
        return None
    return next((member for member in conversation.member_ids if member != user_id), None)


async def _presence_of(presence: PresenceQueries, user_ids: set[UserId]) -> dict[UserId, Presence]:
    """Ask who is there; without presence nobody knows, and the rest of the answer is as good."""
    if not user_ids:
        return {}
    try:
        return await presence.presence_of(sorted(user_ids))
    except Unavailable:
        return {}
