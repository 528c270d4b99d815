"""A server of the native protocol that does only what the test tells it, frame by frame."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Self

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

PATIENCE_S = 5.0


class FakeConnection:
    """The server's end of one connection."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket

    async def receive(self, *kinds: str) -> dict[str, Any]:
        """Take the next frame, which must be of one of these kinds."""
        async with asyncio.timeout(PATIENCE_S):
            frame: dict[str, Any] = json.loads(await self._socket.recv())
        assert frame["type"] in kinds, frame
        return frame

    async def push(self, kind: str, **data: Any) -> None:
        await self._socket.send(json.dumps({"type": kind, "data": data}))

    async def reply(self, to: dict[str, Any], **data: Any) -> None:
        await self._socket.send(json.dumps({"type": "reply", "id": to["id"], "ok": True, "data": data}))

    async def refuse(self, to: dict[str, Any], code: str, **error: Any) -> None:
        error = {"code": code, "message": "No.", **error}
        await self._socket.send(json.dumps({"type": "error", "id": to["id"], "error": error}))

    async def store(self, frame: dict[str, Any], seq: int, conversation_id: str = "c") -> None:
        """Answer a `send` with its place."""
        place = {"conversation_id": conversation_id, "seq": seq, "version": seq}
        await self.reply(frame, status="stored", message_id=f"m{seq}", **place)

    async def accept(self, frame: dict[str, Any]) -> None:
        await self.reply(frame, status="accepted", message_id="m1", conversation_id="c")

    def drop(self) -> None:
        """Lose the connection without a word."""
        self._socket.transport.abort()

    async def close(self, code: int) -> None:
        await self._socket.close(code)

    async def wait_closed(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._socket.wait_closed()


class FakeServer:
    """Gives the test one connection after the other."""

    def __init__(self) -> None:
        self.port = 0
        self.answers: dict[str, Any] = {}  # to plain GET requests, by path
        self._connections: asyncio.Queue[FakeConnection] = asyncio.Queue()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/ws"

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        self = cls()
        async with serve(self._serve, "127.0.0.1", 0, process_request=self._answer) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            yield self

    async def connection(self) -> FakeConnection:
        """Take the next connection, before its hello."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._connections.get()

    async def welcome(self, since: str = "since-0", user_id: str = "alice") -> tuple[FakeConnection, dict[str, Any]]:
        """Take the next connection and welcome it; gives it with the data of its hello."""
        connection = await self.connection()
        hello = await connection.receive("hello")
        await connection.reply(hello, user_id=user_id, connection_id="1", device_id="d", since=since, heartbeat_s=30)
        return connection, hello["data"]

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        answer = self.answers.get(request.path.partition("?")[0])
        return None if answer is None else connection.respond(HTTPStatus.OK, json.dumps(answer))

    async def _serve(self, socket: ServerConnection) -> None:
        self._connections.put_nowait(FakeConnection(socket))
        try:
            await socket.wait_closed()
        except ConnectionClosed:
            return


def message(seq: int, *, sender_id: str = "bob", version: int | None = None, **fields: Any) -> dict[str, Any]:
    """Write the data of a message frame."""
    return {
        "id": f"m{seq}",
        "number": seq,
        "conversation_id": "c",
        "seq": seq,
        "version": version or seq,
        "client_id": f"k{seq}",
        "sender_id": sender_id,
        "sender_name": sender_id.title(),
        "type": "text",
        "content": f"text {seq}",
        "metadata": {},
        "created_at": "2026-01-01T00:00:00.000Z",
        **fields,
    }


def changes(*seqs: int, version: int | None = None, last_version: int | None = None, **fields: Any) -> dict[str, Any]:
    """Write one conversation of a sync answer, with these messages; they bring it to `version`."""
    version = version or max(seqs, default=0)
    last = last_version or version
    conversation = {"id": "c", "kind": "direct", "last_seq": last, "last_version": last}
    events = [{"type": "message", "data": message(seq)} for seq in seqs]
    return {"conversation": conversation, "version": version, "events": events, **fields}
