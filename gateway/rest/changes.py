"""What becomes of messages: edit, delete, react."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response

from gateway.content import check_content, check_emoji, encode_metadata
from gateway.ingress import Ingress
from gateway.rest.asking import alter
from gateway.rest.callers import Caller
from gateway.rest.fields import EmojiPath
from gateway.rest.places import ThatMessage
from gateway.rest.requests import MessagePatch
from gateway.rest.schemas import Responses, returns
from gateway.views import ChangedView, changed_view
from shared.commands import EMPTY_OBJECT, Alteration, DeleteMessage, DeleteScope, EditMessage, SetReaction
from shared.history_api import MessagePlace
from shared.http import StructResponse
from shared.ids import MessageId, NewId, UserId

_MESSAGE = "/messages/{message_id}"
_REACTION = "/messages/{message_id}/reactions/{emoji:path}"  # so that an encoded slash is none of the path

Scope = Annotated[DeleteScope, Query(description="for everyone, or from the caller's sight alone")]


def changes_router(*, ingress: Ingress, new_id: NewId) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1", tags=["messages"])

    async def change(command: Alteration) -> Response:
        return StructResponse(changed_view(await alter(ingress, command)))

    @router.patch(_MESSAGE, summary="Edit a message", responses=_changed(400, 409, 413))
    async def edit_message(message_id: ThatMessage, wish: MessagePatch, caller: Caller) -> Response:
        """Give one's own message another content."""
        return await change(_edit(wish, message_id, caller.user_id, MessageId(new_id())))

    @router.delete(_MESSAGE, summary="Delete a message", responses=_changed())
    async def delete_message(message_id: ThatMessage, caller: Caller, scope: Scope = DeleteScope.EVERYONE) -> Response:
        """Take a message away: one's own, or, for owners and admins, anyone's; or any from one's own sight."""
        command = DeleteMessage(
            change_id=MessageId(new_id()),
            conversation_id=message_id.conversation_id,
            actor_id=caller.user_id,
            message_id=message_id.message_id,
            scope=scope,
        )
        return await change(command)

    @router.put(_REACTION, summary="React to a message", responses=_changed(409, 413))
    async def add_reaction(message_id: ThatMessage, emoji: EmojiPath, caller: Caller) -> Response:
        """React with an emoji."""
        return await change(_reaction(message_id, emoji, caller.user_id, MessageId(new_id()), removed=False))

    @router.delete(_REACTION, summary="Take a reaction back", responses=_changed(409))
    async def remove_reaction(message_id: ThatMessage, emoji: EmojiPath, caller: Caller) -> Response:
        """Take one's reaction back."""
        return await change(_reaction(message_id, emoji, caller.user_id, MessageId(new_id()), removed=True))

    return router


def _changed(*errors: int) -> Responses:
    return returns(s200=ChangedView, errors=(403, 404, 422, *errors))


def _edit(wish: MessagePatch, place: MessagePlace, actor_id: UserId, change_id: MessageId) -> EditMessage:
    metadata = msgspec.UNSET if wish.metadata is None else encode_metadata(wish.metadata)
    check_content(wish.content, EMPTY_OBJECT if metadata is msgspec.UNSET else metadata, None)
    return EditMessage(
        change_id=change_id,
        conversation_id=place.conversation_id,
        actor_id=actor_id,
        message_id=place.message_id,
        content=wish.content,
        metadata=metadata,
        mentions=None if wish.mentions is None else tuple(UserId(mention) for mention in wish.mentions),
    )


def _reaction(place: MessagePlace, emoji: str, actor_id: UserId, change_id: MessageId, *, removed: bool) -> SetReaction:
    check_emoji(emoji)
    return SetReaction(
        change_id=change_id,
        conversation_id=place.conversation_id,
        actor_id=actor_id,
        message_id=place.message_id,
        emoji=emoji,
        removed=removed,
    )
