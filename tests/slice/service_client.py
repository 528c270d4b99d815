"""A client of the service wire in the slice: registers, asks with acknowledgements, keeps what it is told."""

import itertools
from typing import Any

import jwt

from gateway.acks import FLUSH_S
from tests.fakes.clock import settle
from tests.slice.socket_io import IoSocket
from tests.slice.warren import SECRET, Warren

Answer = dict[str, Any]


def token_of(warren: Warren, user: str, **claims: object) -> str:
    """Make a token that names no device; `role="agent"` makes its user an agent."""
    now = warren.clock.now().timestamp()
    said = {"sub": user, "name": user.title(), "iat": now, "exp": int(now) + 86_400} | claims
    return jwt.encode(said, SECRET, "HS256")


class Client:
    """One socket of one user."""

    def __init__(self, warren: Warren, user: str, *, token: str, via: str = "gw-1", device: str = "d1") -> None:
        self._warren = warren
        self._acks = itertools.count(1)
        self.user = user
        self.token = token
        self.device = device
        self.socket = IoSocket(warren.app(via), "/socket.io/", "", {})
        self.told: list[tuple[str, Any]] = []

    async def open(self, auth: dict[str, Any] | None = None) -> None:
        self._warren._tasks.create_task(self.socket.run(), name="socket")
        await self.socket.open(auth)
        await self.settle()

    async def register(self, **data: object) -> Answer:
        said = {"user_id": self.user, "token": self.token, "connection_id": "c1", "device_id": self.device} | data
        return await self.ask("register", **said)

    async def ask(self, event: str, **data: object) -> Answer:
        """Emit an event, and give its acknowledgement."""
        ack = str(next(self._acks))
        self.socket.emit(event, data, ack)
        await self.settle()
        answer: Answer = self.socket.acks.pop(ack)
        return answer

    async def emit(self, event: str, **data: object) -> None:
        """Emit an event without waiting for an acknowledgement."""
        self.socket.emit(event, data)
        await self.settle()

    async def say(self, session_id: object, message: str, **data: object) -> Answer:
        return await self.ask("send_message", session_id=session_id, message=message, **data)

    async def settle(self) -> None:
        """Let everything happen, receipts included, and take what is told of it."""
        await settle()
        await self._warren.passes(FLUSH_S)
        await self._warren.settled()
        await settle()
        self.told += self.socket.events()

    async def heard(self, event: str) -> list[Any]:
        """Take what was told by events of this name."""
        await self.settle()
        taken = [data for name, data in self.told if name == event]
        self.told = [(name, data) for name, data in self.told if name != event]
        return taken

    async def texts(self) -> list[str]:
        return [message["text"] for message in await self.heard("new_message")]

    async def hang_up(self) -> None:
        self.socket.hang_up()
        await settle()
