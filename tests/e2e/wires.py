"""Users of other chat systems' wires on the real parts: each keeps what it got, and comes back when cut off."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx
import jwt
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidMessage, WebSocketException

from client.websocket_client import WebSocketClient
from shared.settings import DEVELOPMENT_SECRET
from tests.e2e.stack import Stack

Json: TypeAlias = dict[str, Any]
AFTER_A_CUT_S = 0.2
DEADLINE_S = 60.0
_CUT_OFF = (OSError, WebSocketException, InvalidHandshake, InvalidMessage, TimeoutError)


@dataclass(frozen=True)
class Place:
    """A conversation by the names that the wires have for it."""

    id: str
    number: int
    session: str  # the id, or the two users' names


@dataclass
class Party:
    """One user on one wire. `got`: (conversation's number, content) of each message the first time that it came."""

    stack: Stack
    user_id: str
    changed: asyncio.Event
    got: list[tuple[int, str]] = field(default_factory=list)
    said: list[tuple[int, str]] = field(default_factory=list)  # what the server has answered as stored
    frames: list[Json] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Be connected, and come back whenever the connection is lost."""
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(self.live(), name=self.user_id)
            try:
                yield
            finally:
                living.cancel()

    async def live(self) -> None:
        """Read until cancelled."""
        raise NotImplementedError

    async def say(self, place: Place, content: str) -> None:
        """Say something and wait until it is stored, however often that takes asking."""
        raise NotImplementedError

    async def until(self, found: Callable[[], object]) -> None:
        """Wait until something is true of what has come."""
        async with asyncio.timeout(DEADLINE_S):
            while not found():
                self.changed.clear()
                await self.changed.wait()

    async def frame(self, fits: Callable[[Json], bool]) -> Json:
        """Give the first frame that fits."""
        await self.until(lambda: any(fits(frame) for frame in self.frames))
        return next(frame for frame in self.frames if fits(frame))

    def take(self, frame: Json) -> None:
        """Keep a frame."""
        self.frames.append(frame)
        self.changed.set()

    def note(self, message_id: object, number: int, content: str) -> None:
        """Keep a message, the first time that it comes."""
        if str(message_id) not in self._seen:
            self._seen.add(str(message_id))
            self.got.append((number, content))

    async def _read_sockets(self, path: str, beat: Json, handle: Callable[[Json], None]) -> None:
        """Connect to one gateway after the other, and beat as the wire's clients do."""
        for gateway in itertools.cycle(self.stack.gateways):
            with suppress(*_CUT_OFF):
                async with connect(f"ws://127.0.0.1:{gateway.port}{path}", compression=None) as socket:
                    await self._read(socket, beat, handle)
            await asyncio.sleep(AFTER_A_CUT_S)

    async def _read(self, socket: ClientConnection, beat: Json, handle: Callable[[Json], None]) -> None:
        async for text in socket:
            frame: Json = json.loads(text)
            handle(frame)
            self.take(frame)
            if frame["type"] == "message":
                await socket.send(json.dumps(beat))  # whatever a client sends says that it has what came

    async def _post(self, path: str, headers: dict[str, str], body: Json) -> Json:
        """Post until it is answered: with a client's id the repeats are one."""
        async with httpx.AsyncClient(timeout=10) as http:
            for gateway in itertools.cycle(self.stack.gateways):
                with suppress(httpx.TransportError):
                    answer = await http.post(f"{gateway.rest_url}{path}", headers=headers, json=body)
                    if answer.status_code < 500:
                        assert answer.is_success, answer.text
                        found: Json = answer.json()
                        if found.get("status") != "pending":
                            return found
                await asyncio.sleep(AFTER_A_CUT_S)
        raise AssertionError("there is no end of gateways")


@dataclass
class OnDevices(Party):
    """A device without a token."""

    places: dict[str, Place] = field(default_factory=dict)  # by session id

    async def live(self) -> None:
        await self._read_sockets(f"/api/messages/ws/{self.user_id}", {"type": "ping"}, self._handle)

    def _handle(self, frame: Json) -> None:
        if frame["type"] == "message":
            message = frame["message"]
            self.note(message["id"], self.places[message["session_id"]].number, message["content"])

    async def say(self, place: Place, content: str) -> None:
        body = {"session_id": place.session, "content": content, "metadata": {"client_id": content}}
        await self._post("/api/messages/send", {"X-Device-ID": self.user_id}, body)
        self.said.append((place.number, content))


@dataclass
class OnHuddle(Party):
    """A user of the web client."""

    async def live(self) -> None:
        token = token_of(self.user_id)
        await self._read_sockets(f"/ws?token={token}", {"type": "ping", "data": {}}, self._handle)

    def _handle(self, frame: Json) -> None:
        if frame["type"] == "message":
            self.note(frame["data"]["id"], frame["data"]["channel_id"], frame["data"]["content"])

    async def say(self, place: Place, content: str) -> None:
        headers = {"Authorization": f"Bearer {token_of(self.user_id)}", "Idempotency-Key": content}
        await self._post("/api/v1/messages", headers, {"content": content, "channel_id": place.number})
        self.said.append((place.number, content))


@dataclass
class OnService(Party):
    """An agent with the synchronous client, on the thread of its own."""

    places: dict[str, Place] = field(default_factory=dict)
    gateway: int = 0
    statuses: list[Json] = field(default_factory=list)
    client: WebSocketClient | None = None

    async def live(self) -> None:
        loop = asyncio.get_running_loop()
        client = WebSocketClient(server_url=self.stack.gateways[self.gateway].rest_url)
        client.retry_interval = AFTER_A_CUT_S
        client.max_queue_size = 10_000
        client.on_message(lambda data: loop.call_soon_threadsafe(self._handle, data))
        client.on_message_status(lambda data: loop.call_soon_threadsafe(self._status, data))
        client.on("typing", lambda data: loop.call_soon_threadsafe(self.take, {"type": "typing", **data}))
        await asyncio.to_thread(
            client.connect, int(self.user_id), token_of(self.user_id, role="agent"), f"device-of-{self.user_id}"
        )
        self.client = client
        self.take({"type": "registered"})
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(client.disconnect)

    def _handle(self, data: Json) -> None:
        self.note(data["id"], self.places[data["session_id"]].number, data["text"])
        self.take({"type": "new_message", **data})

    def _status(self, data: Json) -> None:
        self.statuses.append(data)
        self.take({"type": "message_status", **data})

    async def say(self, place: Place, content: str) -> None:
        assert self.client is not None
        sending = self.client.send_message(place.session, content, role="agent")
        answer = await asyncio.to_thread(sending.result, DEADLINE_S)
        self.note(answer["message_id"], place.number, content)  # what it sent is not pushed back to it
        self.said.append((place.number, content))


def token_of(user_id: str, **claims: str) -> str:
    """Make a token as a product would."""
    return jwt.encode({"sub": user_id, "name": f"User {user_id}", "exp": 2**33, **claims}, DEVELOPMENT_SECRET)


async def meet(stack: Stack, kind: str, *user_ids: str) -> Place:
    """Make a conversation of these users, by the native REST API."""
    creator, *others = user_ids
    async with httpx.AsyncClient(
        base_url=stack.gateways[0].rest_url, headers={"Authorization": f"Bearer {token_of(creator)}"}
    ) as http:
        answer = await http.post("/v1/conversations", json={"kind": kind, "member_ids": others})
        assert answer.status_code == 201, answer.text
        made = answer.json()
    session = "_".join(sorted(user_ids)) if kind == "direct" else made["id"]
    return Place(made["id"], made["number"], session)


Chaos: TypeAlias = Callable[[], Awaitable[None]]
