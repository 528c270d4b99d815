"""Presence's query API for the other services, over HTTP."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from fastapi import APIRouter, Request

from shared.errors import InvalidField
from shared.http import StructResponse
from shared.openapi import takes
from shared.presence_api import PresenceQueries
from shared.presence_wire import (
    AskAccount,
    AskDevices,
    AskPresence,
    AskProfileChange,
    AskProfiles,
    AskSearch,
    AskSignOut,
    Query,
)

Q = TypeVar("Q", bound=Query)


def query_router(queries: PresenceQueries) -> APIRouter:
    """Make the routes that `shared.presence_http` asks."""
    router = APIRouter(tags=["internal"])
    _serve(router, AskPresence, lambda query: queries.presence_of(query.user_ids))
    _serve(router, AskAccount, lambda query: queries.account(query.user_id, query.name))
    _serve(router, AskProfiles, lambda query: queries.profiles(query.user_ids))
    _serve(router, AskSearch, lambda query: queries.search(query.text, limit=query.limit, cursor=query.cursor))
    _serve(router, AskProfileChange, lambda query: queries.change_profile(query.user_id, query.change))
    _serve(router, AskDevices, lambda query: queries.devices(query.user_id))
    _serve(router, AskSignOut, lambda query: queries.sign_out(query.user_id, query.device_id))
    return router


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
