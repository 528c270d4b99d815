"""The flutter wire's published client, line by line: its parsing rules, its heartbeat, its two tables."""

import json
import sqlite3
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from string import Template
from typing import Any

Json = dict[str, Any]
Emit = Callable[[str, str], None]

_TABLES = """
CREATE TABLE chatList (cov_id TEXT, unread_count INTEGER, last_msg_text TEXT, last_msg_at TEXT, image TEXT, name TEXT,
    sex TEXT, chat_object_id TEXT PRIMARY KEY);
CREATE TABLE chatDetail (chat_id TEXT PRIMARY KEY, from_id TEXT, to_id TEXT, created_at TEXT, content TEXT, image TEXT,
    name TEXT, sex TEXT, status TEXT, type INTEGER, chat_object_id TEXT);
"""

# The strings that it writes.
_ENTER = Template(
    '{"type":"enter","payload":{"extra":{"lg":"zh","pt":"android","sv":77,"tz":"+08:00","v":202108100},"from":"",'
    '"password":"","room_id":"","token":"${token}","type":"lobby","user":{"avatar":"https:\\/\\/example.com\\/a.png",'
    '"experience":0,"id":"${id}","level":0,"name":"519237","sex":1}},"msg_id":"${now}"}'
)
_PING = Template('{"type":"ping","payload":{"front":true},"msg_id":${now}}')
_TALK = Template(
    """{"type":"cs_cp2p",
            "payload":{
            "cd":{
            "data":{
            "attrs":{
            "MSG_TYPE":"SINGLE",
            "USER_SEX":"1",
            "USER_ID":"${id}",
            "USER_NAME":"杰克",
            "USER_ICON":"https://example.com/a.png",
            "CHAT_TIME":"${now}"},
            "text":"${content}"},"mType":-1},
            "tid":"${peer}"},
            "msg_id":"${msg_id}"}"""
)
_IMAGE = Template(
    '{"type": "cs_cp2p","payload": {"cd": {"mType": -2,"data": {"file": {"url": "${url}","oId": "k",'
    '"meta": {"format": "image/jpeg","size": 1,"height": 2,"width": 3}},"text": "[图片]","attrs": {"USER_ICON": "",'
    '"CHAT_AT_ROOM_ID": "","SHOW_BIG_IMG": 0,"USER_NAME": "n","USER_ID": "${id}","USER_SEX": "1",'
    '"MSG_TYPE": "SINGLE"}}},"tid": "${peer}"},"msg_id": "${msg_id}"}'
)
_GET = Template('{"msg_id":"${msg_id}","payload":{"cType":1,"tid":"${peer}","limit":30},"type":"cs_gcds"}')
_IN = Template('{"msg_id":"${msg_id}","payload":{"cType":1,"tid":"${peer}"},"type":"${type}"}')


def _string(value: object) -> str:
    """Dart's typed field: nothing but a string goes into it."""
    assert isinstance(value, str), f"type '{type(value).__name__}' is not a subtype of type 'String'"
    return value


def _parsed(value: object) -> datetime:
    """Dart's `DateTime.parse`."""
    return datetime.fromisoformat(_string(value))


def message_id() -> str:
    """`Uuid().v1().replaceAll("-", "")`."""
    return uuid.uuid1().hex


class DatabaseManager:
    """What the client stores: its messages by id, and its list of chats."""

    def __init__(self, own_id: str) -> None:
        self.id = own_id
        self._database = sqlite3.connect(":memory:")
        self._database.row_factory = sqlite3.Row
        self._database.executescript(_TABLES)

    def close(self) -> None:
        self._database.close()

    def insert_chat_detail(self, details: list[Json]) -> None:
        for row in details:
            self._replace("chatDetail", row)

    def insert_chat_list(self, chat: Json) -> None:
        self._replace("chatList", chat)

    def update_chat_detail_status(self, chat_id: str, r_id: str) -> None:
        sql = "UPDATE chatDetail SET status = ?, chat_id = ? WHERE chat_id = ?"
        self._database.execute(sql, ("done", _string(chat_id), _string(r_id)))

    def chat_list_for(self, chat_object_id: str) -> list[Json]:
        rows = self._database.execute("SELECT * FROM chatList WHERE chat_object_id = ?", (chat_object_id,))
        return [dict(row) for row in rows]

    def chat_detail(self, chat_object_id: str) -> list[Json]:
        sql = "SELECT * FROM chatDetail WHERE chat_object_id = ? ORDER BY created_at DESC LIMIT 30"
        return [dict(row) for row in self._database.execute(sql, (chat_object_id,))]

    def _replace(self, table: str, row: Json) -> None:
        marks = ", ".join("?" * len(row))
        self._database.execute(f"INSERT OR REPLACE INTO {table} ({', '.join(row)}) VALUES ({marks})", (*row.values(),))


