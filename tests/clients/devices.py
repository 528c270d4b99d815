"""The devices wire's published client, line by line: its models, its service, and what its screens read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

import httpx

Json = dict[str, Any]


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


class MessageType(Enum):
    """The types that it can show."""

    text = "text"
    image = "image"
    file = "file"
    system = "system"


class MessageStatus(Enum):
    """How far a message came."""

    pending = "pending"
    sent = "sent"
    delivered = "delivered"
    read = "read"
    failed = "failed"


def _string(value: object) -> str:
    """Dart's cast to String."""
    assert isinstance(value, str), f"type '{type(value).__name__}' is not a subtype of type 'String'"
    return value


def _integer(value: object) -> int:
    assert isinstance(value, int), f"type '{type(value).__name__}' is not a subtype of type 'int'"
    assert not isinstance(value, bool)
    return value


def _map(value: object) -> Json:
    assert isinstance(value, dict), f"type '{type(value).__name__}' is not a subtype of type 'Map'"
    return value


def _list(value: object) -> list[Any]:
    assert isinstance(value, list), f"type '{type(value).__name__}' is not a subtype of type 'List'"
    return value


def _parsed(value: object) -> datetime:
    """Dart's `DateTime.parse`."""
    return datetime.fromisoformat(_string(value))


def _decoded(response: httpx.Response) -> Json:
    """`jsonDecode(response.body)`: a body without a charset is Latin-1 to Dart's http package."""
    named = response.headers["content-type"].partition("charset=")[2]
    return _map(json.loads(response.content.decode(named or "latin-1")))


@dataclass(frozen=True)
class Message:
    """A message."""

    id: str
    sender_id: str
    sender_name: str
    recipient_id: str
    recipient_name: str
    content: str
    type: MessageType
    status: MessageStatus
    created_at: datetime
    delivered_at: datetime | None
    read_at: datetime | None
    metadata: Json

    @classmethod
    def from_json(cls, data: Json) -> "Message":
        types = {each.name: each for each in MessageType}
        statuses = {each.name: each for each in MessageStatus}
        return cls(
            id=_string(data.get("id")),
            sender_id=_string(data.get("sender_id")),
            sender_name=_string(data.get("sender_name")),
            recipient_id=_string(data.get("recipient_id")),
            recipient_name=_string(data.get("recipient_name")),
            content=_string(data.get("content")),
            type=types.get(data.get("type", ""), MessageType.text),
            status=statuses.get(data.get("status", ""), MessageStatus.sent),
            created_at=_parsed(data.get("created_at")),
            delivered_at=_parsed(data["delivered_at"]) if data.get("delivered_at") is not None else None,
            read_at=_parsed(data["read_at"]) if data.get("read_at") is not None else None,
            metadata=_map(data.get("metadata") or {}),
        )


@dataclass(frozen=True)
class ChatSession:
    """One entry of the list of sessions."""

    id: str
    participant_ids: list[str]
    participant_names: list[str]
    last_message: Message | None
    last_activity: datetime
    unread_count: dict[str, int]
    created_at: datetime

    @classmethod
    def from_json(cls, data: Json) -> "ChatSession":
        last = data.get("last_message")
        counts = _map(data.get("unread_count") or {})
        return cls(
            id=_string(data.get("id")),
            participant_ids=[_string(each) for each in _list(data.get("participant_ids"))],
            participant_names=[_string(each) for each in _list(data.get("participant_names"))],
            last_message=None if last is None else Message.from_json(_map(last)),
            last_activity=_parsed(data.get("last_activity")),
            unread_count={_string(key): _integer(count) for key, count in counts.items()},
            created_at=_parsed(data.get("created_at")),
        )


