"""History's query API for the other services, over HTTP."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from fastapi import APIRouter, Request

from shared.errors import InvalidField
from shared.history_api import HistoryQueries
from shared.history_wire import (
    AskChannels,
    AskConversation,
    AskConversationNumbered,
    AskConversations,
    AskMemberPage,
    AskMembers,
    AskMessagePlace,
    AskMessages,
    AskPosition,
    AskReceipts,
    AskSync,
    AskUnread,
    Query,
)
from shared.http import StructResponse
from shared.openapi import takes

Q = TypeVar("Q", bound=Query)


def queries_router(queries: HistoryQueries) -> APIRouter:
    """Make the routes that `shared.history_http` asks."""
    router = APIRouter(tags=["internal"])
    _serve_conversations(router, queries)
    _serve_messages(router, queries)
    _serve_members(router, queries)
    return router


def _serve_conversations(router: APIRouter, queries: HistoryQueries) -> None:
    async def position(query: AskPosition) -> str:
        return (await queries.position(query.user_id)).token()

    _serve(router, AskPosition, position)
    _serve(router, AskSync, lambda query: queries.sync(query.query))
    _serve(
        router,
        AskConversations,
        lambda query: queries.conversations(query.user_id, limit=query.limit, cursor=query.cursor),
    )
    _serve(router, AskConversation, lambda query: queries.conversation(query.user_id, query.conversation_id))
    _serve(router, AskUnread, lambda query: queries.unread(query.user_id))
    _serve(router, AskChannels, lambda query: queries.channels(query.user_id, query.space_id))
    _serve(
        router,
        AskConversationNumbered,
        lambda query: queries.conversation_numbered(query.user_id, query.number),
    )


def _serve_messages(router: APIRouter, queries: HistoryQueries) -> None:
    _serve(
        router,
        AskMessages,
        lambda query: queries.messages(
            query.user_id, query.conversation_id, before=query.before, after=query.after, limit=query.limit
        ),
    )
    _serve(router, AskReceipts, lambda query: queries.receipts(query.user_id, query.conversation_id, query.seq))
    _serve(router, AskMessagePlace, lambda query: queries.message_place(query.user_id, query.message))


def _serve_members(router: APIRouter, queries: HistoryQueries) -> None:
    _serve(router, AskMembers, lambda query: queries.members(query.conversation_id))
    _serve(
        router,
        AskMemberPage,
        lambda query: queries.member_page(query.user_id, query.conversation_id, limit=query.limit, cursor=query.cursor),
    )


def _serve(router: APIRouter, kind: type[Q], ask: Callable[[Q], Awaitable[object]]) -> None:
    """Answer one kind of query at its path."""
    decoder = msgspec.json.Decoder(kind)

    summary = (kind.__doc__ or "").partition("\n")[0]

    @router.post(kind.path, name=kind.__name__, summary=summary, openapi_extra=takes(kind))
    async def answer(request: Request) -> StructResponse:
        try:
            query = decoder.decode(await request.body())
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidField(f"{error}.", path="body") from error
        return StructResponse(await ask(query))
