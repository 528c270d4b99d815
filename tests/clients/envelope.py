"""The envelope wire's published client, line by line: its parsing rules, its queue, its local data."""

import json
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Protocol

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
    """The types that it knows."""

    PING = "ping"
    PONG = "pong"
    CHAT = "chat"
    NOTIFICATION = "notification"
    USER_STATUS = "userStatus"
    SYSTEM_MESSAGE = "systemMessage"
    ERROR = "error"


def _string(value: object) -> str:
    """Dart's `as String`."""
    assert isinstance(value, str), f"type '{type(value).__name__}' is not a subtype of type 'String'"
    return value


def _optional(value: object) -> str | None:
    return None if value is None else _string(value)


def _parsed(value: object) -> datetime:
    """Dart's `DateTime.parse`."""
    return datetime.fromisoformat(_string(value))


@dataclass
class WebSocketMessage:
    """A frame."""

    type: MessageType
    data: Json
    id: str | None = None
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def from_json(cls, json: Json) -> "WebSocketMessage":
        """Dart's `fromJson`: a type that it does not know is a system message."""
        known = {type_.value: type_ for type_ in MessageType}
        data = json["data"] if json.get("data") is not None else {}
        assert isinstance(data, dict), "Map.from needs a Map"
        now = datetime.now(UTC)
        return cls(
            type=known.get(json["type"], MessageType.SYSTEM_MESSAGE),
            data=dict(data),
            id=_optional(json.get("id")),
            timestamp=_parsed(json["timestamp"]) if json.get("timestamp") is not None else now,
        )

    def to_json(self) -> Json:
        """Dart's `toJson`: the time has no zone."""
        timestamp = self.timestamp.replace(tzinfo=None).isoformat()
        return {"type": self.type.value, "data": self.data, "id": self.id, "timestamp": timestamp}


@dataclass
class ChatMessage:
    """A message as an app reads it, every documented key."""

    id: str
    channel_id: str
    sender_id: str
    sender_name: str
    content: str
    type: str
    created_at: datetime
    seq: int
    status: str
    metadata: Json

    @classmethod
    def from_json(cls, json: Json) -> "ChatMessage":
        """Read one."""
        assert isinstance(json["seq"], int)
        assert isinstance(json["metadata"], dict)
        assert json["status"] in ("stored", "delivered", "read")
        return cls(
            id=_string(json["id"]),
            channel_id=_string(json["channelId"]),
            sender_id=_string(json["senderId"]),
            sender_name=_string(json["senderName"]),
            content=_string(json["content"]),
            type=_string(json["type"]),
            created_at=_parsed(json["createdAt"]),
            seq=json["seq"],
            status=json["status"],
            metadata=json["metadata"],
        )


@dataclass
class NotificationModel:
    """A notification."""

    id: str
    title: str
    body: str
    data: Json
    created_at: datetime

    @classmethod
    def from_json(cls, json: Json) -> "NotificationModel":
        """Read one."""
        assert isinstance(json["data"], dict)
        return cls(
            id=_string(json["id"]),
            title=_string(json["title"]),
            body=_string(json["body"]),
            data=json["data"],
            created_at=_parsed(json["createdAt"]),
        )


class WebSocketManager:
    """Sends while it is connected, queues while it is not; answers pings itself."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[WebSocketMessage], None]] = []
        self.messages: list[WebSocketMessage] = []
        self.pongs = 0
        self._socket: Socket | None = None
        self._queue: deque[str] = deque()

    def connect(self, socket: Socket) -> None:
        """Be connected: what waits is sent."""
        self._socket = socket
        while self._queue:
            socket.send_text(self._queue.popleft())

    def lose(self) -> None:
        """Lose the connection."""
        if self._socket is not None:
            self._socket.hang_up()
            self._socket = None

    def pump(self) -> None:
        """Handle what has come."""
        for frame in [] if self._socket is None else self._socket.taken():
            self._handle(WebSocketMessage.from_json(frame))

    def heartbeat(self) -> None:
        """Send a ping, as the timer does."""
        self._beat(MessageType.PING)

    def send(self, message: WebSocketMessage) -> None:
        """Send, or queue."""
        text = json.dumps(message.to_json())
        if self._socket is None:
            self._queue.append(text)
        else:
            self._socket.send_text(text)

    def _handle(self, message: WebSocketMessage) -> None:
        if message.type is MessageType.PONG:
            self.pongs += 1
        elif message.type is MessageType.PING:
            self._beat(MessageType.PONG)
        else:
            self.messages.append(message)
            for listener in self.listeners:
                listener(message)

    def _beat(self, type_: MessageType) -> None:
        milliseconds = int(datetime.now(UTC).timestamp() * 1000)
        self.send(WebSocketMessage(type=type_, data={"timestamp": milliseconds}))


class RealtimeDataSync:
    """Keeps the latest of each stream."""

    def __init__(self) -> None:
        self.manager = WebSocketManager()
        self.streams: defaultdict[str, list[Any]] = defaultdict(list)
        self.local: Json = {}
        self.manager.listeners.append(self._handle)

    def subscribe_to_channel(self, channel: str) -> None:
        """Ask for a channel."""
        self._system("subscribe", channel)

    def unsubscribe_from_channel(self, channel: str) -> None:
        """Ask for it no more."""
        self._system("unsubscribe", channel)

    def say(self, channel: str, content: str, id_: str | None = None) -> None:
        """Send a message, as an app does."""
        data = {"channelId": channel, "content": content}
        self.manager.send(WebSocketMessage(type=MessageType.CHAT, data=data, id=id_))

    def chats(self, channel: str) -> list[str]:
        """Give the contents of a channel's stream."""
        self.manager.pump()
        return [message.content for message in self.streams[f"chat_{channel}"]]

    def _system(self, action: str, channel: str) -> None:
        data = {"action": action, "channel": channel}
        self.manager.send(WebSocketMessage(type=MessageType.SYSTEM_MESSAGE, data=data))

    def _handle(self, message: WebSocketMessage) -> None:
        if message.type is MessageType.USER_STATUS:
            self._update(f"user_status_{_string(message.data['userId'])}", message.data["status"])
        elif message.type is MessageType.NOTIFICATION:
            self._update("notifications", NotificationModel.from_json(message.data))
        elif message.type is MessageType.CHAT:
            chat = ChatMessage.from_json(message.data)
            self._update(f"chat_{chat.channel_id}", chat)

    def _update(self, key: str, value: object) -> None:
        self.local[key] = value
        self.streams[key].append(value)


@dataclass
class SSEEvent:
    """A line, as the published client makes an event of each."""

    type: str
    data: str


def parse_sse_line(line: str) -> SSEEvent | None:
    """Dart's `_parseSSELine`: each field of an event is an event of its own."""
    for prefix, type_ in (("data: ", "message"), ("event: ", ""), ("id: ", "id")):
        if line.startswith(prefix):
            rest = line[len(prefix) :]
            return SSEEvent(type_, rest) if type_ else SSEEvent(rest, "")
    return None
