"""Receipts over REST: acknowledge, and see who has received and read."""

import asyncio

import msgspec
from fastapi import APIRouter, Response

from gateway.acks import Acks
from gateway.directory import Directory
from gateway.rest.callers import Caller
from gateway.rest.fields import Seq
from gateway.rest.places import ThatConversation
from gateway.rest.requests import ReceiptWish
from gateway.rest.schemas import returns
from gateway.rest.times import moment
from shared.commands import Acknowledge, Stage
from shared.errors import WarrenError
from shared.history_api import HistoryQueries, Receipt
from shared.http import StructResponse
from shared.ids import ConversationId, UserId


class ReceiptTaken(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt is on its way."""

    conversation_id: ConversationId
    seq: int
    stage: Stage


class ReaderView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one member has received and read a message, and when; a time too long ago to be known is null."""

    user_id: UserId
    delivered: bool
    delivered_at: str | None
    read: bool
    read_at: str | None


class ReadersView(msgspec.Struct, frozen=True, kw_only=True):
    """How far a message came with each other member, by user id; at most 500 of them."""

    receipts: list[ReaderView]


def receipts_router(*, history: HistoryQueries, directory: Directory, acks: Acks) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1", tags=["receipts"])

    @router.post(
        "/receipts",
        summary="Acknowledge messages",
        status_code=202,
        responses=returns(s202=ReceiptTaken, errors=(400, 404, 413, 422)),
    )
    async def acknowledge(wish: ReceiptWish, caller: Caller) -> Response:
        """Say that everything up to `seq` is received or read; for a conversation of others, this is dropped."""
        conversation_id = await directory.conversation(caller.user_id, wish.conversation_id)
        taken: asyncio.Future[WarrenError | None] = asyncio.get_running_loop().create_future()
        ack = Acknowledge(conversation_id=conversation_id, user_id=caller.user_id, stage=wish.stage, seq=wish.seq)
        acks.take(ack, lambda error: None if taken.done() else taken.set_result(error))
        error = await taken
        if error is not None:
            raise error
        receipt = ReceiptTaken(conversation_id=conversation_id, seq=wish.seq, stage=wish.stage)
        return StructResponse(receipt, status_code=202)

    @router.get(
        "/conversations/{conversation_id}/receipts",
        summary="Tell who has received and read a message",
        responses=returns(s200=ReadersView, errors=(403, 404, 422)),
    )
    async def list_receipts(conversation_id: ThatConversation, seq: Seq, caller: Caller) -> Response:
        """Tell of each other member whether they have received and read a message; of at most 500 members."""
        receipts = await history.receipts(caller.user_id, conversation_id, seq)
        return StructResponse(ReadersView(receipts=[_view(receipt) for receipt in receipts]))

    return router


def _view(receipt: Receipt) -> ReaderView:
    return ReaderView(
        user_id=receipt.user_id,
        delivered=receipt.delivered,
        delivered_at=moment(receipt.delivered_at),
        read=receipt.read,
        read_at=moment(receipt.read_at),
    )
