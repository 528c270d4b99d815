"""Messages over REST, for programs without a socket: read, send."""

from fastapi import APIRouter, Response

from gateway.asking import ask
from gateway.content import check_content, check_type, encode_metadata
from gateway.dialects.base import Accepted
from gateway.directory import Directory
from gateway.ingress import Ingress
from gateway.rest.callers import Caller
from gateway.rest.fields import After, Before, IdempotencyKey, Limit
from gateway.rest.places import ThatConversation, message_id_of
from gateway.rest.refusals import refusal
from gateway.rest.requests import MessageWish
from gateway.rest.schemas import returns
from gateway.views import AcceptedView, MessagesView, StoredView, accepted_view, messages_view, stored_view
from shared.auth import Identity
from shared.commands import SendMessage
from shared.errors import Invalid
from shared.events import Stored
from shared.history_api import HistoryQueries
from shared.http import StructResponse
from shared.ids import ConversationId, MessageId, NewId, UserId

_PATH = "/conversations/{conversation_id}/messages"


def messages_router(*, history: HistoryQueries, directory: Directory, ingress: Ingress, new_id: NewId) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1", tags=["messages"])

    @router.get(_PATH, summary="Read messages", responses=returns(s200=MessagesView, errors=(400, 403, 404, 422)))
    async def read_messages(
        conversation_id: ThatConversation,
        caller: Caller,
        before: Before = None,
        after: After = None,
        limit: Limit = 50,
    ) -> Response:
        """Read a page in seq order: the newest, just before a seq, or just after one."""
        if before is not None and after is not None:
            raise Invalid("Give before or after, not both.")
        found = await history.messages(caller.user_id, conversation_id, before=before, after=after, limit=limit)
        return StructResponse(messages_view(found))

    @router.post(
        _PATH,
        summary="Send a message",
        responses=returns(s200=StoredView, s202=AcceptedView, errors=(400, 403, 404, 413, 422)),
    )
    async def send_message(
        conversation_id: ThatConversation,
        wish: MessageWish,
        caller: Caller,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Send a message: 200 stored, 202 accepted."""
        client_id = wish.client_id or idempotency_key or new_id()
        reply_to = await message_id_of(directory, caller.user_id, wish.reply_to) if wish.reply_to else None
        command = _message(wish, conversation_id, caller, client_id, MessageId(new_id()), reply_to)
        match await ask(ingress, command):
            case Stored() as stored:
                return StructResponse(stored_view(stored))
            case Accepted() as accepted:
                return StructResponse(accepted_view(accepted.message_id, accepted.conversation_id), status_code=202)
            case outcome:
                return refusal(outcome)

    return router


def _message(
    wish: MessageWish,
    conversation_id: ConversationId,
    caller: Identity,
    client_id: str,
    message_id: MessageId,
    reply_to: MessageId | None,
) -> SendMessage:
    metadata = encode_metadata(wish.metadata)
    check_type(wish.type)
    check_content(wish.content, metadata, wish.attachments)
    return SendMessage(
        message_id=message_id,
        conversation_id=conversation_id,
        sender_id=caller.user_id,
        sender_name=caller.name,
        client_id=client_id,
        type=wish.type,
        content=wish.content,
        metadata=metadata,
        reply_to=reply_to,
        mentions=tuple(UserId(mention) for mention in wish.mentions),
    )
