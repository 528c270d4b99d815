"""History's own admin routes."""

from typing import TypeVar

from fastapi import APIRouter

from history.queries import StoredHistory
from history.timeline import Timeline
from shared.history_api import Conversation
from shared.http import ViewResponse
from shared.ids import ConversationId, MessageId, is_number
from shared.openapi import answers

IdT = TypeVar("IdT", ConversationId, MessageId)


def conversations_router(queries: StoredHistory) -> APIRouter:
    """Make the routes by which an operator looks at conversations and messages, named by their ids or numbers."""
    router = APIRouter(prefix="/admin", tags=["conversations"])

    @router.get(
        "/conversations/{conversation_id}",
        summary="A conversation: members, watermarks, last message",
        responses=answers(Conversation),
    )
    async def conversation(conversation_id: str) -> ViewResponse:
        return ViewResponse(await queries.overview(_name(ConversationId(conversation_id))))

    @router.get(
        "/messages/{message_id}/timeline",
        summary="What became of a message: when, with whom, through what",
        responses=answers(Timeline),
    )
    async def timeline(message_id: str) -> ViewResponse:
        return ViewResponse(await queries.timeline(_name(MessageId(message_id))))

    return router


def _name(name: IdT) -> IdT | int:
    return int(name) if is_number(name) else name
