"""The REST API of the gateway, call by call."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from client.directory import (
    Devices,
    KnownDevice,
    MemberPage,
    MessageReceipt,
    PresenceOf,
    Receipts,
    User,
    UserPage,
)
from client.errors import ServerError, Unreachable
from client.events import PresenceChanged
from client.wire import Changed, Conversation, ErrorBody, HistoryPage, SendReply, SyncAnswer, given

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
    """Calls on behalf of one user. Every call raises ServerError or Unreachable.

    Where a conversation or a message is named, its number will do, as a string.
    """

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
        return await self._call("POST", "/api/auth/token", Token, json=given(wish))

    # --- conversations

    async def conversations(self, *, limit: int = 50, cursor: str | None = None) -> ConversationPage:
        """Get a page of the user's conversations, last activity first."""
        page = given({"limit": limit, "cursor": cursor})
        return await self._call("GET", "/v1/conversations", ConversationPage, params=page)

    async def conversation(self, conversation_id: str) -> Conversation:
        """Get one conversation."""
        return await self._call("GET", _room(conversation_id), Conversation)

    async def create_conversation(
        self,
        kind: str,
        *,
        name: str | None = None,
        member_ids: Sequence[str] = (),
        parent_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        history: str | None = None,
        join: str | None = None,
    ) -> Conversation:
        """Make a conversation of the user with others; a direct one may be there already."""
        rules = {"parent_id": parent_id, "metadata": metadata, "history": history, "join": join}
        wish = {"kind": kind, "name": name, "member_ids": list(member_ids), **rules}
        return await self._call("POST", "/v1/conversations", Conversation, json=given(wish))

    async def change_conversation(
        self,
        conversation_id: str,
        *,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        history: str | None = None,
        join: str | None = None,
    ) -> Conversation:
        """Change what is given."""
        wish = {"name": name, "metadata": metadata, "history": history, "join": join}
        return await self._call("PATCH", _room(conversation_id), Conversation, json=given(wish))

    async def channels(self, space_id: str) -> tuple[Conversation, ...]:
        """Get the channels of a space that the user is in or may join."""
        return (await self._call("GET", _room(space_id, "channels"), ConversationPage)).conversations

    # --- members

    async def members(self, conversation_id: str, *, limit: int = 50, cursor: str | None = None) -> MemberPage:
        """Get a page of the members, by user id."""
        page = given({"limit": limit, "cursor": cursor})
        return await self._call("GET", _room(conversation_id, "members"), MemberPage, params=page)

    async def add_members(
        self, conversation_id: str, user_ids: Sequence[str], *, role: str | None = None
    ) -> Conversation:
        """Add members, at most 500, or change their role."""
        wish = given({"user_ids": list(user_ids), "role": role})
        return await self._call("POST", _room(conversation_id, "members"), Conversation, json=wish)

    async def set_member(self, conversation_id: str, user_id: str, *, role: str | None = None) -> Conversation:
        """Add a member, join oneself, or change a role."""
        path = _room(conversation_id, "members", user_id)
        return await self._call("PUT", path, Conversation, json=given({"role": role}))

    async def remove_member(self, conversation_id: str, user_id: str) -> None:
        """Remove a member, or leave."""
        await self._request("DELETE", _room(conversation_id, "members", user_id))

    # --- messages

    async def messages(
        self, conversation_id: str, *, before: int | None = None, after: int | None = None, limit: int = 50
    ) -> HistoryPage:
        """Get a page of messages in seq order: the newest, just before a seq, or just after one."""
        bounds = given({"before": before, "after": after, "limit": limit})
        return await self._call("GET", _room(conversation_id, "messages"), HistoryPage, params=bounds)

    async def send(
        self,
        conversation_id: str,
        content: str = "",
        *,
        client_id: str | None = None,
        type: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        reply_to: str | None = None,
        mentions: Sequence[str] | None = None,
    ) -> SendReply:
        """Send a message; sent again with the same `client_id` it is stored once."""
        fields = {"client_id": client_id, "type": type, "metadata": metadata, "reply_to": reply_to}
        wish = given({"content": content, "mentions": mentions, **fields})
        return await self._call("POST", _room(conversation_id, "messages"), SendReply, json=wish)

    async def receipts(self, conversation_id: str, seq: int) -> tuple[MessageReceipt, ...]:
        """Tell of each other member whether they have received and read a message."""
        path = _room(conversation_id, "receipts")
        return (await self._call("GET", path, Receipts, params={"seq": seq})).receipts

    async def acknowledge(self, conversation_id: str, seq: int, stage: str) -> None:
        """Say that everything up to `seq` is `delivered` or `read`."""
        wish = {"conversation_id": conversation_id, "seq": seq, "stage": stage}
        await self._request("POST", "/v1/receipts", json=wish)

    async def edit(
        self,
        message_id: str,
        content: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        mentions: Sequence[str] | None = None,
    ) -> Changed:
        """Give one of the user's messages another content."""
        wish = given({"content": content, "metadata": metadata, "mentions": mentions})
        return await self._call("PATCH", _message(message_id), Changed, json=wish)

    async def delete(self, message_id: str, *, scope: str = "everyone") -> Changed:
        """Delete a message for `everyone`, or from the user's own sight: `me`."""
        return await self._call("DELETE", _message(message_id), Changed, params={"scope": scope})

    async def react(self, message_id: str, emoji: str, *, remove: bool = False) -> Changed:
        """React to a message, or take that back."""
        method = "DELETE" if remove else "PUT"
        return await self._call(method, _message(message_id, "reactions", emoji), Changed)

    async def unread(self) -> Unread:
        """Count the unread messages."""
        return await self._call("GET", "/v1/unread", Unread)

    async def sync(self, since: str | None = None) -> SyncAnswer:
        """Get what changed since a position, the newest of everything without one."""
        return await self._call("GET", "/v1/sync", SyncAnswer, params=given({"since": since}))

    # --- users and devices

    async def users(self, text: str, *, limit: int = 50, cursor: str | None = None) -> UserPage:
        """Find users whose id, name, a word of it, or username begins with a text."""
        wish = given({"q": text, "limit": limit, "cursor": cursor})
        return await self._call("GET", "/v1/users", UserPage, params=wish)

    async def user(self, user_id: str) -> User:
        """Get a user's profile."""
        return await self._call("GET", _path("users", user_id), User)

    async def change_user(self, user_id: str, change: Mapping[str, str | None]) -> User:
        """Change the user's own profile: what is not named stays, None takes away."""
        return await self._call("PATCH", _path("users", user_id), User, json=dict(change))

    async def presence(self, user_ids: Iterable[str]) -> tuple[PresenceChanged, ...]:
        """Get the presence of users, at most 500."""
        wish = {"users": ",".join(user_ids)}
        return (await self._call("GET", "/v1/presence", PresenceOf, params=wish)).presence

    async def devices(self) -> tuple[KnownDevice, ...]:
        """Get the devices that the user has signed in with, last seen first."""
        return (await self._call("GET", "/v1/devices", Devices)).devices

    async def sign_out(self, device_id: str) -> None:
        """End a device's sessions; its tokens from before count no more."""
        await self._request("DELETE", _path("devices", device_id))

    # --- the call

    async def _call(self, method: str, path: str, answer: type[T], **request: Any) -> T:
        content = await self._request(method, path, **request)
        try:
            return msgspec.json.decode(content, type=answer)
        except msgspec.MsgspecError as error:  # not from Warren: a proxy in between
            raise ServerError("unreadable", f"The answer cannot be read: {error}") from error

    async def _request(self, method: str, path: str, **request: Any) -> bytes:
        try:
            response = await self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise Unreachable(f"{self._http.base_url} does not answer: {error}") from error
        if response.is_success:
            return response.content
        try:
            body = msgspec.json.decode(response.content, type=ErrorBody)
        except msgspec.MsgspecError:  # not from Warren: a proxy in between
            body = ErrorBody(code=f"http_{response.status_code}", message=response.reason_phrase)
        raise ServerError.of(body)


def _path(*parts: str) -> str:
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def _room(conversation_id: str, *parts: str) -> str:
    return _path("conversations", conversation_id, *parts)


def _message(message_id: str, *parts: str) -> str:
    return _path("messages", message_id, *parts)
