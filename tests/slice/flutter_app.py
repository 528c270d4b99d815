"""The flutter wire's published app at a gateway, with all four services behind it."""

import json
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from tests.clients.flutter import SocketManager
from tests.fakes.clock import settle
from tests.slice.socket_io import IoSocket
from tests.slice.sockets import Frame
from tests.slice.warren import Warren, running


@pytest.fixture
async def warren() -> AsyncIterator[Warren]:
    async with running(wires="flutter") as warren:
        warren.start_gateway("gw-2")
        await settle()
        yield warren


class App:
    """The published app of one user."""

    def __init__(self, warren: Warren, user: str, via: str = "gw-1", path: str = "/connector/") -> None:
        self._warren = warren
        self._via = via
        self._path = path
        self.user = user
        self.manager = SocketManager(user, warren.token(user), lambda event, data: self.socket.emit(event, data))
        self.socket: IoSocket

    async def connect(
        self, query: str = "", auth: Frame | None = None, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        query = f"room_id=&room_type=lobby&{query}"
        self.socket = IoSocket(self._warren.app(self._via), self._path, query, headers)
        self._warren._tasks.create_task(self.socket.run(), name="socket")
        await self.socket.open(auth)
        await self.pump()  # connect_info: it enters
        await self.pump()  # enter_server, and what waited

    async def pump(self) -> None:
        """Let everything happen, and take what came."""
        await settle()
        await self._warren.settled()
        await settle()
        for event, data in self.socket.events():
            self.manager.on(event, data)

    async def ask(self, type_: str, msg_id: object = "q", **payload: object) -> Frame:
        """Send something, and give the message that answers it."""
        self.socket.emit("message", json.dumps({"type": type_, "payload": payload, "msg_id": msg_id}))
        before = len(self.manager.heard)
        await self.pump()
        [answer] = [frame for frame in self.manager.heard[before:] if frame["msg_id"] == msg_id]
        return answer

    def heard(self, type_: str) -> list[Any]:
        return [frame["payload"] for frame in self.manager.heard if frame["type"] == type_]

    def texts(self, peer: str) -> list[str]:
        rows = self.manager.database.chat_detail(peer)
        return sorted(row["content"] for row in rows)


@pytest.fixture
async def jack(warren: Warren) -> AsyncIterator[App]:
    app = App(warren, "jack")
    await app.connect()
    yield app
    app.manager.database.close()


@pytest.fixture
async def rose(warren: Warren) -> AsyncIterator[App]:
    app = App(warren, "rose", via="gw-2", path="/socket.io/")
    await app.connect()
    yield app
    app.manager.database.close()
