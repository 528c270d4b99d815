"""Ask presence over HTTP: the client side of its query API."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

import httpx
import msgspec
from pydantic import SecretStr

from shared.errors import Unavailable
from shared.ids import UserId
from shared.presence_api import Presence, PresenceQuery

_ANSWER = msgspec.json.Decoder(dict[UserId, Presence])


class HttpPresence:
    """The `PresenceQueries` of the other services; `open` makes one."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: SecretStr, timeout_s: float) -> AsyncIterator[Self]:
        """Make a client with its pool of connections; connects when it is first asked."""
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout_s) as client:
            yield cls(client)

    async def presence_of(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        """Give the presence of each user asked for. Raises: Unavailable."""
        query = msgspec.json.encode(PresenceQuery(user_ids=tuple(user_ids)))
        try:
            answer = await self._client.post("/internal/presence", content=query)
            answer.raise_for_status()
            return _ANSWER.decode(answer.content)
        except (httpx.HTTPError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Unavailable(f"Presence does not answer: {error or type(error).__name__}") from error