class SocketManager:
    """The client: what it makes of the server's messages, and what it sends."""

    def __init__(self, own_id: str, token: str, emit: Emit) -> None:
        self.database = DatabaseManager(own_id)
        self.token = token
        self.emit = emit
        self.enter_flag = False
        self.ping_wait_flag = False
        self.chat_id = ""  # of the chat that is open
        self.heard: list[Json] = []

    # --- what comes

    def on(self, event: str, data: object) -> None:
        """Take an event; it listens to two."""
        if event not in ("message", "response"):
            return
        message = json.loads(_string(data))
        self.heard.append(message)
        code = message["code"] if message["code"] is not None else ""
        payload = message["payload"] if message["payload"] is not None else ""
        if event == "response":
            if message["type"] == "pong" and code == 1000:
                self.ping_wait_flag = False
        elif event == "message":
            self._on_message(_string(message["type"]), payload)

    def _on_message(self, type_: str, payload: Any) -> None:
        match type_:
            case "connect_info":
                self.enter()
            case "enter_server":
                self.enter_flag = True
                self.ping_wait_flag = False
            case "cs_gcds_sr":
                self.database.insert_chat_detail([self._detail(each) for each in payload["datas"]])
            case "cs_cp2p_s":
                self._on_push(payload)
            case "cs_cp2p_sr":
                self.database.update_chat_detail_status(payload["doc_id"], payload["r_id"])

    def _on_push(self, payload: Json) -> None:
        chat = self._chat(payload)
        self.database.insert_chat_detail([{**self._detail(payload), "created_at": _now()}])
        known = self.database.chat_list_for(payload["from_id"])
        if not known:
            self.database.insert_chat_list(chat)
        elif chat["chat_object_id"] != self.chat_id:
            self.database.insert_chat_list({**chat, "unread_count": 1 + known[0]["unread_count"]})

    def _detail(self, payload: Json) -> Json:
        data = payload["cov_data"]["data"]
        attrs = data["attrs"]
        type_ = payload["cov_data"]["mType"]
        assert isinstance(type_, int)
        content = {-1: lambda: data["text"], -2: lambda: data["file"]["url"]}.get(type_, lambda: "")()
        is_own = attrs["USER_ID"] == self.database.id
        return {
            "chat_id": _string(payload["_id"]),
            "from_id": _string(payload["from_id"]),
            "to_id": _string(payload["to_id"]),
            "content": _string(content),
            "created_at": _parsed(payload["created_at"]).isoformat(),
            "image": _string(attrs["USER_ICON"]),
            "name": _string(attrs["USER_NAME"]),
            "sex": str(attrs["USER_SEX"]),
            "status": "done",
            "type": type_,
            "chat_object_id": _string(payload["to_id"] if is_own else attrs["USER_ID"]),
        }

    def _chat(self, payload: Json) -> Json:
        data = payload["cov_data"]["data"]
        return {
            "cov_id": message_id(),
            "unread_count": 1,
            "last_msg_text": _string(data["text"]),
            "last_msg_at": _parsed(payload["created_at"]).isoformat(),
            "image": _string(data["attrs"]["USER_ICON"]),
            "name": _string(data["attrs"]["USER_NAME"]),
            "sex": str(data["attrs"]["USER_SEX"]),
            "chat_object_id": _string(payload["from_id"]),
        }

    # --- what it sends

    def enter(self) -> None:
        self._say(_ENTER, token=self.token, id=self.database.id, now=_millis())

    def heart(self) -> None:
        """What its timer does every 30 s."""
        if not self.ping_wait_flag:
            self._say(_PING, now=_millis())
            self.ping_wait_flag = True

    def send(self, peer: str, content: str) -> str:
        """Store a message as waiting, then send it; gives its id."""
        msg_id = message_id()
        own = self.database.id
        row = {"chat_id": msg_id, "from_id": own, "to_id": peer, "content": content, "created_at": _now(), "image": "i"}
        more = {"name": "杰克", "sex": "1", "status": "wait", "type": -1, "chat_object_id": peer}
        self.database.insert_chat_detail([{**row, **more}])
        self.talk(peer, content, msg_id)
        return msg_id

    def talk(self, peer: str, content: str, msg_id: str) -> None:
        """Send a message; again, where there was no answer."""
        self._say(_TALK, id=self.database.id, now=_millis(), content=content, peer=peer, msg_id=msg_id)

    def send_image(self, peer: str, url: str) -> str:
        """Send a picture."""
        msg_id = message_id()
        self._say(_IMAGE, id=self.database.id, url=url, peer=peer, msg_id=msg_id)
        return msg_id

    def get_chat_detail(self, peer: str) -> None:
        self._say(_GET, msg_id=message_id(), peer=peer)

    def in_chat(self, peer: str) -> None:
        self.chat_id = peer
        self._say(_IN, msg_id=message_id(), peer=peer, type="cs_ain")

    def leave_chat(self, peer: str) -> None:
        self.chat_id = ""
        self._say(_IN, msg_id=message_id(), peer=peer, type="cs_alv")

    def _say(self, template: Template, **values: object) -> None:
        self.emit("message", template.substitute(values))


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _millis() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
