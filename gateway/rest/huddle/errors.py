"""Errors as the huddle wire's clients read them: `{"detail", "status_code"}`, with Warren's code beside them."""

import msgspec
from fastapi import Response
from starlette.exceptions import HTTPException

from gateway.rest.worded import WordedRoute
from shared.errors import WarrenError
from shared.http import StructResponse, error_headers


class ErrorView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request came to nothing."""

    detail: str
    status_code: int
    code: str | None = None
    retry_after_ms: int | None = None
    details: dict[str, str] = {}


class HuddleRoute(WordedRoute):
    """A route that answers errors in this wire's words."""

    def refused(self, error: WarrenError) -> Response:
        """Answer with an error of ours."""
        return refusal(error)

    def failed(self, error: HTTPException) -> Response:
        """Answer with an error of HTTP."""
        view = ErrorView(detail=str(error.detail), status_code=error.status_code)
        return StructResponse(view, status_code=error.status_code, headers=error.headers)


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
