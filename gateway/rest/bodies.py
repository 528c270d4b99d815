"""Refuse a body that is too long: before it is read where it says its length, else as soon as it is."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import ErrorCode


class BodyLimit:
    """ASGI middleware, inside the app's error handlers."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; what reads too long a body answers 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read, announced = 0, _announced(scope)

        async def counted() -> Message:
            nonlocal read
            if announced <= self._max_bytes:
                message = await receive()
                read += len(message.get("body", b""))
                if read <= self._max_bytes:
                    return message
            # Raised where the route reads the body, so that it is answered in the words of the route's wire.
            raise HTTPException(ErrorCode.TOO_LARGE.http_status, "The body is too long")

        await self._app(scope, counted, send)


def _announced(scope: Scope) -> int:
    length = dict(scope["headers"]).get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0
