"""One service asks another over HTTP: a query is a struct, posted to a path of its own, at either end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import ClassVar, Self, TypeVar, cast

import httpx
import msgspec
from fastapi import APIRouter, Request
from pydantic import SecretStr

from shared.errors import ErrorBody, InvalidField, Unavailable, WarrenError
from shared.http import StructResponse
from shared.openapi import takes


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the queries; `path` says where each is asked."""

    path: ClassVar[str]


T = TypeVar("T")
Q = TypeVar("Q", bound=Query)


def serve(router: APIRouter, kind: type[Q], ask: Callable[[Q], Awaitable[object]]) -> None:
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


class HttpQueries:
    """Asks a service; `open` makes one.

    What `errors` lists, by its code, is the answer to a question and is raised as the service raised it. All else is
    Unavailable: that it cannot be reached, does not answer in time, or does not take our token.
    """

    asked: ClassVar[str]  # the service's name, as a sentence begins
    errors: ClassVar[tuple[type[WarrenError], ...]]

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: SecretStr, timeout_s: float) -> AsyncIterator[Self]:
        """Make a client with its pool of connections; it connects when it is first asked."""
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout_s) as client:
            yield cls(client)

    async def _ask(self, query: Query, answer: type[T]) -> T:
        try:
            response = await self._client.post(query.path, content=msgspec.json.encode(query))
            if response.is_success:
                return msgspec.json.decode(response.content, type=answer)
            body = msgspec.json.decode(response.content, type=ErrorBody)
        except (httpx.HTTPError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Unavailable(f"{self.asked} does not answer: {str(error) or type(error).__name__}") from error
        raise self._error(body)

    async def _find(self, query: Query, answer: type[T]) -> T | None:
        """Ask for what there may be none of: then the answer is null."""
        return await self._ask(query, cast("type[T | None]", answer | None))

    def _error(self, body: ErrorBody) -> WarrenError:
        for kind in self.errors:
            if kind.code == body.code:
                return kind(body.message, retry_after_ms=body.retry_after_ms, **body.details)
        # what a service says of its own troubles is not for clients
        return Unavailable(f"{self.asked} cannot answer now.", retry_after_ms=body.retry_after_ms, code=body.code)
