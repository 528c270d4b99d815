"""A client's end of one ASGI websocket: two queues in place of a network."""

import asyncio
from collections import deque
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message

Frame = dict[str, Any]
PATIENCE_S = 5.0


class Closed(Exception):
    """The server closed the socket."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class FakeSocket:
    """Drives the real endpoint by `receive` and `send`, without threads or a network."""

    def __init__(self, app: ASGIApp, path: str, query: str) -> None:
        self._app = app
        self._scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(b"host", b"testserver")],
            "subprotocols": ["warren.v1"],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
            "state": {},
            "extensions": {"websocket.http.response": {}},
        }
        self._to_server: asyncio.Queue[Message] = asyncio.Queue()
        self._to_client: asyncio.Queue[Message] = asyncio.Queue()
        self._seen: deque[Frame] = deque()
        self._ids = 0
        self._to_server.put_nowait({"type": "websocket.connect"})

    async def run(self) -> None:
        """Be the server's side of the connection until the endpoint returns."""
        await self._app(self._scope, self._to_server.get, self._to_client.put)

    def send_text(self, text: str) -> None:
        self._to_server.put_nowait({"type": "websocket.receive", "text": text})

    def send_frame(self, type_: str, *, frame_id: str | None = None, **data: object) -> None:
        frame: Frame = {"type": type_, "data": data}
        if frame_id is not None:
            frame["id"] = frame_id
        self.send_text(msgspec.json.encode(frame).decode())

    async def request(self, type_: str, **data: object) -> Frame:
        """Send a frame with an id, give the data of its reply. Raises: AssertionError with the error frame."""
        self._ids += 1
        frame_id = f"{type_}-{self._ids}"
        self.send_frame(type_, frame_id=frame_id, **data)
        answer = await self.next_where(lambda frame: frame.get("id") == frame_id)
        assert answer["type"] == "reply", answer
        reply: Frame = answer["data"]
        return reply

    async def refused(self, type_: str, **data: object) -> Frame:
        """Send a frame with an id, give the error it is answered with."""
        self._ids += 1
        frame_id = f"{type_}-{self._ids}"
        self.send_frame(type_, frame_id=frame_id, **data)
        answer = await self.next_where(lambda frame: frame.get("id") == frame_id)
        assert answer["type"] == "error", answer
        error: Frame = answer["error"]
        return error

    async def next(self, type_: str) -> Frame:
        """Give the data of the next frame of this type; frames of other types stay for later."""
        frame = await self.next_where(lambda frame: frame["type"] == type_)
        data: Frame = frame["data"]
        return data

    async def next_error(self) -> Frame:
        """Give the error of the next error frame."""
        frame = await self.next_where(lambda frame: frame["type"] == "error")
        error: Frame = frame["error"]
        return error

    async def next_where(self, wanted: Any) -> Frame:
        for frame in self._seen:
            if wanted(frame):
                self._seen.remove(frame)
                return frame
        async with asyncio.timeout(PATIENCE_S):
            while True:
                frame = await self._read()
                if wanted(frame):
                    return frame
                self._seen.append(frame)

    async def closed(self) -> int:
        """Wait for the server to close; give the code."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    self._seen.append(await self._read())
                except Closed as closed:
                    return closed.code

    def unread(self, type_: str) -> list[Frame]:
        """Give what has arrived of this type and nobody has taken yet."""
        return [frame["data"] for frame in self.unread_frames() if frame["type"] == type_]

    def unread_frames(self) -> list[Frame]:
        """Give all that has arrived and nobody has taken yet."""
        while not self._to_client.empty():
            message = self._to_client.get_nowait()
            if message["type"] == "websocket.send":
                self._seen.append(msgspec.json.decode(message["text"]))
        return list(self._seen)

    def taken(self) -> list[Frame]:
        """Take all that has arrived."""
        frames = self.unread_frames()
        self._seen.clear()
        return frames

    def hang_up(self) -> None:
        """Go away as a lost network does."""
        self._to_server.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def _read(self) -> Frame:
        while True:
            message = await self._to_client.get()
            if message["type"] == "websocket.close":
                raise Closed(message["code"])
            if message["type"] == "websocket.send":
                frame: Frame = msgspec.json.decode(message["text"])
                return frame
