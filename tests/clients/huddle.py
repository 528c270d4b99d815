"""The huddle wire's published web client, line by line: its socket service, its stores, its calls of the REST API."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlencode

Json = dict[str, Any]
Call = Callable[[str, str, Json | None], Awaitable[Any]]

TYPING_TIMEOUT_S = 3.0
PAGE = 50

USER_KEYS = {"id", "username", "full_name", "avatar_url", "is_online"}
MESSAGE_KEYS = {
    *("id", "content", "is_edited", "is_deleted", "author_id", "channel_id", "parent_id", "attachment_url"),
    *("attachment_type", "attachment_name", "attachment_size", "created_at", "updated_at", "author", "replies"),
}


class Socket(Protocol):
    """A client's end of a WebSocket."""

    def send_text(self, text: str) -> None:
        """Send a frame."""
        ...

    def taken(self) -> list[Json]:
        """Take the frames that have come."""
        ...

    def hang_up(self) -> None:
        """Go away."""
        ...


def _date(text: str) -> datetime:
    """JavaScript's `new Date(text)`, which must not be invalid."""
    assert isinstance(text, str)
    return datetime.fromisoformat(text)


def check_message(message: Json) -> Json:
    """Hold a message to the type `Message`, whose ids are numbers."""
    assert message.keys() >= MESSAGE_KEYS, MESSAGE_KEYS - message.keys()
    assert message["author"].keys() >= USER_KEYS, USER_KEYS - message["author"].keys()
    for key in ("id", "channel_id"):
        assert type(message[key]) is int, (key, message[key])
    assert message["parent_id"] is None or type(message["parent_id"]) is int
    assert type(message["is_edited"]) is type(message["is_deleted"]) is bool
    assert message["author"]["id"] == message["author_id"]
    _date(message["created_at"])
    _date(message["updated_at"])
    return message


@dataclass
class Store:
    """Its Redux slices: messages of the channel that is shown, who types, who is online."""

    channel_id: int | None = None
    messages: list[Json] = field(default_factory=list)
    has_more: bool = True
    typing: dict[tuple[Any, int], tuple[str, float]] = field(default_factory=dict)  # (user, channel) → name, since
    online: dict[Any, int | None] = field(default_factory=dict)  # user → the channel they look at

    def show(self, channel_id: int) -> None:
        self.channel_id, self.messages, self.has_more = channel_id, [], True

    def add_message(self, message: Json) -> None:
        if message["channel_id"] == self.channel_id and all(each["id"] != message["id"] for each in self.messages):
            self.messages.append(message)
            self.sort()

    def update_message(self, message: Json) -> None:
        self.messages = [message if each["id"] == message["id"] else each for each in self.messages]

    def remove_message(self, message_id: int) -> None:
        self.messages = [each for each in self.messages if each["id"] != message_id]

    def sort(self) -> None:
        self.messages.sort(key=lambda each: _date(each["created_at"]))

    def typists(self, now: float) -> list[str]:
        """Name those who type: an indicator is cleared after three seconds."""
        self.typing = {key: (name, at) for key, (name, at) in self.typing.items() if now - at < TYPING_TIMEOUT_S}
        return sorted(name for (_, channel), (name, _) in self.typing.items() if channel == self.channel_id)


