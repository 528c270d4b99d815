"""Server-sent events: what the socket pushes, for clients that only listen."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from starlette.types import Receive, Scope, Send

from gateway.dialects.base import Dialect, Frame, Hello
from gateway.dialects.sse import KINDS, AllEvents, Events, NativeEvents, told_by_name
from gateway.disconnects import Disconnect
from gateway.door import Door
from gateway.requests import Beginning, Services
from gateway.rest.callers import Bearer, Callers
from gateway.rest.event_stream import EventStream
from gateway.rest.schemas import Responses, returns
from gateway.transport import address_of
from shared.auth import Identity
from shared.errors import Invalid, RateLimited, Unauthenticated, Unavailable
from shared.ids import NewId, UserId
from shared.position import Position

_RETRY_MS = 1000
_EVENTS: Responses = {
    200: {
        "description": "The frames that the socket pushes, each the JSON `data` of an event without a name, beginning "
        "with `welcome`; and the envelope wire's `chat`, `userStatus`, `notification`, `typing` and `receipt` by name.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}

Token = Annotated[str | None, Query(description="where the client cannot send the Authorization header")]
Since = Annotated[str | None, Query(description="the position to resume from: an event's id, or a sync's `since`")]
Which = Annotated[Events, Query(description="those without a name, those of the envelope wire by name, or both")]
AccessToken = Annotated[str | None, Header(alias="x-access-token", description="likewise")]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", description="likewise; wins over `since`")]


class _Stream(Response):
    """An answer that is written by whoever serves it."""

    def __init__(self, serve: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        super().__init__()
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._serve(scope, receive, send)


def sse_router(*, door: Door, callers: Callers, services: Services, new_id: NewId, named: bool) -> APIRouter:
    """Make the route; `named`: the envelope wire is served, whose events have names."""
    router = APIRouter(tags=["events"])
    listeners = _Listeners(door, services, new_id)

    @router.get("/sse", summary="Listen to events", responses=returns() | _EVENTS)
    async def listen(
        credentials: Bearer,
        token: Token = None,
        access_token: AccessToken = None,
        since: Since = None,
        last_event_id: LastEventId = None,
        events: Which = Events.ALL,
    ) -> Response:
        """Push what the socket would, as server-sent events; an event's id resumes behind it."""
        bearer = None if credentials is None else credentials.credentials
        identity = await callers.identify(_first(token, bearer, access_token))
        kind = _kind(events, named=named)

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await listeners.serve(identity, last_event_id or since or None, kind, scope, receive, send)

        return _Stream(serve)

    return router


class _Listeners:
    """Serves sessions that only listen."""

    def __init__(self, door: Door, services: Services, new_id: NewId) -> None:
        self._door = door
        self._services = services
        self._new_id = new_id

    async def serve(
        self,
        identity: Identity,
        since: str | None,
        kind: type[NativeEvents],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Serve one. Raises: Unavailable, RateLimited, SignedOut, before anything is answered."""
        address = address_of(scope)
        with self._door.connected(address) as crowded:
            _check(crowded or self._door.closed_to(identity.user_id))
            dialect = self._dialect(kind, since)
            position, preface = await self._position(identity.user_id, since, dialect)
            await self._services.accounts.admit(identity, None)  # the device may have been signed out meanwhile
            # Others may have come meanwhile; nothing is awaited from here to `serve`.
            _check(self._door.closed_to(identity.user_id))
            stream = EventStream(receive, send, clock=self._services.clock, preface=preface)
            session = self._door.session(
                identity, Hello(), Beginning(position), dialect=dialect, address=address, transport=stream
            )
            dialect.position = lambda: session.feed.position
            stream.shorten = partial(self._services.catch_ups.request, session.feed)
            if since is not None:
                self._services.catch_ups.request(session.feed)
            async with asyncio.TaskGroup() as tasks:
                commenting = tasks.create_task(stream.comment(), name="sse.comment")
                await self._door.serve(session)
                commenting.cancel()

    async def _position(self, user_id: UserId, since: str | None, dialect: Dialect) -> tuple[Position, Sequence[Frame]]:
        """Decide from where the events go on: with a position that is none from now, and the client must be told."""
        if since is None:
            return await self._door.position(user_id), ()
        try:
            return Position.from_token(since), ()
        except Invalid as error:
            return await self._door.position(user_id), dialect.refuse(error.body(), reply_to=None)

    def _dialect(self, kind: type[NativeEvents], since: str | None) -> NativeEvents:
        max_frame_bytes = self._services.settings.max_frame_bytes
        dialect = kind(new_id=self._new_id, now=self._services.clock.now, max_frame_bytes=max_frame_bytes)
        if isinstance(dialect, AllEvents):
            dialect.told = told_by_name(since)
        return dialect


def _first(*tokens: str | None) -> str:
    for token in tokens:
        if token is not None:
            return token
    raise Unauthenticated("A token is needed: ?token= or Authorization: Bearer.")


def _kind(events: Events, *, named: bool) -> type[NativeEvents]:
    """Choose the dialect. Raises: Invalid, where the events that are wanted are not served."""
    if events is Events.ENVELOPE and not named:
        raise Invalid("The envelope wire is not served here.")
    return KINDS[events if named else Events.NATIVE]


def _check(closed: Disconnect | None) -> None:
    """Refuse where the door is closed, in HTTP's words. Raises: RateLimited, Unavailable."""
    if closed is Disconnect.CROWDED:
        raise RateLimited(closed.reason, retry_after_ms=_RETRY_MS)
    if closed is not None:
        raise Unavailable(closed.reason, retry_after_ms=_RETRY_MS)
