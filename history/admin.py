"""History's own admin routes."""

from fastapi import APIRouter

from history.queries import StoredHistory, view
from history.store import MessageStore
from shared.http import ViewResponse
from shared.ids import ConversationId


def conversations_router(queries: StoredHistory, store: MessageStore) -> APIRouter:
    """Make the routes by which an operator looks at conversations."""
    router = APIRouter(prefix="/admin", tags=["conversations"])

    @router.get("/conversations/{conversation_id}", summary="A conversation: members, watermarks, last message")
    async def conversation(conversation_id: str) -> ViewResponse:
        record = await queries.record(ConversationId(conversation_id))
        marks = await store.watermarks([record.id])
        return ViewResponse(view(record, marks[record.id]))

    return router