class WebSocketService:
    """Its socket service. `errors` are frames that the published one only warns of in the console."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self.store = store
        self.socket: Socket | None = None
        self.errors: list[Json] = []
        self.notices: list[tuple[str, Json]] = []
        self._now = now

    def join_channel(self, channel_id: int) -> None:
        self._send("user_online", {"action": "join_channel", "channel_id": channel_id}, channel_id)

    def leave_channel(self, channel_id: int) -> None:
        self._send("user_offline", {"action": "leave_channel", "channel_id": channel_id}, channel_id)

    def send_typing(self, channel_id: int, *, is_typing: bool) -> None:
        self._send("user_typing", {"is_typing": is_typing}, channel_id)

    def pump(self) -> None:
        """Handle the messages that have come."""
        assert self.socket is not None
        for message in self.socket.taken():
            self._handle(message)

    def _send(self, type_: str, data: Json, channel_id: int) -> None:
        assert self.socket is not None
        timestamp = "2026-01-01T12:00:00.000Z"
        frame = {"type": type_, "data": data, "channel_id": channel_id, "timestamp": timestamp}
        self.socket.send_text(json.dumps(frame, separators=(",", ":")))

    def _handle(self, message: Json) -> None:
        _date(message["timestamp"])
        data, store = message["data"], self.store
        match message["type"]:
            case "message":
                store.add_message(check_message(data))
            case "message_updated":
                store.update_message(check_message(data))
            case "message_deleted":
                assert data["message_id"]
                assert type(data["message_id"]) is int
                store.remove_message(data["message_id"])
            case "user_typing":
                self._typing(data)
            case "user_online":
                self.notices.append(("online", data))
                store.online[data["user_id"]] = data["channel_id"] if data.get("action") == "join_channel" else None
            case "user_offline":
                self.notices.append(("offline", data))
                if data.get("action") == "leave_channel":
                    store.online[data["user_id"]] = None
                else:
                    store.online.pop(data["user_id"], None)
            case _:
                self.errors.append(message)

    def _typing(self, data: Json) -> None:
        key = (data["user_id"], data["channel_id"])
        assert data["username"]
        if data["is_typing"]:
            self.store.typing[key] = (data["username"], self._now())
        else:
            self.store.typing.pop(key, None)


class HuddleUp:
    """The app of one user: what its screens do."""

    def __init__(self, call: Call, now: Callable[[], float]) -> None:
        self.store = Store()
        self.service = WebSocketService(self.store, now)
        self._call = call

    # --- channelService, teamService

    async def create_team(self, **wish: Any) -> Json:
        return await self._made("/teams", wish, {"id", "name", "description", "owner_id", "created_at"})

    async def create_channel(self, **wish: Any) -> Json:
        return await self._made("/channels", wish, {"id", "name", "type", "team_id", "is_archived", "created_at"})

    async def team_channels(self, team_id: int) -> list[Json]:
        return await self._list(f"/channels?team_id={team_id}&include_archived=false")

    async def own_channels(self) -> list[Json]:
        return await self._list("/channels")

    async def call(self, method: str, path: str, body: Json | None = None) -> Any:
        return await self._call(method, path, body)

    # --- messageService

    async def open_channel(self, channel_id: int) -> None:
        """Enter a channel's screen: join it on the socket, load its messages."""
        self.store.show(channel_id)
        self.service.join_channel(channel_id)
        await self.load(channel_id)

    async def load(self, channel_id: int, *, before: int | None = None) -> None:
        """Load the newest page, or the one before a message, in front of those that are there."""
        query: Json = {"channel_id": channel_id, "skip": 0, "limit": PAGE}
        if before is not None:
            query["before_message_id"] = before
        page = await self._messages(f"/messages?{urlencode(query)}")
        self.store.messages = [*page, *self.store.messages] if before is not None else page
        self.store.has_more = len(page) >= PAGE
        self.store.sort()

    async def send(self, content: str, **more: Any) -> Json:
        assert self.store.channel_id is not None
        body = {"content": content, **more, "channel_id": self.store.channel_id}
        message = check_message(await self._call("POST", "/messages", body))
        self.store.add_message(message)
        return message

    async def edit(self, message_id: int, content: str) -> None:
        self.store.update_message(
            check_message(await self._call("PUT", f"/messages/{message_id}", {"content": content}))
        )

    async def delete(self, message_id: int) -> None:
        await self._call("DELETE", f"/messages/{message_id}", None)
        self.store.remove_message(message_id)

    async def replies(self, message_id: int) -> list[Json]:
        return await self._messages(f"/messages/{message_id}/replies")

    async def search(self, query: str, **more: Any) -> list[Json]:
        return await self._messages(f"/messages/search?{urlencode({'q': query, 'limit': 20, **more})}")

    async def mentions(self) -> list[Json]:
        return await self._messages("/messages/mentions?skip=0&limit=50")

    async def mark_read(self, channel_id: int, message_id: int) -> None:
        await self._call("POST", f"/messages/channel/{channel_id}/mark-read", {"last_read_message_id": message_id})

    async def _messages(self, path: str) -> list[Json]:
        return [check_message(message) for message in await self._list(path)]

    async def _list(self, path: str) -> list[Json]:
        found = await self._call("GET", path, None)
        assert isinstance(found, list)
        return found

    async def _made(self, path: str, wish: Json, keys: set[str]) -> Json:
        made: Json = await self._call("POST", path, wish)
        assert made.keys() >= keys, keys - made.keys()
        assert type(made["id"]) is int
        return made
