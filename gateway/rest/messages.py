"""Messages and receipts over REST, for programs without a socket."""

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Response

from gateway.acks import Acks
from gateway.content import check_content, encode_metadata
from gateway.dialects.base import Accepted
from gateway.ingress import Ingress
from gateway.rest.asking import ask
from gateway.rest.callers import Caller
from gateway.rest.refusals import refusal
from gateway.rest.requests import After, Before, ConversationPath, Limit, MessageWish, ReceiptWish
from gateway.rest.schemas import returns
from gateway.views import AcceptedView, MessagesView, StoredView, accepted_view, messages_view, stored_view
from shared.auth import Identity
from shared.commands import Acknowledge, SendMessage, Stage
from shared.errors import Invalid, WarrenError
from shared.events import Stored
from shared.history_api import HistoryQueries
from shared.http import StructResponse
from shared.ids import ConversationId, MessageId, NewId, UserId

IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=128)]


class ReceiptTaken(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt is on its way."""

    conversation_id: ConversationId
    seq: int
    stage: Stage


def messages_router(*, history: HistoryQueries, ingress: Ingress, new_id: NewId) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1", tags=["messages"])
    path = "/conversations/{conversation_id}/messages"

    @router.get(path, summary="Read messages", responses=returns(s200=MessagesView, errors=(403, 404)))
    async def page(
        conversation_id: ConversationPath,
        caller: Caller,
        before: Before = None,
        after: After = None,
        limit: Limit = 50,
    ) -> Response:
        """Read a page in seq order: the newest, just before a seq, or just after one."""
        if before is not None and after is not None:
            raise Invalid("Give before or after, not both.")
        found = await history.messages(
            caller.user_id, ConversationId(conversation_id), before=before, after=after, limit=limit
        )
        return StructResponse(messages_view(found))

    @router.post(
        path,
        summary="Send a message",
        responses=returns(s200=StoredView, s202=AcceptedView, errors=(403, 404, 413)),
    )
    async def send(
        conversation_id: ConversationPath,
        wish: MessageWish,
        caller: Caller,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Send a message: 200 stored, 202 accepted."""
        client_id = wish.client_id or idempotency_key or new_id()
        command = _message(wish, ConversationId(conversation_id), caller, client_id, MessageId(new_id()))
        match await ask(ingress, command):
            case Stored() as stored:
                return StructResponse(stored_view(stored))
            case Accepted() as accepted:
                return StructResponse(accepted_view(accepted.message_id, accepted.conversation_id), status_code=202)
            case outcome:
                return refusal(outcome)

    return router


def receipts_router(*, acks: Acks) -> APIRouter:
    """Make the route of acknowledgements."""
    router = APIRouter(prefix="/v1", tags=["messages"])

    @router.post(
        "/receipts",
        summary="Acknowledge messages",
        status_code=202,
        responses=returns(s202=ReceiptTaken, errors=(413,)),
    )
    async def acknowledge(wish: ReceiptWish, caller: Caller) -> Response:
        """Say that everything up to `seq` is received or read; for a conversation of others, this is dropped."""
        conversation_id = ConversationId(wish.conversation_id)
        taken: asyncio.Future[WarrenError | None] = asyncio.get_running_loop().create_future()
        ack = Acknowledge(conversation_id=conversation_id, user_id=caller.user_id, stage=wish.stage, seq=wish.seq)
        acks.take(ack, lambda error: None if taken.done() else taken.set_result(error))
        error = await taken
        if error is not None:
            raise error
        receipt = ReceiptTaken(conversation_id=conversation_id, seq=wish.seq, stage=wish.stage)
        return StructResponse(receipt, status_code=202)

    return router


def _message(
    wish: MessageWish, conversation_id: ConversationId, caller: Identity, client_id: str, message_id: MessageId
) -> SendMessage:
    metadata = encode_metadata(wish.metadata)
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
        reply_to=MessageId(wish.reply_to) if wish.reply_to else None,
        mentions=tuple(UserId(mention) for mention in wish.mentions),
    )
