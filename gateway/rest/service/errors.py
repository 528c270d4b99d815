"""Errors as the service wire's clients read them: `{"success": false, "message", "code"}`."""

from fastapi import Response
from starlette.exceptions import HTTPException

from gateway.dialects.service_views import failure
from gateway.rest.worded import WordedRoute
from shared.errors import ErrorBody, ErrorCode, WarrenError
from shared.http import StructResponse, error_headers

_TOO_LARGE = ErrorCode.TOO_LARGE


class ServiceRoute(WordedRoute):
    """A route that answers errors in this wire's words."""

    def refused(self, error: WarrenError) -> Response:
        """Answer with an error of ours."""
        status = error.code.http_status
        return StructResponse(failure(error.body()), status_code=status, headers=error_headers(error))

    def failed(self, error: HTTPException) -> Response:
        """Answer with an error of HTTP: the body is too long, or no text."""
        code = _TOO_LARGE if error.status_code == _TOO_LARGE.http_status else ErrorCode.INVALID
        body = ErrorBody(code=code.value, message=str(error.detail))
        return StructResponse(failure(body), status_code=error.status_code, headers=error.headers)
