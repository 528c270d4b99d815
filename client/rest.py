"""The REST API of the gateway, as far as a chat program needs it besides the socket."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from client.errors import ServerError, Unreachable
from client.wire import Conversation, ErrorBody, HistoryPage

T = TypeVar("T")


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token and until when it is good."""

    token: str
    expires_at: str


class ConversationPage(msgspec.Struct, frozen=True, kw_only=True):
    """Conversations, last activity first."""

    conversations: tuple[Conversation, ...]
    next_cursor: str | None = None


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages of others are unread, in all and by conversation."""

    total: int
    conversations: dict[str, int]


def http_url(socket_url: str) -> str:
    """Give the base address of the REST API that belongs to a socket's address."""
    parts = urlsplit(socket_url)
    return f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}"


class WarrenRest:
    """Calls on behalf of one user. Every call raises ServerError or Unreachable."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    @classmethod
    @asynccontextmanager
    async def open(cls, base_url: str, *, token: str | None = None, timeout_s: float = 10.0) -> AsyncIterator[Self]:
        """Keep connections open for some calls; without a token, `mint_token` is all that works."""
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=timeout_s) as http:
            yield cls(http)

    async def mint_token(self, user_id: str, *, name: str | None = None, device_id: str | None = None) -> Token:
        """Get a token for any user, where the server gives development tokens."""
        wish = {"user_id": user_id, "name": name, "device_id": device_id}
        return await self._call("POST", "/api/auth/token", Token, json=_given(wish))

    async def conversations(self, *, limit: int = 50, cursor: str | None = None) -> ConversationPage:
        """Get a page of the user's conversations, last activity first."""
        return await self._call(
            "GET", "/v1/conversations", ConversationPage, params=_given({"limit": limit, "cursor": cursor})
        )

    async def create_conversation(
        self, kind: str, *, name: str | None = None, member_ids: Sequence[str] = ()
    ) -> Conversation:
        """Make a conversation of the user with others; a direct one may be there already."""
        wish = {"kind": kind, "name": name, "member_ids": list(member_ids)}
        return await self._call("POST", "/v1/conversations", Conversation, json=_given(wish))

    async def messages(
        self, conversation_id: str, *, before: int | None = None, after: int | None = None, limit: int = 50
    ) -> HistoryPage:
        """Get a page of messages in seq order: the newest, just before a seq, or just after one."""
        path = f"/v1/conversations/{conversation_id}/messages"
        bounds = _given({"before": before, "after": after, "limit": limit})
        return await self._call("GET", path, HistoryPage, params=bounds)

    async def unread(self) -> Unread:
        """Count the unread messages."""
        return await self._call("GET", "/v1/unread", Unread)

    async def _call(self, method: str, path: str, answer: type[T], **request: Any) -> T:
        try:
            response = await self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise Unreachable(f"{self._http.base_url} does not answer: {error}") from error
        if response.is_success:
            return msgspec.json.decode(response.content, type=answer)
        try:
            body = msgspec.json.decode(response.content, type=ErrorBody)
        except msgspec.MsgspecError:  # not from Warren: a proxy in between
            body = ErrorBody(code=f"http_{response.status_code}", message=response.reason_phrase)
        raise ServerError.of(body)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
