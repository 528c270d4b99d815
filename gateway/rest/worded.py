"""Routes that answer errors in the words of their wire."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from shared.errors import WarrenError
from shared.http import invalid_request


class WordedRoute(APIRoute):
    """A route of one wire; `refused` and `failed` are that wire's."""

    def refused(self, error: WarrenError) -> Response:
        """Answer with an error, and the headers that go with it."""
        raise NotImplementedError

    def failed(self, error: HTTPException) -> Response:
        """Answer with an error of HTTP itself."""
        raise NotImplementedError

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler that FastAPI makes."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except WarrenError as error:
                return self.refused(error)
            except RequestValidationError as error:
                return self.refused(invalid_request(error))
            except HTTPException as error:
                return self.failed(error)

        return answer
