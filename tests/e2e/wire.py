"""A device that speaks the native protocol by hand: what a test sees is what is on the wire."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.stack import Gateway, Stack

Data: TypeAlias = dict[str, Any]
DEADLINE_S = 15.0


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, error: Data) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: str = error["code"]


@dataclass
class Device:
    """One socket. Frames are kept as they come: answers are found by id, pushes by what a test waits for."""

    socket: ClientConnection
    welcome: Data
    pushed: list[Data] = field(default_factory=list)
    _ids: "itertools.count[int]" = field(default_factory=itertools.count)

    async def ask(self, type_: str, **data: object) -> Data:
        """Send a frame and give the data of its reply. Raises: Refused."""
        id_ = f"q-{next(self._ids)}"
        await self.socket.send(json.dumps({"type": type_, "id": id_, "data": data}))
        answer = await self._read(lambda frame: frame.get("id") == id_)
        if answer["type"] == "error":
            raise Refused(answer["error"])
        reply: Data = answer["data"]
        return reply

    async def tell(self, type_: str, **data: object) -> None:
        """Send a frame that wants no answer."""
        await self.socket.send(json.dumps({"type": type_, "data": data}))

    async def until(self, type_: str, **wanted: object) -> Data:
        """Give the data of the first push of a type, read now or before, in which these fields stand so."""

        def fits(frame: Data) -> bool:
            return frame["type"] == type_ and all(frame["data"].get(key) == value for key, value in wanted.items())

        found = next((frame for frame in self.pushed if fits(frame)), None)
        if found is None:
            found = await self._read(fits)
        data: Data = found["data"]
        return data

    async def closed_with(self) -> int:
        """Read on until the server closes; gives its code."""
        with pytest.raises(ConnectionClosed) as closed:
            await self._read(lambda frame: False)
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    async def drain(self) -> list[Data]:
        """Give all pushes up to now: those before the answer to a ping."""
        await self.ask("ping")
        return self.pushed

    def seen(self, type_: str) -> list[Data]:
        """Give the data of the pushes of a type that were read so far."""
        return [frame["data"] for frame in self.pushed if frame["type"] == type_]

    async def _read(self, wanted: Callable[[Data], bool]) -> Data:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                frame: Data = json.loads(await self.socket.recv())
                if "id" not in frame:
                    self.pushed.append(frame)
                if wanted(frame):
                    return frame


@dataclass
class Person:
    """A user: REST calls on one gateway, devices on any."""

    stack: Stack
    user_id: str
    token: str
    rest: httpx.AsyncClient

    @asynccontextmanager
    async def on(
        self, gateway: int, *, device: str | None = None, token: str | None = None, since: str | None = None
    ) -> AsyncIterator[Device]:
        """Connect a device to a gateway."""
        url = self.stack.gateways[gateway].socket_url
        async with connect(url, compression=None) as socket:
            hello = {"token": token or self.token, "device": {"id": device} if device else None, "since": since}
            await socket.send(json.dumps({"type": "hello", "data": hello}))
            first: Data = json.loads(await socket.recv())
            if first["type"] == "error":
                raise Refused(first["error"])
            assert first["type"] == "welcome", first
            yield Device(socket, first["data"])

    async def call(self, method: str, path: str, status: int = 200, **body: object) -> Data:
        """Call the REST API and give the body of the answer, which must have this status."""
        response = await self.rest.request(method, path, json=body or None)
        assert response.status_code == status, (method, path, response.status_code, response.text)
        return response.json() if response.content else {}

    async def group(self, *others: str, name: str | None = None) -> str:
        """Make a group."""
        made = await self.call("POST", "/v1/conversations", 201, kind="group", member_ids=list(others), name=name)
        conversation_id: str = made["id"]
        return conversation_id

    async def say(self, conversation_id: str, content: str) -> Data:
        """Send a message and give its place."""
        path = f"/v1/conversations/{conversation_id}/messages"
        return await self.call("POST", path, content=content)

    async def read(self, conversation_id: str) -> list[Data]:
        """Read the newest page of a conversation."""
        page = await self.call("GET", f"/v1/conversations/{conversation_id}/messages")
        messages: list[Data] = page["messages"]
        return messages


@asynccontextmanager
async def people(stack: Stack, *names: str) -> AsyncIterator[list[Person]]:
    """Sign users in, by turns on each gateway."""
    gateways = itertools.cycle(stack.gateways)
    made = [await _person(stack, next(gateways), name) for name in names]
    try:
        yield made
    finally:
        for person in made:
            await person.rest.aclose()


async def mint(gateway: Gateway, user_id: str, **claims: str) -> str:
    """Sign in, once more."""
    async with httpx.AsyncClient(base_url=gateway.rest_url) as rest:
        answer = await rest.post("/api/auth/token", json={"user_id": user_id, **claims})
        token: str = answer.raise_for_status().json()["token"]
        return token


async def _person(stack: Stack, gateway: Gateway, user_id: str) -> Person:
    token = await mint(gateway, user_id)
    headers = {"Authorization": f"Bearer {token}"}
    return Person(stack, user_id, token, httpx.AsyncClient(base_url=gateway.rest_url, headers=headers))
