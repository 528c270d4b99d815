"""History's query API for the other services, over HTTP."""

from fastapi import APIRouter

from shared.history_api import HistoryQueries
from shared.history_wire import (
    AskChannels,
    AskConversation,
    AskConversationNamed,
    AskConversationNumbered,
    AskConversations,
    AskFindMessages,
    AskMemberPage,
    AskMembers,
    AskMessagePlace,
    AskMessages,
    AskOpenChannel,
    AskOpenChannels,
    AskPosition,
    AskReceipts,
    AskSync,
    AskUnread,
)
from shared.query_http import serve


def queries_router(queries: HistoryQueries) -> APIRouter:
    """Make the routes that `shared.history_http` asks."""
    router = APIRouter(tags=["internal"])
    _serve_conversations(router, queries)
    _serve_messages(router, queries)
    _serve_members(router, queries)
    _serve_findings(router, queries)
    return router


def _serve_conversations(router: APIRouter, queries: HistoryQueries) -> None:
    async def position(query: AskPosition) -> str:
        return (await queries.position(query.user_id)).token()

    serve(router, AskPosition, position)
    serve(router, AskSync, lambda query: queries.sync(query.query))
    serve(
        router,
        AskConversations,
        lambda query: queries.conversations(query.user_id, limit=query.limit, cursor=query.cursor),
    )
    serve(router, AskConversation, lambda query: queries.conversation(query.user_id, query.conversation_id))
    serve(router, AskUnread, lambda query: queries.unread(query.user_id))
    serve(router, AskChannels, lambda query: queries.channels(query.user_id, query.space_id))


def _serve_messages(router: APIRouter, queries: HistoryQueries) -> None:
    serve(
        router,
        AskMessages,
        lambda query: queries.messages(
            query.user_id, query.conversation_id, before=query.before, after=query.after, limit=query.limit
        ),
    )
    serve(router, AskReceipts, lambda query: queries.receipts(query.user_id, query.conversation_id, query.seq))


def _serve_members(router: APIRouter, queries: HistoryQueries) -> None:
    serve(router, AskMembers, lambda query: queries.members(query.conversation_id))
    serve(
        router,
        AskMemberPage,
        lambda query: queries.member_page(query.user_id, query.conversation_id, limit=query.limit, cursor=query.cursor),
    )


def _serve_findings(router: APIRouter, queries: HistoryQueries) -> None:
    serve(router, AskMessagePlace, lambda query: queries.message_place(query.user_id, query.message))
    serve(router, AskFindMessages, lambda query: queries.find_messages(query.search))
    serve(
        router,
        AskConversationNumbered,
        lambda query: queries.conversation_numbered(query.user_id, query.number),
    )
    serve(router, AskConversationNamed, lambda query: queries.conversation_named(query.user_id, query.name))
    serve(
        router,
        AskOpenChannels,
        lambda query: queries.open_channels(query.user_id, limit=query.limit, cursor=query.cursor),
    )
    serve(router, AskOpenChannel, lambda query: queries.open_channel(query.user_id, query.conversation_id))
