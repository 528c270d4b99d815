"""The caller's conversations: list, look at, make, change; unread counts."""

import msgspec
from fastapi import APIRouter, Response

from gateway.asking import ask
from gateway.content import check_content, encode_metadata
from gateway.directory import Directory
from gateway.ingress import Ingress
from gateway.rest.asking import alter
from gateway.rest.callers import Caller
from gateway.rest.fields import Cursor, IdempotencyKey, Limit
from gateway.rest.places import ThatConversation
from gateway.rest.refusals import refusal
from gateway.rest.requests import ConversationPatch, ConversationWish
from gateway.rest.schemas import returns
from gateway.rest.shown import Shown
from gateway.views import ConversationView
from shared.commands import ChangeConversation, ConversationKind, CreateConversation
from shared.errors import Invalid, InvalidField
from shared.events import ConversationCreated
from shared.history_api import HistoryQueries
from shared.http import StructResponse
from shared.ids import ConversationId, MessageId, NewId, UserId, direct_conversation_id, keyed_conversation_id

_NAMED = (ConversationKind.CHANNEL, ConversationKind.SPACE)


class ConversationsView(msgspec.Struct, frozen=True, kw_only=True):
    """A page of conversations, last activity first."""

    conversations: list[ConversationView]
    next_cursor: str | None


class ChannelsView(msgspec.Struct, frozen=True, kw_only=True):
    """The channels of a space that the caller is in or may join, by name."""

    conversations: list[ConversationView]


class UnreadView(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages of others are unread, in all and by conversation."""

    total: int
    conversations: dict[ConversationId, int]


def conversations_router(*, history: HistoryQueries, shown: Shown) -> APIRouter:
    """Make the routes that read."""
    router = APIRouter(prefix="/v1", tags=["conversations"])

    @router.get(
        "/conversations",
        summary="List your conversations",
        responses=returns(s200=ConversationsView, errors=(400, 422)),
    )
    async def list_conversations(caller: Caller, limit: Limit = 50, cursor: Cursor = None) -> Response:
        """List the caller's conversations, last activity first."""
        found = await history.conversations(caller.user_id, limit=limit, cursor=cursor)
        views = await shown.views(caller.user_id, found.conversations)
        return StructResponse(ConversationsView(conversations=views, next_cursor=found.next_cursor))

    @router.get(
        "/conversations/{conversation_id}",
        summary="Show a conversation",
        responses=returns(s200=ConversationView, errors=(403, 404, 422)),
    )
    async def show_conversation(conversation_id: ThatConversation, caller: Caller) -> Response:
        """Show one of the caller's conversations."""
        return StructResponse(await shown.one(caller.user_id, conversation_id))

    @router.get(
        "/conversations/{conversation_id}/channels",
        summary="List the channels of a space",
        responses=returns(s200=ChannelsView, errors=(403, 404, 422)),
    )
    async def list_channels(conversation_id: ThatConversation, caller: Caller) -> Response:
        """List the channels of a space that the caller is in or may join, by name."""
        channels = await history.channels(caller.user_id, conversation_id)
        return StructResponse(ChannelsView(conversations=await shown.views(caller.user_id, channels)))

    @router.get("/unread", summary="Count unread messages", responses=returns(s200=UnreadView))
    async def count_unread(caller: Caller) -> Response:
        """Count the messages of others that the caller has not read."""
        counts = await history.unread(caller.user_id)
        return StructResponse(UnreadView(total=sum(counts.values()), conversations=counts))

    return router


def making_router(*, directory: Directory, shown: Shown, ingress: Ingress, new_id: NewId) -> APIRouter:
    """Make the routes that make and change conversations."""
    router = APIRouter(prefix="/v1", tags=["conversations"])

    @router.post(
        "/conversations",
        summary="Start a conversation",
        status_code=201,
        responses=returns(s200=ConversationView, s201=ConversationView, errors=(400, 403, 404, 413, 422)),
    )
    async def create_conversation(
        wish: ConversationWish, caller: Caller, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Make a conversation; 200 where it was there already: a direct one, or one made with this key."""
        new = keyed_conversation_id(caller.user_id, idempotency_key) if idempotency_key else ConversationId(new_id())
        parent_id = await directory.conversation(caller.user_id, wish.parent_id) if wish.parent_id else None
        outcome = await ask(ingress, _creation(wish, caller.user_id, parent_id, new))
        if not isinstance(outcome, ConversationCreated):
            return refusal(outcome)
        view = await shown.one(caller.user_id, outcome.conversation_id)
        return StructResponse(view, status_code=201 if outcome.created else 200)

    @router.patch(
        "/conversations/{conversation_id}",
        summary="Change a conversation's name, metadata or rules",
        responses=returns(s200=ConversationView, errors=(400, 403, 404, 413, 422)),
    )
    async def change_conversation(
        conversation_id: ThatConversation, wish: ConversationPatch, caller: Caller
    ) -> Response:
        """Change a conversation; for its owners and admins."""
        await alter(ingress, _change(wish, conversation_id, caller.user_id, MessageId(new_id())))
        return StructResponse(await shown.one(caller.user_id, conversation_id))

    return router


def _creation(
    wish: ConversationWish, creator_id: UserId, parent_id: ConversationId | None, new: ConversationId
) -> CreateConversation:
    others = {UserId(member) for member in wish.member_ids} - {creator_id}
    metadata = _metadata(wish.metadata)
    if wish.kind is ConversationKind.DIRECT:
        conversation_id = direct_conversation_id(creator_id, _only(others, wish))
    else:
        conversation_id = new
        _check_form(wish)
    return CreateConversation(
        conversation_id=conversation_id,
        kind=wish.kind,
        creator_id=creator_id,
        member_ids=tuple(sorted({creator_id, *others})),
        name=wish.name,
        metadata=metadata,
        parent_id=parent_id,
        history=wish.history,
        join=wish.join,
    )


def _change(
    wish: ConversationPatch, conversation_id: ConversationId, actor_id: UserId, change_id: MessageId
) -> ChangeConversation:
    return ChangeConversation(
        change_id=change_id,
        conversation_id=conversation_id,
        actor_id=actor_id,
        name=wish.name,
        metadata=msgspec.UNSET if wish.metadata is None else _metadata(wish.metadata),
        history=wish.history,
        join=wish.join,
    )


def _only(others: set[UserId], wish: ConversationWish) -> UserId:
    """Give the other one of a direct conversation. Raises: Invalid."""
    if len(others) != 1:
        raise Invalid("A direct conversation has one other member: name them in member_ids.")
    if (wish.name, wish.parent_id, wish.history, wish.join) != (None,) * 4:
        raise Invalid("A direct conversation has two members and its metadata: no name, parent_id, history or join.")
    [other] = others
    return other


def _check_form(wish: ConversationWish) -> None:
    if wish.kind in _NAMED and wish.name is None:
        raise InvalidField(f"A {wish.kind.value} needs a name.", path="name")
    if wish.parent_id is not None and wish.kind is not ConversationKind.CHANNEL:
        raise Invalid(f"Only a channel is in a space, no {wish.kind.value}.")


def _metadata(metadata: dict[str, object]) -> msgspec.Raw:
    encoded = encode_metadata(metadata)
    check_content("", encoded, None)
    return encoded
