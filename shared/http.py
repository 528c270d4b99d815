"""HTTP as every service speaks it: JSON of structs, errors in one form, bearer tokens."""

import hmac
import math
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response

from shared.clock import rfc3339
from shared.errors import ErrorBody, ErrorCode, Invalid, InvalidField, Unauthenticated, WarrenError

_CODE_OF_STATUS = {
    code.http_status: code for code in reversed(ErrorCode)
}  # the first code of a status is its general one


class StructResponse(Response):
    """A msgspec struct, or anything msgspec encodes, as JSON."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """Encode the body."""
        return msgspec.json.encode(content)


class ViewResponse(StructResponse):
    """A struct for people: its times in milliseconds, as the wire shows them; msgspec would write microseconds."""

    def render(self, content: object) -> bytes:
        """Encode the body."""
        return super().render(_with_times(msgspec.to_builtins(content, builtin_types=(datetime, msgspec.Raw))))


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of an app an ErrorBody with its status.

    What is not foreseen is a 500 that says nothing of its cause; the HTTP server logs the traceback.
    """
    app.add_exception_handler(WarrenError, _answer_warren_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(Exception, _answer_unforeseen)


def error_response(error: WarrenError) -> StructResponse:
    """Answer with an error: its body, its status, and the headers that go with them."""
    return StructResponse(error.body(), status_code=error.code.http_status, headers=error_headers(error))


def error_headers(error: WarrenError) -> dict[str, str]:
    """Give the headers that go with an error, whatever its body looks like."""
    headers: dict[str, str] = {}
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_ms / 1000))
    if error.code.http_status == ErrorCode.UNAUTHENTICATED.http_status:
        headers["WWW-Authenticate"] = "Bearer"  # RFC 6750 §3
    return headers


def invalid_request(error: RequestValidationError) -> Invalid:
    """Tell what is wrong first with a request that a route cannot read."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return Invalid("The body is not JSON.")
    path = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    what = first["msg"].removeprefix("Value error, ").rstrip(".")  # pydantic's word for a validator of ours
    return InvalidField(f"{path}: {what}.", path=path)


def bearer_guard(token: SecretStr) -> Callable[..., Awaitable[None]]:
    """Make a FastAPI dependency that lets only the bearer of `token` pass. Raises: Unauthenticated."""
    expected = token.get_secret_value().encode()
    scheme = HTTPBearer(auto_error=False)

    async def guard(given: Annotated[HTTPAuthorizationCredentials | None, Depends(scheme)]) -> None:
        if given is None or not hmac.compare_digest(given.credentials.encode(), expected):
            raise Unauthenticated("This needs the token of the API, as Authorization: Bearer.")

    return guard


def _with_times(value: object) -> object:
    match value:
        case datetime():
            return rfc3339(value)
        case dict():
            return {key: _with_times(item) for key, item in value.items()}
        case list() | tuple():
            return [_with_times(item) for item in value]
        case _:
            return value


async def _answer_warren_error(_: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, WarrenError)
    return error_response(error)


async def _answer_invalid_request(_: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return error_response(invalid_request(error))


async def _answer_http_exception(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODE_OF_STATUS.get(error.status_code, ErrorCode.INVALID if error.status_code < 500 else ErrorCode.INTERNAL)
    missing = error.status_code == ErrorCode.NOT_FOUND.http_status
    message = f"There is nothing at {connection.url.path}." if missing else f"{error.detail}."
    body = ErrorBody(code=code.value, message=message)
    return StructResponse(body, status_code=error.status_code, headers=error.headers)


async def _answer_unforeseen(_: HTTPConnection, __: Exception) -> Response:
    return error_response(WarrenError("Something went wrong here; it has been noted."))
