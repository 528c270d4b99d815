"""Ask presence over HTTP: the client side of its query API."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self, TypeVar

import httpx
import msgspec
from pydantic import SecretStr

from shared.errors import Conflict, ErrorBody, Invalid, NotFound, Unavailable, WarrenError
from shared.ids import DeviceId, UserId
from shared.presence_api import Account, Device, Presence, Profile, ProfileChange, ProfilePage
from shared.presence_wire import (
    AskAccount,
    AskDevices,
    AskPresence,
    AskProfileChange,
    AskProfiles,
    AskSearch,
    AskSignOut,
    Query,
)

T = TypeVar("T")
_ANSWERS: dict[str, type[WarrenError]] = {kind.code: kind for kind in (Invalid, NotFound, Conflict)}


class HttpPresence:
    """The `PresenceQueries` of the other services; `open` makes one.

    Every method raises what presence raised; Unavailable where it cannot be reached, or does not answer in time.
    """

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
        """Give the presence of each user asked for."""
        return await self._ask(AskPresence(user_ids=tuple(user_ids)), dict[UserId, Presence])

    async def account(self, user_id: UserId, name: str | None) -> Account:
        """Let a user be known, and tell what counts here."""
        return await self._ask(AskAccount(user_id=user_id, name=name), Account)

    async def profiles(self, user_ids: Sequence[UserId]) -> dict[UserId, Profile]:
        """Give the profiles of those users who have one."""
        return await self._ask(AskProfiles(user_ids=tuple(user_ids)), dict[UserId, Profile])

    async def search(self, text: str, *, limit: int, cursor: str | None) -> ProfilePage:
        """Find users by the beginning of a name."""
        return await self._ask(AskSearch(text=text, limit=limit, cursor=cursor), ProfilePage)

    async def change_profile(self, user_id: UserId, change: ProfileChange) -> Profile:
        """Change a profile."""
        return await self._ask(AskProfileChange(user_id=user_id, change=change), Profile)

    async def devices(self, user_id: UserId) -> tuple[Device, ...]:
        """Give the devices a user has signed in with."""
        return await self._ask(AskDevices(user_id=user_id), tuple[Device, ...])

    async def sign_out(self, user_id: UserId, device_id: DeviceId) -> None:
        """End the sessions of a device, and let its tokens from before count no more."""
        return await self._ask(AskSignOut(user_id=user_id, device_id=device_id), type(None))

    async def _ask(self, query: Query, answer: type[T]) -> T:
        try:
            response = await self._client.post(query.path, content=msgspec.json.encode(query))
            if response.is_success:
                return msgspec.json.decode(response.content, type=answer)
            body = msgspec.json.decode(response.content, type=ErrorBody)
        except (httpx.HTTPError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Unavailable(f"Presence does not answer: {error or type(error).__name__}") from error
        raise _error_of(body)


def _error_of(body: ErrorBody) -> WarrenError:
    """Give the error that a body tells of. What is not an answer to the question, as a wrong token, is an outage."""
    kind = _ANSWERS.get(body.code)
    if kind is None:  # what presence says of its own troubles is not for clients
        return Unavailable("Presence cannot answer now.", retry_after_ms=body.retry_after_ms, code=body.code)
    return kind(body.message, retry_after_ms=body.retry_after_ms, **body.details)
