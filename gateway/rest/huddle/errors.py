"""Errors as the huddle wire's clients read them: `{"detail", "status_code"}`, with Warren's code beside them."""

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from shared.errors import WarrenError
from shared.http import StructResponse, error_headers, invalid_request


class ErrorView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request came to nothing."""

    detail: str
    status_code: int
    code: str | None = None
    retry_after_ms: int | None = None
    details: dict[str, str] = {}


class HuddleRoute(APIRoute):
    """A route that answers errors in this wire's words."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler that FastAPI makes."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except WarrenError as error:
                return refusal(error)
            except RequestValidationError as error:
                return refusal(invalid_request(error))
            except HTTPException as error:
                view = ErrorView(detail=str(error.detail), status_code=error.status_code)
                return StructResponse(view, status_code=error.status_code, headers=error.headers)

        return answer


def refusal(error: WarrenError) -> Response:
    """Answer with an error, and the headers that go with it."""
    status = error.code.http_status
    view = ErrorView(
        detail=error.message,
        status_code=status,
        code=error.code.value,
        retry_after_ms=error.retry_after_ms,
        details=error.details,
    )
    return StructResponse(view, status_code=status, headers=error_headers(error))
