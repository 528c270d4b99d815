"""History's own admin routes."""

from fastapi import APIRouter

from history.queries import StoredHistory
from history.timeline import Timeline
from shared.history_api import Conversation
from shared.http import ViewResponse
from shared.ids import ConversationId, MessageId
from shared.openapi import answers


def conversations_router(queries: StoredHistory) -> APIRouter:
    """Make the routes by which an operator looks at conversations and messages."""
    router = APIRouter(prefix="/admin", tags=["conversations"])

    @router.get(
        "/conversations/{conversation_id}",
        summary="A conversation: members, watermarks, last message",
        responses=answers(Conversation),
    )
    async def conversation(conversation_id: str) -> ViewResponse:
        return ViewResponse(await queries.overview(ConversationId(conversation_id)))

    @router.get(
        "/messages/{message_id}/timeline",
        summary="What became of a message: when, with whom, through what",
        responses=answers(Timeline),
    )
    async def timeline(message_id: str) -> ViewResponse:
        return ViewResponse(await queries.timeline(MessageId(message_id)))

    return router
