"""Presence's query API for the other services, over HTTP."""

from fastapi import APIRouter

from shared.presence_api import PresenceQueries
from shared.presence_wire import (
    AskAccount,
    AskDevices,
    AskKeepPositions,
    AskLogin,
    AskLoginOf,
    AskOnline,
    AskPosition,
    AskPresence,
    AskProfileChange,
    AskProfiles,
    AskRegister,
    AskSearch,
    AskSignOut,
)
from shared.query_http import serve


def query_router(queries: PresenceQueries) -> APIRouter:
    """Make the routes that `shared.presence_http` asks."""
    router = APIRouter(tags=["internal"])
    serve(router, AskPresence, lambda query: queries.presence_of(query.user_ids))
    serve(router, AskAccount, lambda query: queries.account(query.user_id, query.name))
    serve(router, AskProfiles, lambda query: queries.profiles(query.user_ids))
    serve(router, AskSearch, lambda query: queries.search(query.text, limit=query.limit, cursor=query.cursor))
    serve(router, AskProfileChange, lambda query: queries.change_profile(query.user_id, query.change))
    serve(router, AskDevices, lambda query: queries.devices(query.user_id))
    serve(router, AskSignOut, lambda query: queries.sign_out(query.user_id, query.device_id, known=query.known))
    serve(router, AskOnline, lambda query: queries.online(limit=query.limit))
    serve(router, AskPosition, lambda query: queries.position(query.user_id, query.device_id))
    serve(router, AskKeepPositions, lambda query: queries.keep_positions(query.positions))
    serve(router, AskRegister, lambda query: queries.register(query.registration))
    serve(router, AskLogin, lambda query: queries.login(query.name))
    serve(router, AskLoginOf, lambda query: queries.login_of(query.user_id))
    return router