class MessageService:
    """Its `MessageService`; frames are handled in `pump`, where Dart's event loop would."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        dial: Callable[[str], Socket],
        *,
        device_id: str,
        device_name: str,
        headers: Mapping[str, str] | None = None,
        query: str = "",
    ) -> None:
        self.device_id = device_id
        self.device_name = device_name
        self.connected: list[bool] = []
        self.messages: list[Message] = []
        self.typing: list[dict[str, bool]] = []
        self.receipts: list[tuple[str, str]] = []
        self.errors: list[Json] = []
        self.listeners: list[Callable[[Message], None]] = []
        self.socket: Socket | None = None
        self._http = http
        self._dial = dial
        self._query = query
        self._headers = {"X-Device-ID": device_id, **(headers or {})}

    def connect(self) -> None:
        self.socket = self._dial(f"/api/messages/ws/{self.device_id}")
        self.connected.append(True)

    def pump(self) -> None:
        assert self.socket is not None
        for frame in self.socket.taken():
            self._handle(frame)

    def _handle(self, data: Json) -> None:
        match data["type"]:
            case "message":
                message = Message.from_json(_map(data["message"]))
                self.messages.append(message)
                for listener in self.listeners:
                    listener(message)
            case "receipt":
                self.receipts.append((_string(data["message_id"]), _string(data["status"])))
            case "typing":
                self.typing.append({_string(data["sender_id"]): data["is_typing"]})
            case "connection":
                _string(data["status"])
            case "error":
                self.errors.append(data)

    def _add(self, frame: Json) -> None:
        assert self.socket is not None
        self.socket.send_text(json.dumps(frame))

    def beat(self) -> None:
        """What its timer sends every 30 seconds."""
        self._add({"type": "ping"})

    async def send_message(
        self,
        recipient_id: str,
        content: str,
        type_: MessageType = MessageType.text,
        metadata: Json | None = None,
    ) -> Json:
        body = {"recipient_id": recipient_id, "content": content, "type": type_.name, "metadata": metadata or {}}
        return _decoded(await self._call("POST", "/api/messages/send", body))

    async def get_messages(
        self,
        *,
        session_id: str | None = None,
        device_id: str | None = None,
        limit: int = 50,
        before_id: str | None = None,
        after_id: str | None = None,
    ) -> list[Message]:
        given = {"session_id": session_id, "device_id": device_id, "limit": limit}
        given |= {"before_id": before_id, "after_id": after_id}
        body = {key: value for key, value in given.items() if value is not None}
        data = _decoded(await self._call("POST", "/api/messages/list", body))
        return [Message.from_json(_map(each)) for each in _list(data["messages"])]

    async def get_sessions(self) -> list[ChatSession]:
        data = _decoded(await self._call("GET", "/api/messages/sessions"))
        return [ChatSession.from_json(_map(each)) for each in _list(data["sessions"])]

    async def get_online_devices(self) -> list[Json]:
        response = await self._http.get("/api/messages/online")
        assert response.status_code == 200, response.text
        return [_map(each) for each in _list(_decoded(response)["online_devices"])]

    async def update_message_status(self, message_ids: list[str], status: MessageStatus) -> Json:
        body = {"message_ids": message_ids, "status": status.name}
        return _decoded(await self._call("PUT", "/api/messages/status", body))

    async def get_unread(self) -> Json:
        return _decoded(await self._call("GET", "/api/messages/unread"))

    def send_typing_indicator(self, recipient_id: str, *, is_typing: bool) -> None:
        self._add({"type": "typing", "recipient_id": recipient_id, "is_typing": is_typing})

    def disconnect(self) -> None:
        assert self.socket is not None
        self.socket.hang_up()

    async def _call(self, method: str, path: str, body: Json | None = None) -> httpx.Response:
        headers = {"Content-Type": "application/json", **self._headers}
        content = None if body is None else json.dumps(body)
        response = await self._http.request(method, path, content=content, headers=headers)
        assert response.status_code == 200, response.text
        return response


@dataclass
class ChatScreen:
    """What its chat screen shows and does with one other device."""

    service: MessageService
    recipient_id: str
    shown: list[Message] = field(default_factory=list)
    to_mark: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.service.listeners.append(self._listen)

    def _listen(self, message: Message) -> None:
        if self.recipient_id in (message.sender_id, message.recipient_id):
            self.shown.append(message)
            if message.recipient_id == self.service.device_id:
                self.to_mark.append(message.id)

    async def load(self) -> None:
        self.shown[:] = await self.service.get_messages(device_id=self.recipient_id, limit=50)

    async def mark(self) -> None:
        """Its calls of `updateMessageStatus`, one for each message."""
        while self.to_mark:
            await self.service.update_message_status([self.to_mark.pop(0)], MessageStatus.read)

    @property
    def is_typing(self) -> bool:
        return self.service.typing[-1].get(self.recipient_id, False) if self.service.typing else False


@dataclass
class SessionsScreen:
    """What its list of sessions shows."""

    service: MessageService
    sessions: list[ChatSession] = field(default_factory=list)
    online: list[Json] = field(default_factory=list)

    async def load(self) -> None:
        self.sessions = await self.service.get_sessions()
        self.online = await self.service.get_online_devices()

    def strangers(self) -> list[str]:
        """The lines of the devices that are online and have no session."""
        shown = []
        for device in self.online:
            known = any(device["id"] in session.participant_ids for session in self.sessions)
            assert device["name"][0].upper()
            if not known and device["id"] != self.service.device_id:
                shown.append(f"{device['name']}: {device['type']} - {device['platform']}")
        return shown

    def chats(self) -> list[tuple[str, str, bool, str, int]]:
        """Whom each session is with, by id and name, whether they are online, the last content, how many unread."""
        me, name = self.service.device_id, self.service.device_name
        return [self._chat(session, me, name) for session in self.sessions]

    def _chat(self, session: ChatSession, me: str, name: str) -> tuple[str, str, bool, str, int]:
        other_name = next((each for each in session.participant_names if each != name), "Unknown")
        other_id = next((each for each in session.participant_ids if each != me), "")
        assert other_name[0].upper()
        is_online = any(device["id"] == other_id for device in self.online)
        last = "No messages" if session.last_message is None else session.last_message.content
        return other_id, other_name, is_online, last, session.unread_count.get(me, 0)
